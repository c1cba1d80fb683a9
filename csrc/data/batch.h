// One batch as a function of (data set, options, index): what the loader's threads compute.
#pragma once

#include <ATen/core/Tensor.h>
#include <cstdint>
#include <stop_token>
#include <vector>

#include "data/dataset.h"
#include "data/normalize.h"

namespace rewire::data {

struct Batch {
  at::Tensor images;  // [batch, channels, size, size] float32, normalised
  at::Tensor labels;  // [batch] int64
  int64_t index = 0;  // in the epoch
};

struct BatchOptions {
  uint64_t seed = 0;
  int64_t epoch = 0;  // with the seed, decides order and augmentation
  int64_t batch_size = 1;
  bool shuffle = false;    // false: the order of the data set
  bool drop_last = false;  // leave out a last batch that is smaller than batch_size
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

  // Batch `index`, in [0, count()): the same bits whenever and in whatever thread it is made. Once
  // `stop` is requested, an unfinished batch, to be thrown away.
  // Throws DataError for an image that cannot be read or is not of the data set's shape.
  Batch make(int64_t index, const std::stop_token& stop = {}) const;

 private:
  const Dataset& dataset_;
  BatchOptions options_;
  NormalizationTable table_;
  std::vector<int64_t> order_;  // samples of the epoch; empty: 0, 1, 2, ...
};

}  // namespace rewire::data
