// One graph layer of each kind against the published code: effective weight, masks, output and
// gradients, for every size and prune rate in tests/golden/layer_*.pt.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <optional>
#include <string>

#include "ops/rewire.h"
#include "support/golden.h"

namespace {

using at::Tensor;
using rewire::test::close;
using rewire::test::Golden;
using rewire::test::golden_names;
using rewire::test::load_golden;
using rewire::test::same;

// One layer in float32 against the same in float64 differs by up to 3e-7.
constexpr double kTolerance = 5e-6;

// Entries to drop among `total`: the product in double, truncated, as published.
int64_t dropped(const Tensor& rate, int64_t total) {
  return static_cast<int64_t>(rate.item<double>() * static_cast<double>(total));
}

std::string rate_prefix(int64_t n) { return fmt::format("r{}.", n); }

// Runs the layer with the effective weight that `effective` makes of `weight`, forward and
// backward, and compares with what the file holds under `prefix`.
template <typename F>
void expect_layer(const Golden& golden, const std::string& prefix, const Tensor& weight,
                  F&& effective) {
  SCOPED_TRACE(prefix);
  const Tensor w = weight.clone().requires_grad_();
  const Tensor x = golden.at("input").clone().requires_grad_();
  const Tensor used = effective(w);
  const Tensor output = torch::conv2d(x, used);
  output.backward(golden.at("grad_output"));

  EXPECT_TRUE(same(used.detach(), golden.at(prefix + "effective_weight")));
  EXPECT_TRUE(close(output, golden.at(prefix + "output"), kTolerance));
  EXPECT_TRUE(close(x.grad(), golden.at(prefix + "grad_input"), kTolerance));
  EXPECT_TRUE(close(w.grad(), golden.at(prefix + "grad_weight"), kTolerance));
}

void expect_kept_strongest(const Golden& golden, const std::string& gradient) {
  const Tensor weight = golden.at("weight");
  for (int64_t n = 0; n < golden.at("rates").numel(); ++n) {
    const int64_t prune = dropped(golden.at(rate_prefix(n) + "prune_rate"), weight.numel());
    ASSERT_EQ(prune, golden.at(rate_prefix(n) + "p").item<int64_t>());
    expect_layer(golden, rate_prefix(n), weight, [&](const Tensor& w) {
      return rewire::ops::keep_strongest(w, w.numel() - prune, gradient);
    });
  }
}

void expect_random(const Golden& golden) {
  const Tensor weight = golden.at("weight");
  const Tensor impossible = golden.at("impossible").to(at::kBool).view(weight.sizes());
  for (int64_t n = 0; n < golden.at("rates").numel(); ++n) {
    const std::string prefix = rate_prefix(n);
    const int64_t prune = dropped(golden.at(prefix + "prune_rate"), weight.numel());
    const Tensor mask = rewire::ops::random_mask(golden.at(prefix + "draws"), prune, impossible);
    EXPECT_TRUE(same(mask, golden.at(prefix + "mask").to(at::kBool))) << prefix;
    EXPECT_EQ(mask.sum().item<int64_t>(), golden.at(prefix + "kept").item<int64_t>()) << prefix;
    expect_layer(golden, prefix, weight, [&](const Tensor& w) { return w * mask; });
  }
}

void expect_fine_tune(const Golden& golden) {
  const Tensor weight = golden.at("weight");
  for (int64_t n = 0; n < golden.at("rates").numel(); ++n) {
    const std::string prefix = rate_prefix(n);
    const int64_t prune = dropped(golden.at(prefix + "prune_rate"), weight.numel());
    const Tensor mask = rewire::ops::strongest_mask(weight, weight.numel() - prune) & (weight != 0);
    EXPECT_TRUE(same(mask, golden.at(prefix + "mask").to(at::kBool))) << prefix;
    const auto masked = [&](const Tensor& w) { return w * mask; };
    expect_layer(golden, prefix, weight, masked);
    expect_layer(golden, prefix + "later.", golden.at("weight_later"), masked);
  }
}

void expect_targeted_dropout(const Golden& golden, bool per_row) {
  const Tensor weight = golden.at("weight");
  const int64_t total = per_row ? weight.size(1) : weight.numel();
  for (int64_t n = 0; golden.contains(rate_prefix(n) + "prune_rate"); ++n) {
    const std::string prefix = rate_prefix(n);
    const int64_t candidates = dropped(golden.at(prefix + "prune_rate"), total);
    const double drop_rate = golden.at(prefix + "rho").item<double>();
    // A draw of 0 is below the rate, one of 1 is not. Where the rate is 0 nothing was dropped.
    const Tensor draws = golden.at(prefix + "train.dropped").eq(0).to(at::kFloat);
    for (const bool keep_sign : {true, false}) {
      const std::string form = keep_sign ? "signed." : "published.";
      expect_layer(golden, prefix + "train." + form, weight, [&](const Tensor& w) {
        return rewire::ops::targeted_dropout(w, candidates, per_row, draws, drop_rate, keep_sign);
      });
      expect_layer(golden, prefix + "eval." + form, weight, [&](const Tensor& w) {
        return rewire::ops::targeted_dropout(w, candidates, per_row, std::nullopt, drop_rate,
                                             keep_sign);
      });
    }
  }
}

// Runs `check` on every file of a kind: their names continue with the sizes, a digit.
template <typename F>
void for_each_layer(const std::string& kind, size_t expected_files, F&& check) {
  size_t files = 0;
  for (const std::string& name : golden_names(fmt::format("layer_{}_", kind))) {
    if (!std::isdigit(name[kind.size() + 7])) continue;
    SCOPED_TRACE(name);
    check(load_golden(name));
    ++files;
  }
  EXPECT_EQ(files, expected_files);
}

TEST(GoldenLayer, CompleteIsTheWholeWeight) {
  for_each_layer("complete", 3, [](const Golden& golden) { expect_kept_strongest(golden, "all"); });
}

TEST(GoldenLayer, Dnw) {
  for_each_layer("dnw", 3, [](const Golden& golden) { expect_kept_strongest(golden, "all"); });
}

TEST(GoldenLayer, DnwNoUpdate) {
  for_each_layer("dnw_no_update", 3,
                 [](const Golden& golden) { expect_kept_strongest(golden, "kept"); });
}

TEST(GoldenLayer, Random) { for_each_layer("random", 7, expect_random); }

TEST(GoldenLayer, FineTune) { for_each_layer("fine_tune", 2, expect_fine_tune); }

TEST(GoldenLayer, TargetedDropoutOverTheWholeWeight) {
  for_each_layer("td", 3, [](const Golden& golden) { expect_targeted_dropout(golden, false); });
}

TEST(GoldenLayer, TargetedDropoutByRow) {
  for_each_layer("reg_td", 3, [](const Golden& golden) { expect_targeted_dropout(golden, true); });
}

}  // namespace
