// Sums of an epoch's results, and the file they go to.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

namespace rewire::train {

// Loss and top-k hits summed over images. Kept in double, so that the sums of an epoch do not
// depend on where it was interrupted.
class Sums {
 public:
  // within: of targets that are numbers, how far off a right answer may be.
  explicit Sums(std::vector<int64_t> topk, double within = 0)
      : topk_(std::move(topk)), within_(within), hits_(topk_.size(), 0) {}

  // `loss` is the mean over the batch; logits [batch, classes], labels [batch]. Or answers and
  // targets [batch, outputs], floating: such an answer is a hit, whatever k is, where all its
  // outputs are right.
  void add(double loss, const at::Tensor& logits, const at::Tensor& labels);

  int64_t images() const { return images_; }
  double loss() const { return images_ ? loss_ / double(images_) : 0; }
  // Per cent of the images whose label is among the k largest logits, for topk[index].
  double top(size_t index) const {
    return images_ ? 100.0 * double(hits_[index]) / double(images_) : 0;
  }
  // {"loss": ..., "top1": ..., "top5": ..., "images": ...}, and "skipped" where that is not 0.
  nlohmann::ordered_json json() const;

  // Seconds spent, a sum like the others.
  double seconds = 0;
  // Images that could not be read, in no other sum. Not in tensor().
  int64_t skipped = 0;

  // As a float64 tensor [3 + topk], for a checkpoint, and back.
  at::Tensor tensor() const;
  void load(const at::Tensor& tensor);

 private:
  std::vector<int64_t> topk_;
  double within_;
  std::vector<int64_t> hits_;
  double loss_ = 0;
  int64_t images_ = 0;
};

// metrics.jsonl: one object an epoch and split, a line each, on the disk as soon as written.
class MetricsFile {
 public:
  // Keeps the rows of epochs before `next_epoch` (0: none) and drops the others, a half-written
  // last line too.
  MetricsFile(const std::filesystem::path& file, int64_t next_epoch);
  // Throws Error (exit 1) where the row cannot be written: then nothing of it is.
  void write(const nlohmann::ordered_json& row);

 private:
  std::filesystem::path file_;
};

}  // namespace rewire::train
