// An experiment's folder: where things lie, who owns it, and where a training can go on.
#pragma once

#include <filesystem>
#include <vector>

namespace rewire::train {

class RunFolder {
 public:
  // Makes the folder and locks it until destruction; the lock goes with the process, however it
  // dies. Removes the temporary files that a killed process left. Throws ConfigError where it holds
  // other things than an experiment's or another process has it, Error where it cannot be written.
  explicit RunFolder(const std::filesystem::path& root);
  // Removes the folder if it was made here and holds no checkpoint: nothing was begun.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // Makes the folder again, and locks it, where somebody has removed it or its checkpoints. Returns
  // whether so. Throws as the constructor does.
  bool make_again();

  std::filesystem::path config() const { return root_ / "config.yaml"; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path wiring() const { return root_ / "wiring"; }
  std::filesystem::path root() const { return root_; }
  // checkpoints/<name>.pt
  std::filesystem::path checkpoint(const std::string& name) const;
  // Where to go on: last.pt, then the others, newest first, so that a damaged one has a fallback.
  std::vector<std::filesystem::path> checkpoints() const;
  // Removes what an earlier training left, and nothing else.
  void clear();
  // Removes the checkpoints of which more than `epochs` epochs had ended, and damaged ones. Returns
  // whether best.pt was among them.
  bool drop_checkpoints_after(int64_t epochs);

 private:
  void remove_temporaries() const;
  void discard() const;

  std::filesystem::path root_;
  bool made_ = false;  // by the constructor: there was none
  int lock_ = -1;
};

}  // namespace rewire::train
