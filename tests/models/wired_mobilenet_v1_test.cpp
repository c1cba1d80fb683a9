// The MobileNetV1-like networks and their stages against the published code.
#include "models/wired_mobilenet_v1.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "graph/wired_blocks.h"
#include "models/wiring.h"
#include "support/golden_network.h"

namespace {

using namespace rewire;
using at::Tensor;
using test::close;
using test::Golden;

constexpr double kOutput = 1e-5, kGradient = 2e-5, kStatistics = 2e-6;

// A stage with the weights of a golden file block_<kind>_...
models::Model stage(const std::string& kind, const Golden& golden) {
  const Tensor shape = golden.at("inp_out_stride_n");
  const auto size = [&](int64_t i) { return shape[i].item<int64_t>(); };
  const models::StageShape sizes{size(0), size(1), size(2), size(3)};
  const double rate = golden.at("layer_prune_rate").item<double>();
  EXPECT_NEAR(models::stage_prune_rate(sizes, golden.at("prune_rate").item<double>()), rate, 1e-12);
  at::Generator generator = at::detail::createCPUGenerator(0);
  models::Model model{
      models::wired_stage(sizes, {.kind = kind, .prune_rate = rate}, generator), {}, {}};
  std::map<std::string, Tensor> state;
  for (const auto& [name, tensor] : golden) {
    if (name.starts_with("param.")) state[name.substr(6)] = tensor.clone();
  }
  EXPECT_EQ(models::load_state(model, state).describe(), "");
  return model;
}

void expect_pass(models::Model& model, const Golden& golden, const std::string& mode) {
  SCOPED_TRACE(mode);
  const Tensor input = golden.at("input").clone().requires_grad_();
  for (Tensor parameter : model.module.parameters()) parameter.mutable_grad() = Tensor();
  const Tensor output = model.module.forward({input}).toTensor();
  EXPECT_TRUE(close(output, golden.at(mode + ".output"), kOutput));
  output.backward(golden.at("grad_output"));
  EXPECT_TRUE(close(input.grad(), golden.at(mode + ".grad_input"), kGradient));
  for (const auto& item : model.module.named_parameters()) {
    const Tensor& expected = golden.at(mode + ".grad." + item.name);
    EXPECT_TRUE(close(item.value.grad(), expected, kGradient)) << item.name;
  }
}

TEST(WiredStage, AgreesWithThePublishedBlock) {
  const auto names = test::golden_names("block_");
  EXPECT_EQ(names.size(), 12u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const Golden golden = test::load_golden(name);
    const std::string kind = name.substr(6, name.find('_', 6) - 6);
    for (const char* execution : {"sparse", "dense"}) {
      SCOPED_TRACE(execution);
      models::Model model = stage(kind, golden);
      models::set_execution(model, execution);
      model.module.eval();
      expect_pass(model, golden, "eval");
      model.module.train();
      expect_pass(model, golden, "train");
      for (const auto& [key, tensor] : script::named_tensors(model.module)) {
        const auto after = golden.find("after." + key);
        if (after != golden.end()) {
          EXPECT_TRUE(close(tensor, after->second, kStatistics)) << key;
        }
        if (key.ends_with("num_batches_tracked")) {
          EXPECT_EQ(tensor.item<int64_t>(), 1) << key;
        }
      }
    }
  }
}

const data::ImageSpec kCifar{3, 32, std::vector<std::string>(10, "class")};

models::Model formula_model(const std::string& kind, double prune_rate, const Golden& golden,
                            bool small = false, const data::ImageSpec& spec = kCifar) {
  models::WiredMobileNetV1Description description{.small = small, .wiring = {}};
  description.wiring = {.kind = kind, .prune_rate = prune_rate};
  models::Model model = models::build(description, spec, 0);
  test::load_formula(model, golden, [&](const std::string& name, uint32_t seed) {
    for (const models::Wiring& wiring : model.wirings) {
      if (wiring.name + ".mask" != name) continue;
      const int64_t out = wiring.readable.size(0), in = wiring.readable.size(1);
      return test::formula_mask(
          name, seed, {out, in}, models::pruned_count(wiring.rule.prune_rate, out * in),
          wiring.name == "linear.graph"
              ? std::vector<uint8_t>(out * in, 0)
              : graph::impossible_edges(out, in, wiring.groups[0], wiring.outputs));
    }
    return Tensor();
  });
  return model;
}

class MobileNetGolden : public testing::TestWithParam<const char*> {};

TEST_P(MobileNetGolden, LogitsLossGradientsAndStatisticsAgree) {
  const std::string name = GetParam(), kind = name.substr(0, name.find('_'));
  const Golden golden = test::load_golden("medium_" + name);
  models::Model model =
      formula_model(kind, kind == "complete" ? 0 : 0.775, golden, name.ends_with("_small"));
  test::expect_network(model, golden);
}

INSTANTIATE_TEST_SUITE_P(Kinds, MobileNetGolden,
                         testing::Values("complete", "dnw", "random", "dnw_small", "random_small"));

class LargeGolden : public testing::TestWithParam<const char*> {};

TEST_P(LargeGolden, LogitsAgree) {
  const std::string name = GetParam();
  const Golden golden = test::load_golden("large_" + name);
  models::Model model = formula_model("dnw", 0.775, golden, name.starts_with("dnw_small"),
                                      {3, 224, std::vector<std::string>(1000, "class")});
  test::expect_logits(model, golden);
}

INSTANTIATE_TEST_SUITE_P(Kinds, LargeGolden, testing::Values("dnw_x0225", "dnw_small_x0225"));

TEST(MobileNet, SmallClassifierKeepsABatchOfOne) {
  models::WiredMobileNetV1Description description{.small = true, .wiring = {.kind = "dnw"}};
  for (const char* kind : {"dnw", "complete", "td"}) {
    description.wiring.kind = kind;
    models::Model model = models::build(description, kCifar, 0);
    model.module.eval();
    EXPECT_EQ(model.module.forward({torch::zeros({1, 3, 32, 32})}).toTensor().sizes(),
              (std::vector<int64_t>{1, 10}));
  }
}

TEST(MobileNetTrajectory, ThreeStepsOfTrainingAgree) {
  const Golden golden = test::load_golden("trajectory_medium_dnw");
  models::Model model = formula_model("dnw", 0.775, golden);
  test::expect_trajectory(model, golden);
}

// A gradient reaches an edge of a complete wiring exactly where the model says that it is read.
TEST(WiredStage, ReadsEveryReadableEdgeAndNoOther) {
  torch::manual_seed(1);
  at::Generator generator = at::detail::createCPUGenerator(0);
  auto module = models::wired_stage({3, 4, 2, 3}, {.kind = "complete"}, generator);
  module.forward({torch::randn({2, 3, 9, 9})}).toTensor().square().sum().backward();
  const Tensor reached =
      module.attr("graph").toModule().attr("weight").toTensor().grad().flatten(1) != 0;
  const auto readable = graph::readable_edges(12, 11, graph::stage_blocks(3, 4, 3));
  EXPECT_TRUE(test::same(reached, torch::tensor(readable).view({12, 11}).to(at::kBool)));
}

TEST(MobileNet, ExecutionIsThatOfEveryStage) {
  models::Model model = models::build(
      models::WiredMobileNetV1Description{.wiring = {.kind = "dnw"}}, {1, 8, {"a", "b"}}, 0);
  models::set_execution(model, "dense");
  int64_t stages = 0;
  for (const auto& module : model.module.modules()) {
    if (!module.hasattr("execution")) continue;
    EXPECT_EQ(module.attr("execution").toStringRef(), "dense");
    ++stages;
  }
  EXPECT_EQ(stages, 5);
}

TEST(WiredStage, KeepsItsRunningStatisticsWhenABatchIsEmpty) {
  at::Generator generator = at::detail::createCPUGenerator(0);
  auto module = models::wired_stage({3, 4, 2, 2}, {.kind = "complete"}, generator);
  EXPECT_EQ(module.forward({torch::zeros({0, 3, 8, 8})}).toTensor().sizes(),
            (std::vector<int64_t>{0, 4, 4, 4}));
  for (const auto& item : module.named_buffers()) {
    EXPECT_FALSE(item.value.isnan().any().item<bool>()) << item.name;
  }
}

TEST(MobileNet, CountsItsWork) {
  models::WiredMobileNetV1Description description;
  description.wiring = {.kind = "complete"};
  const models::Model model = models::build(description, {1, 65, {"a", "b"}}, 0);
  // The first convolution strides for images of more than 64 pixels: maps of 33, 33, 17, 9, 5, 3.
  const int64_t edges = 32 * 64 * 33 * 33 + (64 * 256 + 128 * 128) * 17 * 17 +
                        (128 * 512 + 256 * 256) * 9 * 9 + (256 * 3072 + 512 * 512 * 15) * 5 * 5 +
                        (512 * 2048 + 1024 * 1024) * 3 * 3;
  const int64_t depthwise =
      9 * (32 * 33 * 33 + 192 * 17 * 17 + 384 * 9 * 9 + 2816 * 5 * 5 + 1536 * 3 * 3);
  EXPECT_EQ(models::count_macs(model),
            edges + depthwise + 9 * 32 * 33 * 33 + 1024 * 3 * 3 + 1024 * 2);
}

}  // namespace
