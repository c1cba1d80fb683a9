#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/file.h"
#include "error.h"
#include "train/checkpoint_file.h"
#include "train/run_state.h"

namespace rewire::train {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLock = ".lock";

// Makes an experiment's folder and returns the descriptor that holds its lock.
int make(const fs::path& root) {
  std::error_code error;
  fs::create_directories(root / "checkpoints", error);
  if (error) throw Error(1, root.string() + ": cannot be made: " + error.message());
  const fs::path file = root / kLock;
  const int lock = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) throw Error(1, file.string() + ": " + std::strerror(errno));
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) return lock;
  const int cause = errno;
  ::close(lock);
  if (cause != EWOULDBLOCK)
    throw Error(1, file.string() + ": cannot lock: " + std::strerror(cause));
  throw ConfigError(root.string() + ": in use by another run; name another --output");
}

}  // namespace

RunFolder::RunFolder(const fs::path& root) : root_(root) {
  std::error_code error;
  const bool foreign = fs::exists(root_, error) && !fs::is_empty(root_, error) &&
                       !fs::exists(root_ / "checkpoints", error) &&
                       !fs::exists(root_ / kLock, error);
  if (foreign)
    throw ConfigError(root_.string() + ": not an experiment's folder; name another --output");
  made_ = !fs::exists(root_, error);
  lock_ = make(root_);
  remove_temporaries();
}

RunFolder::~RunFolder() {
  if (made_ && checkpoints().empty()) discard();
  ::close(lock_);
}

void RunFolder::discard() const {
  std::error_code kept;  // where somebody else's files are left
  fs::remove(root_ / "checkpoints", kept);
  if (fs::exists(root_ / "checkpoints", kept)) return;
  fs::remove(root_ / kLock, kept);
  fs::remove(root_, kept);
}

bool RunFolder::make_again() {
  std::error_code error;
  if (fs::exists(root_ / "checkpoints", error)) return false;
  const int old = lock_;
  ::flock(old, LOCK_UN);  // of a file that may be gone
  lock_ = make(root_);
  ::close(old);
  return true;
}

void RunFolder::remove_temporaries() const {
  for (const fs::path& folder : {root_, root_ / "checkpoints", wiring()}) {
    std::error_code error;  // no such folder: nothing to remove
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (data::is_temporary(entry.path())) fs::remove(entry.path(), error);
    }
  }
}

fs::path RunFolder::checkpoint(const std::string& name) const {
  return root_ / "checkpoints" / (name + ".pt");
}

std::vector<fs::path> RunFolder::checkpoints() const {
  std::vector<fs::path> found;
  std::error_code error;  // no such folder: there are none
  for (const auto& entry : fs::directory_iterator(root_ / "checkpoints", error)) {
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
  const auto remove_in = [](const fs::path& folder, const auto& ours) {
    std::error_code error;  // no such folder: nothing to remove
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (ours(entry.path().filename().string())) fs::remove(entry.path());
    }
  };
  remove_in(root_ / "checkpoints", [](const std::string& name) { return name.ends_with(".pt"); });
  remove_in(root_, [](const std::string& name) {
    return name == "metrics.jsonl" || name.starts_with("events.out.tfevents.");
  });
  remove_in(wiring(), [](const std::string& name) {
    return name.find("_epoch_") != std::string::npos && name.ends_with(".png");
  });
  std::error_code kept;  // where somebody else's files are left
  fs::remove(wiring(), kept);
}

bool RunFolder::drop_checkpoints_after(int64_t epochs) {
  bool best_dropped = false;
  for (const fs::path& file : checkpoints()) {
    try {
      if (finished_epochs(read_tensors(file), file) <= epochs) continue;
    } catch (const CheckpointError&) {  // a damaged one is of no use to anybody
    }
    best_dropped |= file == checkpoint("best");
    fs::remove(file);
  }
  return best_dropped;
}

}  // namespace rewire::train
