#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "ops/rewire.h"
#include "support/error.h"
#include "support/golden.h"

namespace {

using at::Tensor;
using rewire::ops::random_mask;
using rewire::test::error_of;
using rewire::test::same;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const Tensor kDraws = torch::tensor({{0.1, 0.7}, {0.4, 0.2}});

TEST(RandomMask, PrunesTheSmallestDraws) {
  EXPECT_TRUE(same(random_mask(kDraws, 2), torch::tensor({{false, true}, {true, false}})));
  EXPECT_TRUE(same(random_mask(kDraws, 0), torch::tensor({{true, true}, {true, true}})));
  EXPECT_TRUE(same(random_mask(kDraws, 4), torch::tensor({{false, false}, {false, false}})));
}

TEST(RandomMask, ImpossibleEdgesCountAmongThePruned) {
  const Tensor impossible = torch::tensor({{false, true}, {false, false}});
  EXPECT_TRUE(same(random_mask(kDraws, 1, impossible),  //
                   torch::tensor({{true, false}, {true, true}})));
  EXPECT_TRUE(
      same(random_mask(kDraws, 2, impossible), torch::tensor({{false, false}, {true, true}})));
}

TEST(RandomMask, ImpossibleEdgesAndDrawsOfZeroAreOffAtAnyRate) {
  const Tensor impossible = torch::tensor({{true, true}, {true, false}});
  EXPECT_TRUE(
      same(random_mask(kDraws, 1, impossible), torch::tensor({{false, false}, {false, true}})));
  EXPECT_TRUE(same(random_mask(torch::tensor({0.0, 0.5}), 0), torch::tensor({false, true})));
}

TEST(RandomMask, PrunesTheHigherOfEqualDraws) {
  EXPECT_TRUE(
      same(random_mask(torch::tensor({0.5, 0.5, 0.5}), 1), torch::tensor({true, true, false})));
}

TEST(RandomMask, LeavesItsArgumentsAlone) {
  const Tensor draws = kDraws.clone();
  random_mask(draws, 1, torch::ones({2, 2}, torch::kBool));
  EXPECT_TRUE(same(draws, kDraws));
}

TEST(RandomMask, SaysWhatItExpected) {
  EXPECT_EQ(error_of([] { random_mask(kDraws, 5); }),
            "random_mask: expected prune in [0, 4], got 5");
  EXPECT_EQ(error_of([] {
              random_mask(kDraws, 1, torch::zeros({2, 2}));
            }),
            "random_mask: expected impossible of dtype Bool, got Float");
  EXPECT_EQ(error_of([] { random_mask(kDraws, 1, torch::zeros(4, torch::kBool)); }),
            "random_mask: expected impossible of shape [2, 2], got [4]");
  for (const double draw : {-0.1, kNan}) {
    EXPECT_EQ(error_of([&] {
                random_mask(torch::tensor({0.5, draw}), 1);
              }),
              "random_mask: expected draws of at least 0, got a negative one or NaN");
  }
}

}  // namespace
