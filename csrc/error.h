// The errors that a user can cause, each with the exit status that the program ends with.
#pragma once

#include <stdexcept>
#include <string>

namespace rewire {

class Error : public std::runtime_error {
 public:
  Error(int exit_status, const std::string& message)
      : std::runtime_error(message), exit_status_(exit_status) {}
  int exit_status() const { return exit_status_; }

 private:
  int exit_status_;
};

// What somebody else wrote, fit for a line of a message: cut after 100 characters, and `?` in the
// place of what cannot be printed.
inline std::string printable(const std::string& text) {
  std::string shown = text.substr(0, 100);
  for (char& c : shown) c = c < 0x20 || c > 0x7e ? '?' : c;
  return shown;
}

// Wrong usage or configuration.
struct ConfigError : Error {
  explicit ConfigError(const std::string& message) : Error(2, message) {}
};
// Data missing or malformed.
struct DataError : Error {
  explicit DataError(const std::string& message) : Error(3, message) {}
};
// A checkpoint missing, damaged or of another model.
struct CheckpointError : Error {
  explicit CheckpointError(const std::string& message) : Error(4, message) {}
};
// A loss, an input or a weight that is not finite.
struct NumberError : Error {
  explicit NumberError(const std::string& message) : Error(5, message) {}
};

}  // namespace rewire
