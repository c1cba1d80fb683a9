// The static classifier against the published code: logits, losses, gradients, running statistics
// and a training of five steps, on weights by formula.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <set>

#include "graph/wired_blocks.h"
#include "models/model.h"
#include "ops/rewire.h"
#include "support/golden_network.h"

namespace {

using namespace rewire;
using at::Tensor;
using test::Golden;

const data::ImageSpec kCifar{3, 32, std::vector<std::string>(10, "class")};

models::StaticDescription published(const std::string& kind) {
  models::StaticDescription description{
      .dim = 800, .downsample_dim = 32, .feature_dim = 100, .wiring = {}};
  description.wiring = {.kind = kind, .prune_rate = 0.95};
  return description;
}

// The mask of the random layer by formula.
Tensor formula_mask(const std::string& name, uint32_t seed) {
  return test::formula_mask(name, seed, {800, 800}, 608000,
                            graph::impossible_edges(800, 800, 32, 100));
}

models::Model formula_model(const std::string& kind, const Golden& golden) {
  models::Model model = models::build(published(kind), kCifar, 0);
  test::load_formula(model, golden, formula_mask);
  return model;
}

class StaticGolden : public testing::TestWithParam<const char*> {};

TEST_P(StaticGolden, LogitsLossGradientsAndStatisticsAgree) {
  const Golden golden = test::load_golden(std::string("small_static_") + GetParam());
  models::Model model = formula_model(GetParam(), golden);
  test::expect_network(model, golden);
}

INSTANTIATE_TEST_SUITE_P(Kinds, StaticGolden, testing::Values("dnw", "random"));

TEST(StaticTrajectory, FiveStepsOfTrainingAgree) {
  const Golden golden = test::load_golden("trajectory_small_static_dnw");
  models::Model model = formula_model("dnw", golden);
  test::expect_trajectory(model, golden);
}

TEST(StaticNames, AreThePublishedOnesAndNoOthers) {
  const std::set<std::string> published_names = {"downsample.0.weight",
                                                 "downsample.0.bias",
                                                 "downsample.1.weight",
                                                 "downsample.1.bias",
                                                 "downsample.1.running_mean",
                                                 "downsample.1.running_var",
                                                 "downsample.1.num_batches_tracked",
                                                 "downsample.3.weight",
                                                 "downsample.3.bias",
                                                 "downsample.4.weight",
                                                 "downsample.4.bias",
                                                 "downsample.5.weight",
                                                 "downsample.5.bias",
                                                 "downsample.5.running_mean",
                                                 "downsample.5.running_var",
                                                 "downsample.5.num_batches_tracked",
                                                 "conv.weight",
                                                 "graph.weight",
                                                 "norm.0.weight",
                                                 "norm.0.bias",
                                                 "norm.1.weight",
                                                 "norm.1.bias",
                                                 "norm.2.weight",
                                                 "norm.2.bias",
                                                 "norm.3.weight",
                                                 "norm.3.bias",
                                                 "norm.4.weight",
                                                 "norm.4.bias",
                                                 "fc.weight",
                                                 "fc.bias",
                                                 "zeros"};
  const models::Model model = models::build(published("dnw"), kCifar, 0);
  std::set<std::string> names;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) names.insert(name);
  EXPECT_EQ(names, published_names);
  EXPECT_EQ(model.module.attr("zeros").toTensor().sizes(), (std::vector<int64_t>{1, 768, 8, 8}));
}

TEST(StaticModel, SameSeedSameWeights) {
  const models::Model a = models::build(published("random"), kCifar, 5);
  const models::Model b = models::build(published("random"), kCifar, 5);
  const models::Model c = models::build(published("random"), kCifar, 6);
  EXPECT_TRUE(test::same(a.module.attr("conv").toModule().attr("weight").toTensor(),
                         b.module.attr("conv").toModule().attr("weight").toTensor()));
  EXPECT_TRUE(test::same(models::edges_kept(a, a.wirings[0]), models::edges_kept(b, b.wirings[0])));
  EXPECT_FALSE(
      test::same(models::edges_kept(a, a.wirings[0]), models::edges_kept(c, c.wirings[0])));
}

// Twelve channels in blocks of four, every edge kept, for grey images of 8x8 and two classes.
models::Model small_complete() {
  models::StaticDescription small{.dim = 12,
                                  .layers = 3,
                                  .downsample_dim = 4,
                                  .feature_dim = 3,
                                  .stem = "single",
                                  .pool = "global",
                                  .wiring = {}};
  small.wiring.kind = "complete";
  return models::build(small, {1, 8, {"a", "b"}}, 1);
}

TEST(StaticModel, ReadsEveryReadableEdgeAndNoOther) {
  // A gradient reaches an edge of a complete wiring exactly where the model says that it is read.
  models::Model model = small_complete();
  model.module.forward({torch::randn({2, 1, 8, 8})}).toTensor().square().sum().backward();
  const Tensor weight = models::wiring_module(model, model.wirings[0]).attr("weight").toTensor();
  const Tensor reached = weight.grad().flatten(1) != 0;
  EXPECT_FALSE(reached.logical_and(model.wirings[0].readable.logical_not()).any().item<bool>());
  EXPECT_GT(reached.sum().item<int64_t>(),
            model.wirings[0].readable.sum().item<int64_t>() * 9 / 10);
}

TEST(StaticModel, CountsItsWork) {
  const models::Model model = small_complete();
  // stem 9 x 4 x 64, depthwise 9 x 12 x 64, edges (4 x 8 + 4 x 4 + 4 x 3) x 64, classifier 3 x 2
  EXPECT_EQ(models::count_macs(model), 2304 + 6912 + 60 * 64 + 6);
  EXPECT_EQ(models::count_edges(model).kept, 144);
  EXPECT_EQ(models::count_edges(model).in_use, 60);
}

TEST(LoadState, FixesTheFineTuneMaskByTheLoadedWeights) {
  models::Model model = models::build(published("fine_tune"), kCifar, 0);
  std::map<std::string, Tensor> state;
  for (const auto& [name, tensor] : script::named_tensors(model.module))
    state[name] = tensor.clone();
  state.erase("graph.mask");
  state["graph.weight"] = state["graph.weight"].flip({0});
  EXPECT_EQ(models::load_state(model, state).describe(), "");
  const Tensor expected = ops::strongest_mask(state["graph.weight"], 32000).flatten(1);
  EXPECT_TRUE(test::same(models::edges_kept(model, model.wirings[0]), expected));
}

TEST(LoadState, NamesWhatDoesNotFit) {
  models::Model model = models::build(published("dnw"), kCifar, 0);
  std::map<std::string, Tensor> state;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) state[name] = tensor;
  state.erase("fc.bias");
  state["extra"] = torch::zeros({1});
  state["fc.weight"] = torch::zeros({3, 100});
  EXPECT_EQ(models::load_state(model, state).describe(),
            "missing: fc.bias; unexpected: extra; mismatched: fc.weight: expected [10, 100], got "
            "[3, 100]");
}

}  // namespace
