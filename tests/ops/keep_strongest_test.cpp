#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "ops/rewire.h"
#include "support/error.h"
#include "support/golden.h"

namespace {

using at::Tensor;
using rewire::ops::keep_strongest;
using rewire::test::error_of;
using rewire::test::same;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

const Tensor kWeight = torch::tensor({{0.5, -3.0}, {-1.0, 2.0}});

TEST(KeepStrongest, ZeroesTheOthers) {
  EXPECT_TRUE(same(keep_strongest(kWeight, 2), torch::tensor({{0.0, -3.0}, {0.0, 2.0}})));
  EXPECT_TRUE(same(keep_strongest(kWeight, 0), torch::zeros({2, 2})));
  EXPECT_TRUE(same(keep_strongest(kWeight, 4), kWeight));
}

TEST(KeepStrongest, LeavesPlusZero) {
  for (const char* gradient : {"all", "kept"}) {
    const Tensor weight = torch::tensor({-0.5, -3.0}).requires_grad_();
    EXPECT_FALSE(std::signbit(keep_strongest(weight, 1, gradient)[0].item<double>()));
  }
}

TEST(KeepStrongest, GradientReachesAllOrTheKept) {
  const Tensor grad = torch::tensor({{1.0, 2.0}, {3.0, 4.0}});
  const Tensor all = kWeight.clone().requires_grad_();
  keep_strongest(all, 2).backward(grad);
  EXPECT_TRUE(same(all.grad(), grad));

  const Tensor kept = kWeight.clone().requires_grad_();
  keep_strongest(kept, 2, "kept").backward(grad);
  EXPECT_TRUE(same(kept.grad(), torch::tensor({{0.0, 2.0}, {0.0, 4.0}})));
}

TEST(KeepStrongest, GradientReachesAKeptZero) {
  const Tensor weight = torch::tensor({0.0, 0.0, 1.0}).requires_grad_();
  keep_strongest(weight, 2, "kept").sum().backward();
  EXPECT_TRUE(same(weight.grad(), torch::tensor({1.0, 0.0, 1.0})));
}

TEST(KeepStrongest, DropsGradientsThatAreNotFinite) {
  const Tensor weight = kWeight.clone().requires_grad_();
  keep_strongest(weight, 2, "kept").backward(torch::tensor({{kNan, 2.0}, {kInfinity, 4.0}}));
  EXPECT_TRUE(same(weight.grad(), torch::tensor({{0.0, 2.0}, {0.0, 4.0}})));
}

TEST(KeepStrongest, IsOneFunctionWithGradientAndWithout) {
  torch::manual_seed(1);
  for (const auto dtype : {torch::kFloat, torch::kDouble, torch::kHalf, torch::kBFloat16}) {
    const Tensor weight = torch::randn({17, 9}).to(dtype).t();
    const Tensor plain = keep_strongest(weight, 40);
    const Tensor leaf = weight.clone().requires_grad_();
    EXPECT_TRUE(same(keep_strongest(leaf, 40, "all").detach(), plain));
    EXPECT_TRUE(same(keep_strongest(leaf, 40, "kept").detach(), plain));
    EXPECT_EQ(plain.count_nonzero().item<int64_t>(), 40);
  }
}

TEST(KeepStrongest, NeverAliasesItsInput) {
  const Tensor out = keep_strongest(kWeight, 4);
  EXPECT_NE(out.data_ptr(), kWeight.data_ptr());
}

TEST(KeepStrongest, SaysWhatItExpected) {
  EXPECT_EQ(error_of([] { keep_strongest(kWeight, 5); }),
            "keep_strongest: expected keep in [0, 4], got 5");
  EXPECT_EQ(error_of([] { keep_strongest(kWeight, 1, "none"); }),
            "keep_strongest: expected gradient `all` or `kept`, got `none`");
  const Tensor leaf = kWeight.clone().requires_grad_();
  EXPECT_EQ(error_of([&] { keep_strongest(leaf, 5, "kept"); }),
            "keep_strongest: expected keep in [0, 4], got 5");
  EXPECT_EQ(error_of([] {
              keep_strongest(torch::tensor({{{1.0}, {kNan}}}), 1);
            }),
            "keep_strongest: expected weight without NaN, got NaN in row 0, column 1");
  EXPECT_EQ(error_of([] {
              keep_strongest(torch::tensor({{{1.0}, {kNan}}}), 1, "kept");
            }),
            "strongest_mask: expected weight without NaN, got NaN in row 0, column 1");
}

}  // namespace
