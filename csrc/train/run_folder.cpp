#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.h"

namespace rewire::train {

namespace fs = std::filesystem;

RunFolder::RunFolder(const fs::path& root) : root_(root) {
  std::error_code error;
  fs::create_directories(root_ / "checkpoints", error);
  if (error) throw Error(1, root_.string() + ": cannot be made: " + error.message());
  const fs::path file = root_ / ".lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) throw Error(1, file.string() + ": " + std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw ConfigError(root_.string() + ": in use by another run; name another --output");
  }
}

RunFolder::~RunFolder() { ::close(lock_); }

fs::path RunFolder::checkpoint(const std::string& name) const {
  return root_ / "checkpoints" / (name + ".pt");
}

std::vector<fs::path> RunFolder::checkpoints() const {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(root_ / "checkpoints")) {
    if (entry.path().extension() == ".pt") found.push_back(entry.path());
  }
  const fs::path last = checkpoint("last");
  std::sort(found.begin(), found.end(), [&](const fs::path& a, const fs::path& b) {
    if ((a == last) != (b == last)) return a == last;
    std::error_code error;
    return fs::last_write_time(a, error) > fs::last_write_time(b, error);
  });
  return found;
}

void RunFolder::clear() {
  for (const fs::path& file : checkpoints()) fs::remove(file);
  fs::remove(metrics());
  fs::remove_all(wiring());
  for (const auto& entry : fs::directory_iterator(root_)) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) fs::remove(entry.path());
  }
}

}  // namespace rewire::train
