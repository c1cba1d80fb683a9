// What the fuzz targets share. A target gives a reader bytes that nobody wrote: it may accept them,
// or refuse them with the error its contract names; anything else (another exception, a report of
// a sanitizer, more memory or time than the run allows) is a finding.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace rewire::fuzz {

// A folder of this process, removed when it ends in order.
class Folder {
 public:
  Folder() { std::filesystem::create_directories(path_); }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("rewire_fuzz_" + std::to_string(getpid()));
};

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Calls f; whether it accepted its input.
template <typename Refusal, typename F>
bool accepts(F&& f) {
  try {
    f();
    return true;
  } catch (const Refusal&) {
    return false;
  }
}

// What must hold of accepted input.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace rewire::fuzz
