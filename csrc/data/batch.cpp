#include "data/batch.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <algorithm>
#include <utility>

#include "data/augment.h"
#include "data/random.h"
#include "error.h"

namespace rewire::data {
namespace {

void check_shape(const Image& image, const ImageSpec& spec, int64_t sample) {
  const bool fits =
      image.channels == spec.channels && image.height == spec.size && image.width == spec.size;
  if (!fits) {
    throw DataError(fmt::format("image {}: {}x{}x{}, expected {}x{}x{}", sample, image.channels,
                                image.height, image.width, spec.channels, spec.size, spec.size));
  }
}

}  // namespace

BatchMaker::BatchMaker(const Dataset& dataset, BatchOptions options)
    : dataset_(dataset),
      options_(std::move(options)),
      table_(options_.normalize, dataset.spec.channels, dataset.max_value) {
  if (options_.batch_size < 1) {
    throw ConfigError(
        fmt::format("training.batch_size: {}, expected at least 1", options_.batch_size));
  }
  if (options_.shuffle) order_ = permutation(options_.seed, options_.epoch, dataset.size());
}

int64_t BatchMaker::count() const {
  const int64_t whole = dataset_.size() / options_.batch_size;
  const bool partial = dataset_.size() % options_.batch_size != 0;
  return whole + (partial && !options_.drop_last ? 1 : 0);
}

Batch BatchMaker::make(int64_t index, const std::stop_token& stop) const {
  const ImageSpec& spec = dataset_.spec;
  const int64_t first = index * options_.batch_size;
  const int64_t size = std::min(options_.batch_size, dataset_.size() - first);
  Batch batch{at::empty({size, spec.channels, spec.size, spec.size}, at::kFloat),
              at::empty({size}, at::kLong), index};
  auto* values = batch.images.mutable_data_ptr<float>();
  auto* labels = batch.labels.mutable_data_ptr<int64_t>();
  Image image, scratch;
  for (int64_t i = 0; i < size && !stop.stop_requested(); ++i) {
    const int64_t sample = order_.empty() ? first + i : order_[first + i];
    Random random(options_.seed, options_.epoch, sample, Purpose::augmentation);
    dataset_.read(sample, image);
    augment(options_.augment, random, image, scratch);
    check_shape(image, spec, sample);
    table_.apply(image, values + i * spec.channels * spec.size * spec.size);
    labels[i] = dataset_.labels[sample];
  }
  return batch;
}

}  // namespace rewire::data
