#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "ops/rewire.h"
#include "support/error.h"
#include "support/golden.h"

namespace {

using at::Tensor;
using rewire::ops::strongest_mask;
using rewire::test::error_of;
using rewire::test::same;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(StrongestMask, IsTrueForTheKept) {
  const Tensor weight = torch::tensor({0.5, -3.0, 1.0, 2.0});
  EXPECT_TRUE(same(strongest_mask(weight, 2), torch::tensor({false, true, false, true})));
  EXPECT_TRUE(same(strongest_mask(weight, 0), torch::tensor({false, false, false, false})));
  EXPECT_TRUE(same(strongest_mask(weight, 4), torch::tensor({true, true, true, true})));
}

TEST(StrongestMask, KeepsTheLowerOfEqualMagnitudes) {
  EXPECT_TRUE(same(strongest_mask(torch::tensor({{1.0, -1.0}, {1.0, -1.0}}), 3),
                   torch::tensor({{true, true}, {true, false}})));
}

TEST(StrongestMask, KeepsTheShape) {
  torch::manual_seed(1);
  const Tensor weight = torch::randn({4, 3, 2, 5});
  const Tensor mask = strongest_mask(weight, 60);
  EXPECT_TRUE(same(mask, strongest_mask(weight.view({12, 10}), 60).view({4, 3, 2, 5})));
  EXPECT_TRUE(same(strongest_mask(weight.permute({3, 1, 0, 2}), 60),
                   strongest_mask(weight.permute({3, 1, 0, 2}).contiguous(), 60)));
  EXPECT_TRUE(same(strongest_mask(torch::tensor(2.0), 1), torch::tensor(true)));
  EXPECT_TRUE(same(strongest_mask(torch::zeros({0, 3}), 0), torch::zeros({0, 3}, torch::kBool)));
}

TEST(StrongestMask, TakesEachDtypeWhereItsNumbersEnd) {
  for (const auto dtype : {torch::kFloat, torch::kDouble, torch::kHalf, torch::kBFloat16}) {
    // inf > 1 > the smallest normal number > 0, and 1 apart from its neighbour above by one bit.
    const Tensor weight = torch::tensor({0.0, 6.104e-05, 1.0, 1.0078125, -kInfinity}).to(dtype);
    for (int64_t keep = 0; keep <= 5; ++keep) {
      EXPECT_TRUE(same(strongest_mask(weight, keep), torch::arange(5) >= 5 - keep)) << dtype;
    }
  }
}

TEST(StrongestMask, SaysWhatItExpected) {
  EXPECT_EQ(error_of([] { strongest_mask(torch::zeros(3), 4); }),
            "strongest_mask: expected keep in [0, 3], got 4");
  EXPECT_EQ(error_of([] { strongest_mask(torch::zeros(3, torch::kLong), 1); }),
            "strongest_mask: expected weight of dtype Float, Double, Half or BFloat16, got Long");
  EXPECT_EQ(error_of([] {
              strongest_mask(torch::tensor({1.0, kNan}), 1);
            }),
            "strongest_mask: expected weight without NaN, got NaN in row 0, column 1");
}

}  // namespace
