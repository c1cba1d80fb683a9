#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>
#include <optional>

#include "ops/rewire.h"
#include "support/error.h"
#include "support/golden.h"

namespace {

using at::Tensor;
using rewire::ops::targeted_dropout;
using rewire::test::error_of;
using rewire::test::same;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const Tensor kWeight = torch::tensor({{1.0, -2.0, 3.0}, {-4.0, 5.0, -6.0}});

TEST(TargetedDropout, EvaluationDropsEveryCandidate) {
  EXPECT_TRUE(same(targeted_dropout(kWeight, 2, false, std::nullopt, 0.5),
                   torch::tensor({{0.0, 0.0, 3.0}, {-4.0, 5.0, -6.0}})));
  EXPECT_TRUE(same(targeted_dropout(kWeight, 2, true, std::nullopt, 0.5),
                   torch::tensor({{0.0, 0.0, 3.0}, {0.0, 0.0, -6.0}})));
}

TEST(TargetedDropout, TrainingDropsCandidatesDrawnBelowTheRate) {
  const Tensor draws = torch::tensor({{0.1, 0.5, 0.0}, {0.9, 0.49, 0.0}});
  EXPECT_TRUE(same(targeted_dropout(kWeight, 2, true, draws, 0.5),
                   torch::tensor({{0.0, -2.0, 3.0}, {-4.0, 0.0, -6.0}})));
  EXPECT_TRUE(same(targeted_dropout(kWeight, 6, false, draws, 0.0), kWeight));
}

TEST(TargetedDropout, DropsTheHigherOfEqualMagnitudes) {
  const Tensor weight = torch::tensor({{1.0, -1.0}, {-1.0, 1.0}});
  EXPECT_TRUE(same(targeted_dropout(weight, 1, false, std::nullopt, 1),
                   torch::tensor({{1.0, -1.0}, {-1.0, 0.0}})));
  EXPECT_TRUE(same(targeted_dropout(weight, 1, true, std::nullopt, 1),
                   torch::tensor({{1.0, 0.0}, {-1.0, 0.0}})));
}

TEST(TargetedDropout, GradientReachesWhatIsLeft) {
  const Tensor grad = torch::tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}});
  const Tensor weight = kWeight.clone().requires_grad_();
  targeted_dropout(weight, 2, false, std::nullopt, 1).backward(grad);
  EXPECT_TRUE(same(weight.grad(), torch::tensor({{0.0, 0.0, 3.0}, {4.0, 5.0, 6.0}})));
}

TEST(TargetedDropout, WithoutSignGivesMagnitudesAndTheGradientTimesTheSign) {
  const Tensor weight = kWeight.clone().requires_grad_();
  const Tensor out = targeted_dropout(weight, 2, false, std::nullopt, 1, false);
  EXPECT_TRUE(same(out.detach(), torch::tensor({{0.0, 0.0, 3.0}, {4.0, 5.0, 6.0}})));
  out.backward(torch::tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}));
  EXPECT_TRUE(same(weight.grad(), torch::tensor({{0.0, 0.0, 3.0}, {-4.0, 5.0, -6.0}})));
}

TEST(TargetedDropout, AZeroThatIsLeftHasAGradientWithItsSignAlone) {
  for (const bool keep_sign : {true, false}) {
    const Tensor weight = torch::zeros({1, 2}).requires_grad_();
    targeted_dropout(weight, 1, true, std::nullopt, 1, keep_sign).sum().backward();
    EXPECT_TRUE(same(weight.grad(), torch::tensor({{keep_sign ? 1.0 : 0.0, 0.0}}).to(at::kFloat)));
  }
}

TEST(TargetedDropout, TakesWholeRowsOfAConvolutionAndEmptyWeights) {
  torch::manual_seed(1);
  const Tensor weight = torch::randn({5, 3, 3, 3});
  EXPECT_TRUE(
      same(targeted_dropout(weight, 20, true, std::nullopt, 1),
           targeted_dropout(weight.view({5, 27}), 20, true, std::nullopt, 1).view({5, 3, 3, 3})));
  const Tensor empty = torch::zeros({0, 3});
  EXPECT_TRUE(same(targeted_dropout(empty, 2, true, std::nullopt, 1), empty));
  EXPECT_TRUE(same(targeted_dropout(empty, 0, false, empty, 1), empty));
}

TEST(TargetedDropout, SaysWhatItExpected) {
  const auto refuse = [](const Tensor& weight, int64_t candidates, bool per_row,
                         const std::optional<Tensor>& draws, double drop_rate) {
    return error_of([&] { targeted_dropout(weight, candidates, per_row, draws, drop_rate); });
  };
  EXPECT_EQ(refuse(kWeight, 7, false, std::nullopt, 1),
            "targeted_dropout: expected candidates in [0, 6], got 7");
  EXPECT_EQ(refuse(kWeight, 4, true, std::nullopt, 1),
            "targeted_dropout: expected candidates in [0, 3], got 4");
  EXPECT_EQ(refuse(kWeight, 1, true, torch::zeros({3, 2}), 1),
            "targeted_dropout: expected draws of shape [2, 3], got [3, 2]");
  EXPECT_EQ(refuse(kWeight, 1, true, std::nullopt, 1.5),
            "targeted_dropout: expected drop_rate in [0, 1], got 1.5");
  EXPECT_EQ(refuse(torch::zeros(3), 1, true, std::nullopt, 1),
            "targeted_dropout: expected weight of shape [out, ...], got [3]");
  const Tensor nan = torch::tensor({{1.0, 2.0}, {kNan, 3.0}});
  for (const bool per_row : {true, false}) {
    EXPECT_EQ(refuse(nan, 1, per_row, std::nullopt, 1),
              "targeted_dropout: expected weight without NaN, got NaN in row 1, column 0");
  }
}

}  // namespace
