#include "data/batch.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <algorithm>
#include <utility>

#include "data/augment.h"
#include "data/random.h"
#include "data/resize.h"
#include "error.h"

namespace rewire::data {
namespace {

// Images of a piece: some milliseconds' work where they are in memory, a tenth of a second's where
// they are JPEG files.
constexpr int64_t kPiece = 32;

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
  for (Augmentation& step : options_.augment) {
    if (!step.size) step.size = dataset.spec.size;
  }
  // Which is cut out of the whole image, as published; any other augmentation works on what a test
  // would see.
  fitted_ = options_.augment.empty() || options_.augment[0].kind != "random_resized_crop";
  if (options_.shuffle) order_ = permutation(options_.seed, options_.epoch, dataset.size());
}

int64_t BatchMaker::count() const {
  const int64_t whole = dataset_.size() / options_.batch_size;
  const bool partial = dataset_.size() % options_.batch_size != 0;
  return whole + (partial && !options_.drop_last ? 1 : 0);
}

Batch BatchMaker::begin(int64_t index) const {
  const ImageSpec& spec = dataset_.spec;
  const int64_t size = first_of(index, options_.part + 1) - first_of(index, options_.part);
  return {at::empty({size, spec.channels, spec.size, spec.size}, at::kFloat),
          dataset_.numbers.empty() ? at::empty({size}, at::kLong)
                                   : at::empty({size, int64_t(spec.classes.size())}, at::kFloat),
          index,
          {}};
}

int64_t BatchMaker::first_of(int64_t index, int64_t part) const {
  const int64_t first = index * options_.batch_size;
  const int64_t size = std::min(options_.batch_size, dataset_.size() - first);
  return first + size * part / options_.parts;
}

int64_t BatchMaker::pieces() const { return (options_.batch_size + kPiece - 1) / kPiece; }

int64_t BatchMaker::pieces(const Batch& batch) const {
  return std::max<int64_t>(1, (batch.labels.size(0) + kPiece - 1) / kPiece);
}

BatchMaker::Piece BatchMaker::fill(const Batch& batch, int64_t piece,
                                   const std::stop_token& stop) const {
  const int64_t begin = piece * kPiece, end = std::min(begin + kPiece, batch.labels.size(0));
  if (!dataset_.numbers.empty()) {
    fill_from_table(batch, begin, end - begin);
    return {.filled = end - begin};
  }
  const int64_t image_size = batch.images.stride(0);
  float* values = batch.images.mutable_data_ptr<float>() + begin * image_size;
  int64_t* labels = batch.labels.mutable_data_ptr<int64_t>() + begin;
  Image image, scratch;
  const int64_t first = first_of(batch.index, options_.part);
  Piece done;
  for (int64_t i = begin; i < end && !stop.stop_requested(); ++i) {
    const int64_t sample = sample_at(first + i);
    try {
      dataset_.read(sample, image);
    } catch (const DataError& error) {
      if (!options_.skip_bad) throw;
      done.skipped.push_back(error.what());
      continue;
    }
    put(sample, image, scratch, values + done.filled * image_size);
    labels[done.filled++] = dataset_.labels[sample];
  }
  return done;
}

void BatchMaker::fill_from_table(const Batch& batch, int64_t begin, int64_t count) const {
  const int64_t inputs = batch.images.size(1), targets = batch.labels.size(1);
  float* values = batch.images.mutable_data_ptr<float>() + begin * inputs;
  float* wanted = batch.labels.mutable_data_ptr<float>() + begin * targets;
  const int64_t first = first_of(batch.index, options_.part);
  for (int64_t i = begin; i < begin + count; ++i) {
    const int64_t sample = sample_at(first + i);
    const float* const row = dataset_.numbers.data() + sample * (inputs + targets);
    values = std::copy_n(row, inputs, values);
    wanted = std::copy_n(row + inputs, targets, wanted);
  }
}

void BatchMaker::finish(Batch& batch, std::span<const Piece> pieces) const {
  std::vector<at::Tensor> images, labels;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    if (piece.error) std::rethrow_exception(piece.error);
    batch.skipped.insert(batch.skipped.end(), piece.skipped.begin(), piece.skipped.end());
    images.push_back(batch.images.narrow(0, int64_t(i) * kPiece, piece.filled));
    labels.push_back(batch.labels.narrow(0, int64_t(i) * kPiece, piece.filled));
  }
  if (batch.skipped.empty()) return;
  batch.images = at::cat(images);
  batch.labels = at::cat(labels);
}

void BatchMaker::put(int64_t sample, Image& image, Image& scratch, float* values) const {
  Random random(options_.seed, options_.epoch, sample, Purpose::augmentation);
  if (fitted_) fit(dataset_.spec, image, scratch);
  augment(options_.augment, random, image, scratch);
  check_shape(image, dataset_.spec, sample);
  table_.apply(image, values);
}

}  // namespace rewire::data
