#include "train/metrics.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/files.h"
#include "support/golden.h"

namespace rewire::train {
namespace {

// Three images of four classes: the label is first, second and last of the logits.
const at::Tensor kLogits =
    at::tensor({9, 1, 2, 3, 5, 7, 1, 0, 4, 3, 2, 1}, at::kFloat).view({3, 4});
const at::Tensor kLabels = at::tensor({0, 0, 3}, at::kLong);

TEST(Sums, CountHitsAmongTheLargest) {
  Sums sums({1, 2, 4});
  EXPECT_EQ(sums.top(0), 0);
  EXPECT_EQ(sums.loss(), 0);
  sums.add(2.0, kLogits, kLabels);
  EXPECT_EQ(sums.images(), 3);
  EXPECT_DOUBLE_EQ(sums.top(0), 100.0 / 3);
  EXPECT_DOUBLE_EQ(sums.top(1), 200.0 / 3);
  EXPECT_DOUBLE_EQ(sums.top(2), 100);
}

TEST(Sums, TheLossIsTheMeanOverImages) {
  Sums sums({1});
  sums.add(2.0, kLogits, kLabels);
  sums.add(6.0, kLogits.slice(0, 0, 1), kLabels.slice(0, 0, 1));
  EXPECT_DOUBLE_EQ(sums.loss(), 3.0);
}

TEST(Sums, MoreThanTheClassesIsAllOfThem) {
  Sums sums({1, 5});
  sums.add(1.0, kLogits, kLabels);
  EXPECT_EQ(sums.top(1), 100);
}

TEST(Sums, NumbersAreRightWithinABound) {
  Sums sums({1}, 0.25);
  const at::Tensor targets = at::tensor({1, 0, 2, 1, 0, 3}, at::kFloat).view({3, 2});
  const at::Tensor answers =
      at::tensor({1.25, -0.25, 2., 1.5, double(NAN), 3.}, at::kFloat).view({3, 2});
  sums.add(1, answers, targets);
  EXPECT_DOUBLE_EQ(sums.top(0), 100.0 / 3);
}

TEST(Sums, AsJson) {
  Sums sums({1, 5});
  sums.add(0.5, kLogits.slice(0, 0, 1), kLabels.slice(0, 0, 1));
  EXPECT_EQ(sums.json().dump(), R"({"loss":0.5,"top1":100.0,"top5":100.0,"images":1})");
}

TEST(Sums, SurviveACheckpoint) {
  Sums sums({1, 2});
  sums.add(1.0 / 3, kLogits, kLabels);
  sums.seconds = 1.25;
  Sums loaded({1, 2});
  loaded.load(sums.tensor());
  EXPECT_EQ(loaded.json(), sums.json());
  EXPECT_EQ(loaded.seconds, 1.25);
  EXPECT_TRUE(test::same(loaded.tensor(), sums.tensor()));
}

TEST(Sums, RefuseSumsOfOtherKinds) {
  Sums sums({1, 2});
  EXPECT_THROW(sums.load(Sums({1}).tensor()), c10::Error);
  EXPECT_THROW(sums.load(at::zeros({5, 1})), c10::Error);
}

class MetricsFileTest : public testing::Test {
 protected:
  std::string after(const std::string& before, int64_t next_epoch, int64_t epoch) {
    const auto file = folder_.write("metrics.jsonl", before);
    MetricsFile(file, next_epoch).write({{"epoch", epoch}});
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  const test::TempFolder folder_;
};

TEST_F(MetricsFileTest, DropsTheRowsOfLaterEpochs) {
  const std::string rows = "{\"epoch\":0,\"x\":1}\n{\"epoch\":1,\"x\":2}\n{\"epoch\":2,\"x\":3}\n";
  EXPECT_EQ(after(rows, 2, 2), "{\"epoch\":0,\"x\":1}\n{\"epoch\":1,\"x\":2}\n{\"epoch\":2}\n");
  EXPECT_EQ(after(rows, 0, 0), "{\"epoch\":0}\n");
}

TEST_F(MetricsFileTest, DropsWhatIsNoRow) {
  EXPECT_EQ(after("{\"epoch\":0}\n\n[0]\n{\"epoch\":\"0\"}\n{}\n\xFF\n{\"epoch\":0,\"lo", 1, 1),
            "{\"epoch\":0}\n{\"epoch\":1}\n");
}

TEST_F(MetricsFileTest, StartsAFileThatIsNotThere) {
  const auto file = folder_.path() / "new.jsonl";
  MetricsFile(file, 3).write({{"epoch", 3}});
  EXPECT_EQ(std::filesystem::file_size(file), 12u);
}

TEST_F(MetricsFileTest, EveryRowIsOnDiskAtOnce) {
  const auto file = folder_.path() / "metrics.jsonl";
  MetricsFile metrics(file, 0);
  metrics.write({{"epoch", 0}});
  EXPECT_EQ(std::filesystem::file_size(file), 12u);
}

}  // namespace
}  // namespace rewire::train
