// One batch as a function of (data set, options, index), piece by piece: what the loader's threads
// compute.
#pragma once

#include <ATen/core/Tensor.h>
#include <cstdint>
#include <exception>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/normalize.h"

namespace rewire::data {

struct Batch {
  at::Tensor images;  // [batch, channels, size, size] float32, normalised; of a table its inputs
  at::Tensor labels;  // [batch] int64; of a table its targets, [batch, targets] float32
  int64_t index = 0;  // in the epoch
  std::vector<std::string> skipped;  // why images are missing, one message each
};

struct BatchOptions {
  uint64_t seed = 0;
  int64_t epoch = 0;  // with the seed, decides order and augmentation
  int64_t batch_size = 1;
  bool shuffle = false;    // false: the order of the data set
  bool drop_last = false;  // leave out a last batch that is smaller than batch_size
  // Of each batch, the part that one of several processes takes: as many images as the others have,
  // or one more.
  int64_t part = 0;
  int64_t parts = 1;
  bool skip_bad = false;  // leave out images that cannot be read: a batch is then smaller, or empty
  std::vector<Augmentation> augment;
  Normalization normalize;
};

class BatchMaker {
 public:
  // `dataset` outlives this. Throws ConfigError for a batch size below 1 and for a normalisation
  // that does not fit the data.
  BatchMaker(const Dataset& dataset, BatchOptions options);

  // Batches in the epoch.
  int64_t count() const;

  // A batch is made in pieces, which any threads may fill side by side: begin, fill each, finish.
  // The bits are the same whoever does what.

  // Batch `index`, in [0, count()), with nothing in it yet.
  Batch begin(int64_t index) const;
  // Pieces of a full batch, and so many at most of the last one, which may be smaller; at least
  // one.
  int64_t pieces() const;
  int64_t pieces(const Batch& batch) const;

  // What became of a piece: its images, from its first on, or the first error.
  struct Piece {
    int64_t filled = 0;
    std::vector<std::string> skipped{};
    std::exception_ptr error{};
  };
  // Fills a piece of the batch; once `stop` is requested, a part of it, to be thrown away.
  // Throws DataError for an image that is not of the data set's shape or, unless such are skipped,
  // cannot be read.
  Piece fill(const Batch& batch, int64_t piece, const std::stop_token& stop = {}) const;
  // Closes the gaps that skipped images left. Throws the error of the first piece that has one.
  void finish(Batch& batch, std::span<const Piece> pieces) const;

 private:
  // The samples [begin, begin + count) of a batch, from a table.
  void fill_from_table(const Batch& batch, int64_t begin, int64_t count) const;
  // Where a part of a batch begins in the epoch.
  int64_t first_of(int64_t index, int64_t part) const;
  int64_t sample_at(int64_t place) const { return order_.empty() ? place : order_[place]; }
  // Of `sample`, as its place in the epoch has it, the normalised values.
  void put(int64_t sample, Image& image, Image& scratch, float* values) const;

  const Dataset& dataset_;
  BatchOptions options_;
  NormalizationTable table_;
  std::vector<int64_t> order_;  // samples of the epoch; empty: 0, 1, 2, ...
  bool fitted_ = true;          // images are made to fit before they are augmented
};

}  // namespace rewire::data
