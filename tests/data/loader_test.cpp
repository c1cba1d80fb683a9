#include "data/loader.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <atomic>
#include <chrono>
#include <thread>

#include "data/random.h"
#include "error.h"
#include "support/files.h"

namespace rewire::data {
namespace {

using test::message_of;
using testing::ElementsAre;

// `size` images of 2 channels of 2x2 pixels: image i holds 10 i + 0 .. 10 i + 7, its label is i.
Dataset numbered(int64_t size) {
  Dataset dataset;
  dataset.spec = {2, 2, {}};
  for (int64_t i = 0; i < size; ++i) dataset.labels.push_back(i);
  dataset.read = [](int64_t index, Image& image) {
    image.reshape(2, 2, 2);
    for (int64_t p = 0; p < 8; ++p) image.pixels[p] = static_cast<uint8_t>(10 * index + p);
  };
  return dataset;
}

LoaderOptions options(int64_t batch_size, int64_t workers = 0) {
  LoaderOptions chosen;
  chosen.batch_size = batch_size;
  chosen.workers = workers;
  return chosen;
}

LoaderOptions training_options(int64_t workers) {
  LoaderOptions chosen = options(3, workers);
  chosen.seed = 5;
  chosen.epoch = 2;
  chosen.shuffle = true;
  chosen.augment = {{"random_crop", 1}, {"horizontal_flip", 0}};
  chosen.normalize = {{0.4, 0.5}, {0.25, 0.2}};
  return chosen;
}

std::vector<Batch> all_batches(const Dataset& dataset, const LoaderOptions& chosen) {
  Loader loader(dataset, chosen);
  std::vector<Batch> batches;
  while (auto batch = loader.next()) batches.push_back(*batch);
  EXPECT_FALSE(loader.next().has_value());
  return batches;
}

std::vector<int64_t> labels(const Batch& batch) {
  const auto* values = batch.labels.const_data_ptr<int64_t>();
  return {values, values + batch.labels.numel()};
}

void expect_same_bits(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].index, b[i].index);
    EXPECT_TRUE(at::equal(a[i].images, b[i].images)) << "batch " << i;
    EXPECT_TRUE(at::equal(a[i].labels, b[i].labels)) << "batch " << i;
  }
}

TEST(Loader, GivesBatchesInOrderAndKeepsThePartialOne) {
  const Dataset dataset = numbered(7);
  const auto batches = all_batches(dataset, options(3));
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_THAT(labels(batches[0]), ElementsAre(0, 1, 2));
  EXPECT_THAT(labels(batches[1]), ElementsAre(3, 4, 5));
  EXPECT_THAT(labels(batches[2]), ElementsAre(6));
  EXPECT_EQ(batches[2].index, 2);
  EXPECT_EQ(batches[2].images.sizes(), (std::vector<int64_t>{1, 2, 2, 2}));
  EXPECT_EQ(batches[0].images.scalar_type(), at::kFloat);
}

TEST(Loader, DropsThePartialBatchWhenAsked) {
  const Dataset dataset = numbered(7);
  LoaderOptions chosen = options(3);
  chosen.drop_last = true;
  EXPECT_EQ(all_batches(dataset, chosen).size(), 2u);
  EXPECT_EQ(Loader(dataset, chosen).num_batches(), 2);
  EXPECT_EQ(Loader(dataset, options(3)).num_batches(), 3);
  EXPECT_EQ(Loader(dataset, options(7)).num_batches(), 1);
}

TEST(Loader, NormalizesEachChannel) {
  const Dataset dataset = numbered(2);
  LoaderOptions chosen = options(1);
  chosen.normalize = {{0.5, 0.25}, {0.5, 2}};
  const auto batches = all_batches(dataset, chosen);
  const auto* values = batches[1].images.const_data_ptr<float>();  // pixels 10 .. 17
  for (int p = 0; p < 4; ++p) {
    EXPECT_EQ(values[p], ((10.0f + p) / 255.0f - 0.5f) / 0.5f);
    EXPECT_EQ(values[4 + p], ((14.0f + p) / 255.0f - 0.25f) / 2.0f);
  }
}

TEST(Loader, ScalesByTheDataSetsLargestValue) {
  Dataset dataset = numbered(2);
  dataset.max_value = 16;
  const auto batches = all_batches(dataset, options(1));
  EXPECT_EQ(batches[1].images.const_data_ptr<float>()[6], 1.0f);  // pixel 16 of 16
}

TEST(Loader, PadsWithBlackBeforeNormalizing) {
  Dataset dataset = numbered(1);
  dataset.read = [](int64_t, Image& image) { image = {2, 2, 2, std::vector<uint8_t>(8, 255)}; };
  LoaderOptions chosen = options(1);
  chosen.augment = {{"random_crop", 9}};
  chosen.normalize = {{0.5, 0.25}, {0.5, 0.25}};
  // So much padding that the crop of sample 0 in this epoch misses the image.
  const at::Tensor images = all_batches(dataset, chosen).at(0).images;
  EXPECT_TRUE(at::equal(images, at::full({1, 2, 2, 2}, -1.0f)));
}

TEST(Loader, ShufflesBySeedAndEpoch) {
  const Dataset dataset = numbered(20);
  LoaderOptions chosen = options(20);
  chosen.shuffle = true;
  chosen.seed = 3;
  chosen.epoch = 4;
  const auto order = labels(all_batches(dataset, chosen).at(0));
  EXPECT_EQ(order, permutation(3, 4, 20));
  chosen.epoch = 5;
  EXPECT_NE(labels(all_batches(dataset, chosen).at(0)), order);
}

TEST(Loader, GivesTheSameBitsForAnyNumberOfWorkers) {
  const Dataset dataset = numbered(20);
  const auto expected = all_batches(dataset, training_options(0));
  EXPECT_EQ(expected.size(), 7u);
  expect_same_bits(all_batches(dataset, training_options(1)), expected);
  expect_same_bits(all_batches(dataset, training_options(4)), expected);
}

TEST(Loader, AugmentsEachEpochAnew) {
  const Dataset dataset = numbered(20);
  LoaderOptions chosen = training_options(0);
  chosen.shuffle = false;
  const auto first = all_batches(dataset, chosen);
  ++chosen.epoch;
  EXPECT_FALSE(at::equal(all_batches(dataset, chosen)[0].images, first[0].images));
}

TEST(Loader, StartsAtABatchWithWhatAWholePassGives) {
  const Dataset dataset = numbered(20);
  const auto whole = all_batches(dataset, training_options(0));
  for (const int64_t workers : {0, 4}) {
    LoaderOptions chosen = training_options(workers);
    chosen.first_batch = 4;
    expect_same_bits(all_batches(dataset, chosen), {whole.begin() + 4, whole.end()});
  }
}

TEST(Loader, StartingAtTheEndGivesNothing) {
  const Dataset dataset = numbered(6);
  for (const int64_t workers : {0, 2}) {
    LoaderOptions chosen = options(3, workers);
    chosen.first_batch = 2;
    EXPECT_TRUE(all_batches(dataset, chosen).empty());
  }
}

TEST(Loader, AWorkersErrorArrivesAtItsBatchAndStays) {
  Dataset dataset = numbered(9);
  dataset.read = [read = dataset.read](int64_t index, Image& image) {
    if (index == 4) throw DataError("image 4: damaged");
    read(index, image);
  };
  for (const int64_t workers : {0, 1, 4}) {
    Loader loader(dataset, options(3, workers));
    EXPECT_THAT(labels(loader.next().value()), ElementsAre(0, 1, 2));
    for (int again = 0; again < 2; ++again) {
      EXPECT_EQ(message_of<DataError>([&] { loader.next(); }), "image 4: damaged");
    }
  }
}

TEST(Loader, RefusesAnImageOfAnotherShape) {
  Dataset dataset = numbered(3);
  dataset.read = [](int64_t, Image& image) { image.reshape(2, 2, 3); };
  Loader loader(dataset, options(3));
  EXPECT_EQ(message_of<DataError>([&] { loader.next(); }), "image 0: 2x2x3, expected 2x2x2");
}

TEST(Loader, PreparesNoMoreThanTwoBatchesAWorkerAhead) {
  Dataset dataset = numbered(100);
  std::atomic<int64_t> reads = 0;
  dataset.read = [&](int64_t, Image& image) {
    ++reads;
    image.reshape(2, 2, 2);
  };
  Loader loader(dataset, options(1, 3));
  for (int64_t handed_out = 1; handed_out <= 5; ++handed_out) {
    loader.next();
    EXPECT_LE(reads.load(), handed_out + 6);
  }
}

// Of large batches two are in work, whatever the number of workers, who share them.
TEST(Loader, SharesALargeBatchAmongTheWorkers) {
  const Dataset dataset = numbered(1000);
  std::atomic<int64_t> reads = 0, at_once = 0, most = 0;
  Dataset counted = dataset;
  counted.read = [&](int64_t index, Image& image) {
    ++reads;
    const int64_t now = ++at_once;
    for (int64_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    dataset.read(index % 25, image);
    --at_once;
  };
  Loader loader(counted, options(200, 4));
  for (int64_t handed_out = 1; handed_out <= 5; ++handed_out) {
    const Batch batch = loader.next().value();
    EXPECT_EQ(batch.labels[199].item<int64_t>(), 200 * handed_out - 1);
    EXPECT_EQ(batch.images[199][0][0][0].item<float>(), float(10 * (199 % 25)) / 255);
    EXPECT_LE(reads.load(), 200 * (handed_out + 2));
  }
  EXPECT_GE(most.load(), 2);
}

TEST(Loader, ABatchThatDoesNotFitIntoMemoryIsAnError) {
  Dataset dataset = numbered(3);
  dataset.spec.size = int64_t{1} << 40;
  for (const int64_t workers : {0, 2}) {
    Loader loader(dataset, options(3, workers));
    EXPECT_THROW(loader.next(), std::exception);
  }
}

// Images that are skipped leave no gap, and the first error in order is told.
TEST(Loader, SkipsAndRefusesInOrderAcrossPieces) {
  Dataset dataset = numbered(100);
  dataset.read = [](int64_t index, Image& image) {
    if (index % 10 == 3) throw DataError("image " + std::to_string(index));
    image = {2, 2, 2, std::vector<uint8_t>(8, uint8_t(index))};
  };
  for (const int64_t workers : {0, 1, 4}) {
    LoaderOptions chosen = options(100, workers);
    Loader strict(dataset, chosen);
    EXPECT_EQ(message_of<DataError>([&] { strict.next(); }), "image 3");
    chosen.skip_bad = true;
    Loader skipping(dataset, chosen);
    const Batch batch = skipping.next().value();
    EXPECT_EQ(batch.skipped.size(), 10u);
    EXPECT_EQ(batch.skipped[9], "image 93");
    ASSERT_EQ(batch.labels.size(0), 90);
    for (int64_t i = 0; i < 90; ++i) {
      const int64_t index = i + (i + 6) / 9;  // 3, 13, ... are missing
      EXPECT_EQ(batch.labels[i].item<int64_t>(), index);
      EXPECT_EQ(batch.images[i][1][1][1].item<float>(), float(index) / 255);
    }
  }
}

TEST(Loader, IsDestroyedInTheMiddleOfAnEpoch) {
  const Dataset dataset = numbered(20);
  std::atomic<int> reads = 0;
  Dataset counted = dataset;
  counted.read = [&](int64_t index, Image& image) {
    ++reads;
    dataset.read(index, image);
  };
  {
    Loader loader(counted, options(2, 4));
    loader.next();
  }
  const int at_the_end = reads;
  EXPECT_GE(at_the_end, 2);
  EXPECT_LE(at_the_end, 2 * (1 + 2 * 4));
}

TEST(Loader, RefusesOptionsThatDoNotFit) {
  const Dataset dataset = numbered(3);
  EXPECT_EQ(message_of<ConfigError>([&] { Loader(dataset, options(0)); }),
            "training.batch_size: 0, expected at least 1");
  LoaderOptions chosen = options(1);
  chosen.normalize.mean = {0.5, 0.5, 0.5};
  EXPECT_EQ(message_of<ConfigError>([&] { Loader(dataset, chosen); }),
            "data.normalize.mean: 3 values, expected 2, one a channel");
  chosen.normalize = {{}, {1, 0}};
  EXPECT_EQ(message_of<ConfigError>([&] { Loader(dataset, chosen); }),
            "data.normalize.std: 0, expected a number above 0");
}

}  // namespace
}  // namespace rewire::data
