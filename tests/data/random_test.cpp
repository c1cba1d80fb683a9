#include "data/random.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace rewire::data {
namespace {

using Block = std::array<uint32_t, 4>;

// The known answers of Random123, the authors' implementation (kat_vectors, philox4x32 10).
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, CountsBlocksUnderSeedEpochSampleAndPurpose) {
  Random random(0x299f31d0a4093822, 7, 5, Purpose::augmentation);
  const Block first = philox({0, 5, 7, 1}, {0xa4093822, 0x299f31d0});
  const Block second = philox({1, 5, 7, 1}, {0xa4093822, 0x299f31d0});
  for (const uint32_t expected : first) EXPECT_EQ(random.next(), expected);
  for (const uint32_t expected : second) EXPECT_EQ(random.next(), expected);
}

TEST(Random, EachArgumentChangesTheNumbers) {
  const std::set<uint32_t> firsts = {
      Random(0, 0, 0, Purpose::order).next(), Random(1, 0, 0, Purpose::order).next(),
      Random(0, 1, 0, Purpose::order).next(), Random(0, 0, 1, Purpose::order).next(),
      Random(0, 0, 0, Purpose::augmentation).next()};
  EXPECT_EQ(firsts.size(), 5u);
}

TEST(Random, BelowIsUniform) {
  Random random(0, 0, 0, Purpose::order);
  constexpr int kDraws = 90000;
  std::array<int, 9> counts{};
  for (int i = 0; i < kDraws; ++i) ++counts.at(random.below(9));
  // 10,000 expected with a standard deviation of 94; the draws are fixed, so this cannot flicker.
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 9, 400);
}

TEST(Random, BelowReachesBothEndsOfALargeBound) {
  constexpr uint32_t kBound = 0xC0000000;  // a quarter of all words must be refused
  Random random(3, 0, 0, Purpose::order);
  int low = 0, middle = 0, high = 0;
  for (int i = 0; i < 30000; ++i) {
    const uint32_t number = random.below(kBound);
    ASSERT_LT(number, kBound);
    ++(number < kBound / 3 ? low : number < kBound / 3 * 2 ? middle : high);
  }
  EXPECT_NEAR(low, 10000, 350);
  EXPECT_NEAR(middle, 10000, 350);
  EXPECT_NEAR(high, 10000, 350);
}

TEST(Random, BelowOneIsZero) { EXPECT_EQ(Random(0, 0, 0, Purpose::order).below(1), 0u); }

TEST(Random, UniformIsWithinItsBoundsAndEven) {
  Random random(5, 0, 0, Purpose::mixup);
  double sum = 0, squares = 0;
  for (int i = 0; i < 30000; ++i) {
    const double number = random.uniform();
    ASSERT_GT(number, 0);
    ASSERT_LT(number, 1);
    sum += number;
    squares += number * number;
  }
  EXPECT_NEAR(sum / 30000, 1.0 / 2, 0.01);
  EXPECT_NEAR(squares / 30000, 1.0 / 3, 0.01);
}

// Mean 1/2, variance 1 / (4 (2 alpha + 1)), and fourth central moment 3 / (16 (2a + 1)(2a + 3)).
TEST(Beta, HasItsMoments) {
  for (const double alpha : {0.05, 0.2, 1.0, 4.0, 100.0}) {
    constexpr int kDraws = 40000;
    Random random(uint64_t(alpha * 100), 1, 2, Purpose::mixup);
    double first = 0, second = 0, fourth = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double share = beta(random, alpha), off = share - 0.5;
      ASSERT_GE(share, 0);
      ASSERT_LE(share, 1);
      first += off;
      second += off * off;
      fourth += off * off * off * off;
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    const double kurtosis = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3));
    EXPECT_NEAR(first / kDraws, 0, 4 * std::sqrt(variance / kDraws)) << alpha;
    EXPECT_NEAR(second / kDraws, variance, 0.03 * variance) << alpha;
    EXPECT_NEAR(fourth / kDraws, kurtosis, 0.06 * kurtosis) << alpha;
  }
}

TEST(Beta, OfATinyAlphaIsOneOrTheOther) {
  Random random(1, 1, 1, Purpose::mixup);
  int ones = 0;
  for (int i = 0; i < 1000; ++i) {
    const double share = beta(random, 1e-9);
    ASSERT_TRUE(share < 1e-6 || share > 1 - 1e-6) << share;
    ones += share > 0.5;
  }
  EXPECT_NEAR(ones, 500, 70);
}

TEST(Permutation, HoldsEveryNumberOnce) {
  std::vector<int64_t> order = permutation(0, 0, 1000);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  std::vector<int64_t> expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order, expected);
}

TEST(Permutation, IsAFunctionOfSeedAndEpoch) {
  EXPECT_EQ(permutation(1, 2, 50), permutation(1, 2, 50));
  EXPECT_NE(permutation(1, 2, 50), permutation(1, 3, 50));
  EXPECT_NE(permutation(1, 2, 50), permutation(2, 2, 50));
}

TEST(Permutation, TakesEveryOrderEquallyOften) {
  std::map<std::vector<int64_t>, int> counts;
  for (int epoch = 0; epoch < 6000; ++epoch) ++counts[permutation(0, epoch, 3)];
  ASSERT_EQ(counts.size(), 6u);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 1000, 120);
}

TEST(Permutation, OfNothingAndOfOne) {
  EXPECT_TRUE(permutation(0, 0, 0).empty());
  EXPECT_EQ(permutation(0, 0, 1), std::vector<int64_t>{0});
}

}  // namespace
}  // namespace rewire::data
