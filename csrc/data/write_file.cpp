#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
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
  explicit Descriptor(int value) : value_(value) {}
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
    if (written < 0) fail(path, "cannot be written");
    bytes.remove_prefix(size_t(written));
  }
}

// Makes a file beside `path` that was not there, sets `name` to its path and returns its
// descriptor. By chance, not by the process's id: in two containers that share a folder both may be
// process 1.
int open_temporary(const fs::path& path, std::string& name) {
  for (;;) {
    uint32_t number = 0;
    if (::getrandom(&number, sizeof number, 0) != sizeof number) fail(path, "cannot be written");
    name = fmt::format("{}.{}.tmp", path.string(), number);
    const int file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file >= 0) return file;
    if (errno != EEXIST) fail(path, "cannot be written");
  }
}

}  // namespace

void write_atomically(const fs::path& path, std::string_view bytes) {
  std::string temporary;
  const Descriptor file(open_temporary(path, temporary));
  try {
    write_all(file.value(), bytes, path);
    if (::fsync(file.value()) != 0) fail(path, "cannot be flushed");
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail(path, "cannot be replaced");
  } catch (const Error&) {
    ::unlink(temporary.c_str());
    throw;
  }
  flush(path.has_parent_path() ? path.parent_path() : ".");
}

bool is_temporary(const fs::path& path) {
  const std::string id = path.stem().extension().string();
  return path.extension() == ".tmp" && id.size() > 1 &&
         id.find_first_not_of("0123456789", 1) == std::string::npos;
}

void append(const fs::path& path, std::string_view bytes) {
  const Descriptor file(path, O_WRONLY | O_CREAT | O_APPEND);
  if (file.value() < 0) fail(path, "cannot be written");
  const off_t end = ::lseek(file.value(), 0, SEEK_END);
  try {
    write_all(file.value(), bytes, path);
  } catch (const Error& error) {
    if (::ftruncate(file.value(), end) == 0) throw;
    fail(error.what(), "a part may stay, the file cannot be cut");
  }
}

void flush(const fs::path& path) {
  const Descriptor file(path, O_RDONLY);
  if (file.value() < 0 || ::fsync(file.value()) != 0) fail(path, "cannot be flushed");
}

}  // namespace rewire::data
