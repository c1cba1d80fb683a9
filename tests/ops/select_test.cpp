#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <vector>

#include "ops/rewire.h"
#include "support/error.h"
#include "support/golden.h"
#include "support/reference.h"

namespace {

using at::Tensor;
using rewire::ops::select;
using rewire::ops::Selection;
using rewire::test::error_of;
using rewire::test::same;
using rewire::test::structure_of;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor ints(const std::vector<int>& values) {
  return torch::tensor(values, torch::dtype(torch::kInt));
}

void expect_same(const Selection& got, const Selection& expected) {
  EXPECT_TRUE(same(got.row_offsets, expected.row_offsets));
  EXPECT_TRUE(same(got.columns, expected.columns));
  EXPECT_TRUE(same(got.column_offsets, expected.column_offsets));
  EXPECT_TRUE(same(got.rows, expected.rows));
  EXPECT_TRUE(same(got.order, expected.order));
  EXPECT_TRUE(same(got.threshold, expected.threshold));
}

const Tensor kWeight = torch::tensor({{0.1, -0.9, 0.0, 0.4},  //
                                      {0.0, 0.2, 0.0, 0.0},
                                      {-0.8, 0.0, 0.3, 0.7}},
                                     torch::kFloat);

TEST(Select, GivesCsrAndItsTranspose) {
  //    .  -0.9   .   0.4        edges in CSR order: 0: (0, 1)  1: (0, 3)  2: (2, 0)  3: (2, 3)
  //    .    .    .    .
  //  -0.8   .    .   0.7        by input:           (2, 0)  (0, 1)  (0, 3)  (2, 3)
  const Selection s = select(kWeight, 4);
  EXPECT_TRUE(same(s.row_offsets, ints({0, 2, 2, 4})));
  EXPECT_TRUE(same(s.columns, ints({1, 3, 0, 3})));
  EXPECT_TRUE(same(s.column_offsets, ints({0, 1, 2, 2, 4})));
  EXPECT_TRUE(same(s.rows, ints({2, 0, 0, 2})));
  EXPECT_TRUE(same(s.order, ints({2, 0, 1, 3})));
  EXPECT_TRUE(same(s.threshold, torch::tensor(0.4f)));
}

TEST(Select, KeepsTheLowerOfEqualMagnitudes) {
  const Tensor weight = torch::tensor({{1.0, -2.0, 1.0}, {-1.0, 1.0, 2.0}});
  const Selection s = select(weight, 4);
  EXPECT_TRUE(same(s.row_offsets, ints({0, 3, 4})));
  EXPECT_TRUE(same(s.columns, ints({0, 1, 2, 2})));
}

TEST(Select, TakesPlusAndMinusZeroAsEqual) {
  const Selection s = select(torch::tensor({{-0.0, 0.0, -0.0}}), 2);
  EXPECT_TRUE(same(s.columns, ints({0, 1})));
  EXPECT_FALSE(std::signbit(s.threshold.item<double>()));
}

TEST(Select, KeepsNoneOrAll) {
  const Selection none = select(kWeight, 0);
  EXPECT_TRUE(same(none.row_offsets, ints({0, 0, 0, 0})));
  EXPECT_TRUE(same(none.column_offsets, ints({0, 0, 0, 0, 0})));
  EXPECT_EQ(none.columns.numel(), 0);
  EXPECT_EQ(none.threshold.item<double>(), INFINITY);

  const Selection all = select(kWeight, 12);
  EXPECT_TRUE(same(all.row_offsets, ints({0, 4, 8, 12})));
  EXPECT_TRUE(same(all.rows, ints({0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2})));
  EXPECT_TRUE(same(all.order, ints({0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11})));
  EXPECT_EQ(all.threshold.item<double>(), 0);
}

TEST(Select, TakesEmptyWeights) {
  for (const auto& [out, in] : {std::pair{0, 3}, {2, 0}, {0, 0}}) {
    const Selection s = select(torch::zeros({out, in}), 0);
    EXPECT_TRUE(same(s.row_offsets, torch::zeros(out + 1, torch::kInt)));
    EXPECT_TRUE(same(s.column_offsets, torch::zeros(in + 1, torch::kInt)));
    EXPECT_EQ(s.threshold.item<double>(), INFINITY);
  }
}

TEST(Select, TakesInfinity) {
  const Selection s = select(torch::tensor({{1.0, -kInfinity, 2.0}}), 1);
  EXPECT_TRUE(same(s.columns, ints({1})));
  EXPECT_EQ(s.threshold.item<double>(), INFINITY);
}

TEST(Select, TakesAnyStridesAndAConvolutionsShape) {
  const Selection expected = select(kWeight, 4);
  expect_same(select(kWeight.t().contiguous().t(), 4), expected);
  expect_same(select(kWeight.view({3, 4, 1, 1}), 4), expected);
  const Selection expanded = select(torch::tensor({{1.0, 3.0, 2.0}}).expand({2, 3}), 2);
  EXPECT_TRUE(same(expanded.columns, ints({1, 1})));
}

TEST(Select, AgreesWithTheMaskForEveryDtype) {
  torch::manual_seed(1);
  const Tensor random = torch::randn({37, 53});
  for (const auto dtype : {torch::kFloat, torch::kDouble, torch::kHalf, torch::kBFloat16}) {
    const Tensor weight = random.to(dtype);
    for (const int64_t keep : {1, 98, 1000, 1961}) {
      const Tensor mask = rewire::ops::strongest_mask(weight, keep);
      expect_same(select(weight, keep), structure_of(weight, mask));
    }
  }
}

TEST(Select, IsTheSameWithAnyHint) {
  torch::manual_seed(2);
  const Tensor weight = torch::randn({64, 300});
  const Selection cold = select(weight, 960);
  const float good = cold.threshold.item<float>();
  for (const float hint : {good, good * 0.99f, good * 1.01f, good * 0.5f, good * 2, 0.f, -good,
                           INFINITY, -INFINITY, NAN, 1e-45f}) {
    SCOPED_TRACE(hint);
    expect_same(select(weight, 960, torch::tensor(hint)), cold);
  }
}

TEST(Select, IsTheSameWhereASampleOfPlacesMisleads) {
  // The strong entries lie where a fixed step does not look, and then only where it does.
  Tensor weight = torch::full({256, 1024}, 1e-3);
  weight.flatten().slice(0, 1, c10::nullopt, 65).fill_(1.0);
  expect_same(select(weight, 4000),
              structure_of(weight, rewire::ops::strongest_mask(weight, 4000)));
  EXPECT_EQ(select(weight, 4000).threshold.item<float>(), 1.0f);
  weight = torch::full({256, 1024}, 1e-3);
  weight.flatten().slice(0, 0, c10::nullopt, 65).fill_(1.0);
  EXPECT_EQ(select(weight, 4100).threshold.item<float>(), 1e-3f);
}

TEST(Select, IsTheSameAtOneThreadAndTwo) {
  torch::manual_seed(3);
  const Tensor weight = (torch::randn({512, 400}) * 4).round();
  const int threads = at::get_num_threads();
  for (const int64_t keep : {0, 5000, 150000, 204800}) {
    at::set_num_threads(1);
    const Selection one = select(weight, keep);
    at::set_num_threads(2);
    expect_same(select(weight, keep), one);
  }
  at::set_num_threads(threads);
}

TEST(Select, RequiresNoGradient) {
  const Selection s = select(kWeight.clone().requires_grad_(), 4);
  EXPECT_FALSE(s.threshold.requires_grad());
}

TEST(Select, ChecksInInferenceMode) {
  const c10::InferenceMode guard;
  EXPECT_EQ(error_of([] { select(kWeight, 13); }), "select: expected keep in [0, 12], got 13");
  EXPECT_TRUE(same(select(kWeight, 1).columns, ints({1})));
}

TEST(Select, NamesTheNan) {
  Tensor weight = kWeight.clone();
  weight[2][1] = NAN;
  for (const int64_t keep : {0, 1, 12}) {
    EXPECT_EQ(error_of([&] { select(weight, keep); }),
              "select: expected weight without NaN, got NaN in row 2, column 1");
  }
}

TEST(Select, SaysWhatItExpected) {
  EXPECT_EQ(error_of([] { select(kWeight, -1); }), "select: expected keep in [0, 12], got -1");
  EXPECT_EQ(error_of([] {
              select(kWeight.view({3, 2, 2}), 1);
            }),
            "select: expected weight of shape [out, in] or [out, in, 1, 1], got [3, 2, 2]");
  EXPECT_EQ(error_of([] { select(kWeight.to(torch::kInt), 1); }),
            "select: expected weight of dtype Float, Double, Half or BFloat16, got Int");
  EXPECT_EQ(error_of([] { select(kWeight, 1, torch::tensor({0.1f})); }),
            "select: expected hint of shape [], got [1]");
  EXPECT_EQ(error_of([] { select(kWeight, 1, torch::tensor(0.1, torch::kDouble)); }),
            "select: expected hint of dtype Float, got Double");
}

TEST(Select, RefusesMoreEdgesThanAnIndexCounts) {
  const Tensor weight = torch::empty({1 << 16, 1 << 16}, torch::device(torch::kMeta));
  EXPECT_EQ(error_of([&] { select(weight, int64_t{1} << 31); }),
            "select: expected keep of at most 2147483647 edges, got 2147483648");
}

}  // namespace
