// Wired layers as modules: counts, masks, and which kinds move.
#include "models/wiring.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "graph/wired_blocks.h"
#include "ops/rewire.h"
#include "support/golden.h"

namespace {

using namespace rewire;
using test::load_golden;

torch::jit::Module layer(const models::WiringDescription& description, int64_t out = 6,
                         int64_t in = 8, std::vector<uint8_t> impossible = {}) {
  at::Generator generator = at::detail::createCPUGenerator(3);
  if (impossible.empty()) impossible.assign(size_t(out * in), 0);
  return models::wiring(description, out, in, impossible, generator);
}

at::Tensor edges(torch::jit::Module module) { return module.get_method("edges")({}).toTensor(); }

// The layer as a network uses it, on an input [batch, in].
at::Tensor apply(torch::jit::Module module, const at::Tensor& input) {
  const at::Tensor candidates = module.get_method("candidates")({}).toTensor();
  const auto s = module.get_method("structure")({}).toTensorVector();
  if (s.empty()) return at::linear(input, candidates.flatten(1));
  return ops::wired_pointwise(input, candidates, std::nullopt, {s[0], s[1], s[2], s[3], s[4]},
                              module.attr("gradient").toStringRef(), "sparse");
}

// What it multiplies with: its outputs for inputs of a single 1.
at::Tensor effective(torch::jit::Module module) {
  const auto sizes = module.attr("weight").toTensor().sizes().vec();
  return apply(module, at::eye(sizes[1])).t().reshape(sizes);
}

at::Tensor weight(torch::jit::Module module) { return module.attr("weight").toTensor(); }

TEST(PrunedCount, TruncatesTheProductInDouble) {
  EXPECT_EQ(models::pruned_count(0.205, 1200), 245);
  EXPECT_EQ(models::pruned_count(0.58, 50), 28);
  EXPECT_EQ(models::pruned_count(0.95, 640000), 608000);
  EXPECT_EQ(models::pruned_count(0, 7), 0);
  EXPECT_EQ(models::pruned_count(1, 7), 7);
}

TEST(Wiring, EffectiveWeightIsTheWeightOfItsEdges) {
  for (const char* kind :
       {"complete", "dnw", "dnw_no_update", "random", "fine_tune", "reg_td", "td"}) {
    SCOPED_TRACE(kind);
    auto module = layer({.kind = kind, .prune_rate = std::string(kind) == "complete" ? 0 : 0.5});
    module.eval();
    EXPECT_TRUE(test::same(effective(module).detach(), (weight(module) * edges(module)).detach()));
    EXPECT_EQ(edges(module).sum().item<int64_t>(), std::string(kind) == "complete" ? 48 : 24);
  }
}

TEST(Wiring, DnwGivesEveryCandidateItsGradientAndNoUpdateOnlyTheKept) {
  for (const auto& [kind, gradient, receiving] :
       {std::tuple("dnw", "all", 48), std::tuple("dnw", "kept", 24),
        std::tuple("dnw_no_update", "all", 24)}) {
    auto module = layer({.kind = kind, .prune_rate = 0.5, .gradient = gradient});
    apply(module, at::ones({1, 8})).sum().backward();
    EXPECT_EQ(weight(module).grad().sum().item<int64_t>(), receiving) << kind << " " << gradient;
  }
}

TEST(Wiring, DnwFollowsItsWeights) {
  auto module = layer({.kind = "dnw", .prune_rate = 0.5});
  const at::Tensor before = edges(module).clone();
  {
    const at::NoGradGuard no_grad;
    weight(module).copy_(weight(module).flip({0}));
  }
  EXPECT_TRUE(test::same(edges(module), before.flip({0})));
}

TEST(Wiring, RandomNeverDrawsAnImpossibleEdge) {
  const auto impossible = graph::impossible_edges(6, 8, 2, 3);
  auto module = layer({.kind = "random", .prune_rate = 0.1}, 6, 8, impossible);
  const at::Tensor drawn = edges(module).flatten();
  int64_t possible = 0;
  for (size_t e = 0; e < impossible.size(); ++e) {
    possible += !impossible[e];
    EXPECT_FALSE(impossible[e] && drawn[int64_t(e)].item<bool>());
  }
  EXPECT_EQ(drawn.sum().item<int64_t>(), possible);  // fewer are impossible than are pruned
}

TEST(Wiring, FineTuneMaskLeavesOutZeros) {
  const at::Tensor weights = torch::tensor({{3.f, 0.f}, {-1.f, 0.f}});
  EXPECT_TRUE(
      test::same(models::fine_tune_mask(weights, 0), torch::tensor({{1.f, 0.f}, {1.f, 0.f}})));
  EXPECT_TRUE(
      test::same(models::fine_tune_mask(weights, 0.75), torch::tensor({{1.f, 0.f}, {0.f, 0.f}})));
}

TEST(Wiring, TargetedDropoutDropsOnlyCandidatesInTraining) {
  auto module = layer({.kind = "td", .prune_rate = 0.5, .rho = 1.0});
  const at::Tensor in_use = edges(module);
  EXPECT_TRUE(test::same(effective(module) != 0, in_use));
  auto never = layer({.kind = "td", .prune_rate = 0.5, .rho = 0.0});
  EXPECT_TRUE(test::same(effective(never).detach(), weight(never).detach()));
}

// Each output has its turn once in 1 / candidates steps, alone with its panel, and then all of the
// gradient that the other steps left out.
TEST(Wiring, SampledGradientReachesEveryOutputInTurn) {
  torch::manual_seed(1);
  auto module = layer({.kind = "dnw", .prune_rate = 0.5, .sampled = {{.candidates = 0.25}}}, 64);
  const int64_t out = weight(module).size(0);
  const auto rates = [&] { return module.get_method("gradient_rates")({}).toTensor(); };
  EXPECT_EQ(module.attr("gradient").toStringRef(), "candidates");
  const at::Generator generator = at::detail::getDefaultCPUGenerator();
  const at::Tensor before = generator.get_state();
  std::vector<at::Tensor> cycles;
  for (int cycle = 0; cycle < 2; ++cycle) {
    at::Tensor sum = at::zeros({out});
    std::vector<at::Tensor> steps;
    for (int step = 0; step < 4; ++step) {
      steps.push_back(rates());
      EXPECT_TRUE(test::same(steps.back() * (steps.back() - 4), at::zeros({out})));  // 0 or 4
      EXPECT_NEAR(steps.back().count_nonzero().item<double>(), out / 4.0, 1);
      sum += steps.back();
    }
    EXPECT_TRUE(test::same(sum, at::full({out}, 4.0)));
    cycles.push_back(at::stack(steps));
  }
  EXPECT_FALSE(test::same(cycles[0], cycles[1]));  // drawn anew
  at::Generator again = generator;
  again.set_state(before);
  EXPECT_TRUE(test::same(rates(), cycles[0][0]));  // by the generator that a run saves

  module.eval();
  EXPECT_TRUE(test::same(rates(), at::ones({out})));
  EXPECT_FALSE(layer({.kind = "dnw"}).hasattr("turn"));
}

TEST(Wiring, SampledGradientTakesTheNearestFraction) {
  for (const auto& [fraction, turns] : {std::pair(1.0, 1),
                                        {0.8, 1},
                                        {0.7, 2},
                                        {0.5, 2},
                                        {0.3, 3},
                                        {0.25, 4},
                                        {0.1, 10},
                                        {0.001, 1000}}) {
    auto module = layer({.kind = "dnw", .sampled = {{.candidates = fraction}}});
    EXPECT_EQ(module.attr("turns").toInt(), turns) << fraction;
  }
}

TEST(ImpossibleEdges, AgreeWithThePublishedCode) {
  for (const std::string& name : test::golden_names("layer_random_")) {
    SCOPED_TRACE(name);
    const auto golden = load_golden(name);
    const at::Tensor expected = golden.at("impossible");
    const bool is_static = golden.at("static").item<int64_t>() == 1;
    const auto impossible = graph::impossible_edges(
        expected.size(0), expected.size(1), golden.at("in_channels").item<int64_t>(),
        is_static ? golden.at("out_channels").item<int64_t>() : 0);
    EXPECT_TRUE(test::same(torch::tensor(impossible).view_as(expected), expected));
  }
}

}  // namespace
