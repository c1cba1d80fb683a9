#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "data/batch.h"
#include "error.h"
#include "support/files.h"

namespace rewire::data {
namespace {

const Description kTable{.kind = "table", .rows = {{1, 2, 30}, {3, 4, 50}, {5, 6, 70}}};

std::vector<float> numbers(const at::Tensor& tensor) {
  const at::Tensor all = tensor.contiguous();
  return {all.const_data_ptr<float>(), all.const_data_ptr<float>() + all.numel()};
}

Batch batch_of(const Dataset& dataset, const BatchOptions& options, int64_t index) {
  const BatchMaker maker(dataset, options);
  Batch batch = maker.begin(index);
  std::vector<BatchMaker::Piece> pieces;
  for (int64_t i = 0; i < maker.pieces(batch); ++i) pieces.push_back(maker.fill(batch, i));
  maker.finish(batch, pieces);
  return batch;
}

TEST(Table, TrainsAndTestsOnAllItsRows) {
  for (const Split split : {Split::train, Split::test}) {
    const Dataset dataset = open(kTable, "", split);
    EXPECT_EQ(dataset.size(), 3);
    EXPECT_EQ(dataset.spec.channels, 2);
    EXPECT_EQ(dataset.spec.size, 1);
    EXPECT_THAT(dataset.spec.classes, testing::ElementsAre("0"));
  }
}

TEST(Table, GivesBatchesOfInputsAndTargets) {
  const Dataset dataset = open(kTable, "", Split::train);
  const Batch first = batch_of(dataset, {.batch_size = 2}, 0);
  EXPECT_EQ(first.images.sizes(), (std::vector<int64_t>{2, 2, 1, 1}));
  EXPECT_THAT(numbers(first.images), testing::ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(numbers(first.labels), testing::ElementsAre(30, 50));
  const Batch last = batch_of(dataset, {.batch_size = 2}, 1);
  EXPECT_THAT(numbers(last.images), testing::ElementsAre(5, 6));
}

TEST(Table, IsShuffledAndCutIntoPieces) {
  Description description{.kind = "table"};
  for (int i = 0; i < 100; ++i) description.rows.push_back({double(i), double(i + 1000)});
  const Dataset dataset = open(description, "", Split::train);
  const Batch batch = batch_of(dataset, {.seed = 1, .batch_size = 100, .shuffle = true}, 0);
  std::vector<float> inputs = numbers(batch.images);
  EXPECT_NE(inputs, numbers(at::arange(100, at::kFloat)));
  EXPECT_EQ(numbers(batch.images + 1000), numbers(batch.labels));
  std::sort(inputs.begin(), inputs.end());
  EXPECT_EQ(inputs, numbers(at::arange(100, at::kFloat)));
}

TEST(Table, RefusesRowsOfOtherLengths) {
  Description description = kTable;
  description.rows[1].pop_back();
  EXPECT_EQ(test::message_of<ConfigError>([&] { open(description, "", Split::train); }),
            "data.rows: expected rows of one length, which holds inputs and targets");
}

}  // namespace
}  // namespace rewire::data
