#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/file.h"
#include "error.h"

namespace rewire::data {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& what) {
  throw Error(1, fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno)));
}

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags)
      : value_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }

 private:
  int value_;
};

void write_all(int file, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "cannot write");
    bytes.remove_prefix(size_t(written));
  }
  if (::fsync(file) != 0) fail(path, "cannot write");
}

}  // namespace

void write_atomically(const fs::path& path, std::string_view bytes) {
  const fs::path temporary = path.string() + ".tmp";
  try {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.value() < 0) fail(temporary, "cannot write");
    write_all(file.value(), bytes, temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail(path, "cannot replace");
  } catch (const Error&) {
    ::unlink(temporary.c_str());
    throw;
  }
  const Descriptor folder(path.has_parent_path() ? path.parent_path() : ".",
                          O_RDONLY | O_DIRECTORY);
  if (folder.value() < 0 || ::fsync(folder.value()) != 0) fail(path.parent_path(), "cannot flush");
}

}  // namespace rewire::data
