// The sparse ResNets against the published code, and what is our own about them.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "models/fast_eval.h"
#include "models/profile.h"
#include "support/error.h"
#include "support/golden_network.h"

namespace {

using namespace rewire;
using at::Tensor;
using models::ResNetDescription;
using test::Golden;

const data::ImageSpec kImageNet{3, 224, std::vector<std::string>(1000, "class")};
const data::ImageSpec kTiny{1, 33, {"a", "b"}};  // maps of 17, 9, 9, 5, 3 and 2

models::Model formula_model(const ResNetDescription& description, const Golden& golden) {
  models::Model model = models::build(description, kImageNet, 0);
  test::load_formula(model, golden, {});
  return model;
}

TEST(ResNet, TrainsAsPublished) {
  const Golden golden = test::load_golden("resnet18_allsparse50");
  for (const char* execution : {"sparse", "dense"}) {
    SCOPED_TRACE(execution);
    models::Model model =
        formula_model({.depth = 18, .wiring = {.kind = "dnw", .prune_rate = 0.5}}, golden);
    EXPECT_EQ(model.wirings.size(), 21u);
    models::set_execution(model, execution);
    test::expect_network(model, golden);
  }
}

TEST(ResNet, WithADenseFirstConvolutionEvaluatesAsPublished) {
  const Golden golden = test::load_golden("resnet18_ignorefirst30");
  models::Model model = formula_model(
      {.depth = 18, .dense_first = true, .wiring = {.kind = "dnw", .prune_rate = 0.7}}, golden);
  EXPECT_EQ(model.wirings.size(), 20u);
  test::expect_edges(model, golden);
  test::expect_logits(model, golden);
}

TEST(ResNet, WithTargetedDropoutEvaluatesAsPublished) {
  const Golden golden = test::load_golden("resnet18_tdsparse10");
  models::Model model = formula_model(
      {.depth = 18, .wiring = {.kind = "td", .prune_rate = 0.9, .keep_sign = false}}, golden);
  test::expect_edges(model, golden);
  test::expect_logits(model, golden);
}

TEST(ResNet, OfBottlenecksEvaluatesAsPublished) {
  const Golden golden = test::load_golden("resnet50_allsparse20");
  models::Model model =
      formula_model({.depth = 50, .wiring = {.kind = "dnw", .prune_rate = 0.8}}, golden);
  EXPECT_EQ(model.wirings.size(), 54u);
  for (const char* execution : {"sparse", "dense"}) {
    SCOPED_TRACE(execution);
    models::set_execution(model, execution);
    test::expect_edges(model, golden);
    test::expect_logits(model, golden);
  }
}

// He et al. 2015, table 1, has 1.8, 3.6, 3.8, 7.6 and 11.3 thousand million, with the bottleneck's
// stride a layer earlier than here. The parameters are torchvision's, which has a bias of 1,000.
TEST(ResNet, CountsItsWork) {
  const std::tuple<int64_t, int64_t, double> known[] = {
      {18, 11689512, 1.81e9},
      {34, 21797672, 3.66e9},
      {50, 25557032, 4.09e9},
      {101, 44549160, 7.80e9},
      {152, 60192808, 11.51e9}};
  for (const auto& [depth, parameters, macs] : known) {
    SCOPED_TRACE(depth);
    const ResNetDescription description{.depth = depth, .wiring = {.kind = "complete"}};
    const models::Model model = models::build(description, kImageNet, 0);
    EXPECT_EQ(models::count_parameters(model), parameters - 1000);
    EXPECT_NEAR(double(models::count_macs(model)), macs, 0.01e9);
  }
}

TEST(ResNet, ProfilesEveryConvolution) {
  const ResNetDescription description{
      .depth = 18, .dense_first = true, .wiring = {.kind = "dnw", .prune_rate = 0.75}};
  const models::Model model = models::build(description, kTiny, 0);
  std::map<std::string, models::LayerProfile> rows;
  for (const models::LayerProfile& row : models::profile(model, description)) rows[row.name] = row;
  ASSERT_EQ(rows.size(), 21u);
  const auto expect = [&](const std::string& name, int64_t weights, int64_t used, int64_t side) {
    SCOPED_TRACE(name);
    const models::LayerProfile& row = rows.at(name);
    EXPECT_EQ(row.dense.parameters, weights);
    EXPECT_EQ(row.wired.parameters, used);
    EXPECT_EQ(row.dense.macs, weights * side * side);
    EXPECT_EQ(row.wired.macs, used * side * side);
    EXPECT_EQ(row.fast_eval.macs, used * side * side);
  };
  expect("conv1", 49 * 64, 49 * 64, 17);
  expect("layer1.1.conv2", 9 * 64 * 64, 9 * 64 * 16, 9);
  expect("layer2.0.conv1", 9 * 64 * 128, 9 * 16 * 128, 5);
  expect("layer2.0.downsample.0", 64 * 128, 16 * 128, 5);
  expect("layer4.1.conv2", 9 * 512 * 512, 9 * 512 * 128, 2);
  expect("fc", 2 * 512, 2 * 128, 1);
}

std::vector<ResNetDescription> every_rule() {
  std::vector<ResNetDescription> networks;
  for (const char* kind : {"dnw", "dnw_no_update", "random", "fine_tune", "reg_td", "td"}) {
    networks.push_back({.depth = 18, .wiring = {.kind = kind, .prune_rate = 0.75}});
  }
  networks.push_back({.depth = 18, .wiring = {.kind = "complete"}});
  networks.push_back(
      {.depth = 18, .wiring = {.kind = "dnw", .prune_rate = 0.75, .gradient = "kept"}});
  networks.push_back({.depth = 50, .wiring = {.kind = "dnw", .prune_rate = 0.75}});
  return networks;
}

class EveryRule : public testing::TestWithParam<ResNetDescription> {
 protected:
  EveryRule() {
    torch::manual_seed(1);
    image_ = torch::randn({2, 1, 33, 33});
    model_.module.eval();
  }
  // Logits of the image, and the gradients of their squares.
  Tensor pass(const std::string& execution, std::map<std::string, Tensor>& gradients) {
    models::set_execution(model_, execution);
    for (Tensor parameter : model_.module.parameters()) parameter.mutable_grad() = Tensor();
    const Tensor logits = model_.module.forward({image_}).toTensor();
    logits.square().sum().backward();
    for (const auto& item : model_.module.named_parameters()) {
      gradients[item.name] = item.value.grad();
    }
    return logits.detach();
  }

  const models::WiringDescription& rule_ = GetParam().wiring;
  models::Model model_ = models::build(GetParam(), kTiny, 0);
  Tensor image_;
};

TEST_P(EveryRule, KeepsItsShareOfEachLayer) {
  for (const models::Wiring& wiring : model_.wirings) {
    const Tensor kept = models::edges_kept(model_, wiring);
    EXPECT_EQ(kept.sizes(), wiring.readable.sizes()) << wiring.name;
    const int64_t rows = kept.size(0), columns = kept.size(1), all = rows * columns;
    const int64_t left =
        rule_.kind == "reg_td" ? all - rows * (columns * 3 / 4) : all - all * 3 / 4;
    EXPECT_EQ(kept.sum().item<int64_t>(), rule_.kind == "complete" ? all : left) << wiring.name;
  }
}

TEST_P(EveryRule, ComputesTheSameInEveryExecution) {
  std::map<std::string, Tensor> of_sparse, of_dense;
  const Tensor sparse = pass("sparse", of_sparse), dense = pass("dense", of_dense);
  EXPECT_TRUE(test::close(dense, sparse, 1e-5));
  for (const auto& [name, gradient] : of_sparse) {
    EXPECT_TRUE(test::close(of_dense.at(name), gradient, 1e-4)) << name;
  }
  const bool to_all = rule_.kind == "dnw" && rule_.gradient == "all";
  for (const models::Wiring& wiring : model_.wirings) {
    const Tensor reached = of_sparse.at(wiring.name + ".weight").flatten(1) != 0;
    const Tensor kept = models::edges_kept(model_, wiring);
    EXPECT_TRUE(reached.logical_and(kept).any().item<bool>()) << wiring.name;
    EXPECT_EQ(reached.logical_and(kept.logical_not()).any().item<bool>(), to_all) << wiring.name;
  }
}

TEST_P(EveryRule, ComputesTheSameWithItsEdgesFixed) {
  std::map<std::string, Tensor> unused;
  const Tensor logits = pass("sparse", unused);
  models::Model fixed = models::fast_eval(model_, GetParam(), kTiny);
  for (const char* execution : {"sparse", "dense"}) {
    models::set_execution(fixed, execution);
    EXPECT_TRUE(test::close(fixed.module.forward({image_}).toTensor(), logits, 1e-5)) << execution;
  }
  EXPECT_EQ(models::count_edges(fixed).kept, models::count_edges(model_).kept);
}

INSTANTIATE_TEST_SUITE_P(Rules, EveryRule, testing::ValuesIn(every_rule()), [](const auto& info) {
  return info.param.wiring.kind + "_" + info.param.wiring.gradient + "_" +
         std::to_string(info.param.depth);
});

TEST(ResNet, WeightsAreNormalByFanInOrFanOut) {
  for (const auto& [init, fan] : {std::pair("fan_in", 64 * 9), std::pair("fan_out", 128 * 9)}) {
    const models::Model model = models::build(
        ResNetDescription{.depth = 18, .init = init, .wiring = {.kind = "complete"}}, kTiny, 3);
    const auto group = model.module.attr("layer2").toModule();
    const Tensor weight =
        group.attr("0").toModule().attr("conv1").toModule().attr("weight").toTensor();
    ASSERT_EQ(weight.sizes(), (std::vector<int64_t>{128, 64, 3, 3}));
    const double deviation = std::sqrt(2.0 / fan), count = double(weight.numel());
    EXPECT_NEAR(weight.mean().item<double>(), 0, 4 * deviation / std::sqrt(count)) << init;
    EXPECT_NEAR(weight.std().item<double>(), deviation, 4 * deviation / std::sqrt(2 * count));
    // Of a normal distribution 4.55 % lie beyond two deviations, of a uniform one none.
    EXPECT_NEAR((weight.abs() > 2 * deviation).to(at::kFloat).mean().item<double>(), 0.0455, 0.004);
  }
}

TEST(ResNet, RefusesADepthThatHasNoShape) {
  EXPECT_EQ(test::error_of([] { models::build(ResNetDescription{.depth = 51}, kTiny, 0); }),
            "resnet: expected depth 18, 34, 50, 101 or 152, got 51");
}

}  // namespace
