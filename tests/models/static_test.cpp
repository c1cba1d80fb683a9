// The static classifier against the published code: logits, losses, gradients, running statistics
// and a training of five steps, on weights by formula.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <set>

#include "graph/wired_blocks.h"
#include "models/model.h"
#include "ops/rewire.h"
#include "support/formula.h"
#include "support/golden.h"

namespace {

using namespace rewire;
using at::Tensor;
using test::close;
using test::Golden;

// Measured against float64: logits 8e-7 in evaluation, 3e-6 in training; gradients 1e-5; running
// statistics 3e-7; a trajectory's logits 1e-6, its final tensors 1e-6.
constexpr double kEvalLogits = 1e-5, kTrainLogits = 5e-5, kLoss = 1e-5, kGradient = 5e-4,
                 kStatistics = 1e-5, kTrajectoryLoss = 1e-4, kTrajectoryLogits = 5e-4,
                 kTrajectoryFinal = 1e-3;

const data::ImageSpec kCifar{3, 32, std::vector<std::string>(10, "class")};

models::StaticDescription published(const std::string& kind) {
  models::StaticDescription description{
      .dim = 800, .downsample_dim = 32, .feature_dim = 100, .wiring = {}};
  description.wiring = {.kind = kind, .prune_rate = 0.95};
  return description;
}

// The mask of a random layer by formula: spec's rule on formula draws.
Tensor formula_mask(const std::string& name, uint32_t seed) {
  const Tensor draws = test::formula_draws(name, seed, {800, 800});
  const auto impossible = graph::impossible_edges(800, 800, 32, 100);
  const Tensor forbidden = torch::tensor(impossible).view({800, 800}).to(at::kBool);
  return ops::random_mask(draws, 608000, forbidden).to(at::kFloat).view({800, 800, 1, 1});
}

models::Model formula_model(const std::string& kind, const Golden& golden) {
  models::Model model = models::build(published(kind), kCifar, 0);
  const auto seed = uint32_t(golden.at("seed").item<int64_t>());
  const Tensor variance = golden.at("running_var_mid_half");
  std::map<std::string, Tensor> state;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    state[name] =
        name == "graph.mask"
            ? formula_mask(name, seed)
            : test::formula_parameter(name, seed, tensor.sizes(),
                                      {variance[0].item<double>(), variance[1].item<double>()});
  }
  EXPECT_EQ(models::load_state(model, state).describe(), "");
  return model;
}

Tensor stats(const Tensor& tensor) {
  const Tensor values = tensor.detach().to(at::kDouble);
  return torch::stack({values.sum(), values.abs().sum(), values.square().sum()});
}

Tensor sample(const Tensor& tensor) {
  const Tensor flat = tensor.detach().flatten();
  const int64_t count = std::min<int64_t>(1024, flat.numel());
  return flat.index_select(0, torch::arange(count).mul(flat.numel()).div(count, "floor"));
}

void expect_generator_is_exact(const models::Model& model, const Golden& golden) {
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    const auto check = golden.find("check." + name);
    if (check == golden.end()) continue;
    EXPECT_TRUE(close(stats(tensor), check->second, 1e-12)) << name;
  }
}

std::map<std::string, Tensor> gradients(const models::Model& model) {
  std::map<std::string, Tensor> found;
  for (const auto& item : model.module.named_parameters()) found[item.name] = item.value.grad();
  return found;
}

// Relative to the tensor's largest value; what is nothing but rounding, biases in front of a norm,
// is compared with the network's largest gradient instead.
void expect_gradients(const models::Model& model, const Golden& golden) {
  double largest = 0;
  for (const auto& [name, gradient] : gradients(model)) {
    largest = std::max(largest, gradient.abs().max().item<double>());
  }
  int64_t compared = 0;
  for (const auto& [name, gradient] : gradients(model)) {
    for (const auto& [key, actual] : {std::pair("grad." + name, gradient),
                                      std::pair("grad_sample." + name, sample(gradient))}) {
      const auto expected = golden.find(key);
      if (expected == golden.end()) continue;
      ++compared;
      const double difference = (actual - expected->second).abs().max().item<double>();
      const double allowed =
          std::max(kGradient * expected->second.abs().max().item<double>(), 1e-6 * largest);
      EXPECT_LE(difference, allowed) << key;
    }
    EXPECT_TRUE(close(stats(gradient)[2], golden.at("grad_stats." + name)[2], kGradient) ||
                stats(gradient)[2].item<double>() <
                    1e-12 * largest * largest * double(gradient.numel()))
        << name;
  }
  EXPECT_GE(compared, 20);
}

class StaticGolden : public testing::TestWithParam<const char*> {};

TEST_P(StaticGolden, LogitsLossGradientsAndStatisticsAgree) {
  const std::string kind = GetParam();
  const Golden golden = test::load_golden("small_static_" + kind);
  models::Model model = formula_model(kind, golden);
  expect_generator_is_exact(model, golden);
  const auto seed = uint32_t(golden.at("seed").item<int64_t>());
  const Tensor input = test::formula_tensor("input", seed, {4, 3, 32, 32}, 0, 2);
  ASSERT_TRUE(close(stats(input), golden.at("input_stats"), 1e-12));
  const Tensor labels = golden.at("labels");
  EXPECT_TRUE(test::same(test::formula_labels("labels", seed, 4, 10), labels));

  const Tensor kept = models::edges_kept(model, model.wirings[0]);
  EXPECT_TRUE(test::same(kept.sum(), golden.at("kept.graph")));
  EXPECT_TRUE(test::same(kept.sum(1).to(at::kInt), golden.at("kept_per_output.graph")));
  EXPECT_TRUE(test::same(kept.sum(0).to(at::kInt), golden.at("kept_per_input.graph")));

  model.module.eval();
  const Tensor evaluated = model.module.forward({input}).toTensor();
  EXPECT_TRUE(close(evaluated, golden.at("eval.logits"), kEvalLogits));
  EXPECT_TRUE(close(torch::cross_entropy_loss(evaluated, labels), golden.at("eval.loss"), kLoss));

  model.module.train();
  const Tensor trained = model.module.forward({input}).toTensor();
  const Tensor loss = torch::cross_entropy_loss(trained, labels);
  EXPECT_TRUE(close(trained, golden.at("train.logits"), kTrainLogits));
  EXPECT_TRUE(close(loss, golden.at("train.loss"), kLoss));
  loss.backward();
  expect_gradients(model, golden);
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    const auto after = golden.find("after." + name);
    if (after == golden.end()) continue;
    EXPECT_TRUE(close(tensor, after->second, kStatistics)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, StaticGolden, testing::Values("dnw", "random"));

TEST(StaticTrajectory, FiveStepsOfTrainingAgree) {
  const Golden golden = test::load_golden("trajectory_small_static_dnw");
  models::Model model = formula_model("dnw", golden);
  const auto seed = uint32_t(golden.at("seed").item<int64_t>());
  const Tensor start = models::edges_kept(model, model.wirings[0]).clone();
  EXPECT_TRUE(test::same(start.sum(0).to(at::kInt), golden.at("initial.kept_per_input.graph")));

  std::vector<Tensor> parameters;
  for (const Tensor& parameter : model.module.parameters()) parameters.push_back(parameter);
  torch::optim::SGD optimizer(parameters,
                              torch::optim::SGDOptions(golden.at("lr").item<double>())
                                  .momentum(golden.at("momentum").item<double>())
                                  .weight_decay(golden.at("weight_decay").item<double>()));
  model.module.train();
  for (int64_t step = 0; step < golden.at("steps").item<int64_t>(); ++step) {
    SCOPED_TRACE(fmt::format("step {}", step));
    const int64_t batch = golden.at("batch").item<int64_t>();
    const Tensor input =
        test::formula_tensor(fmt::format("input.{}", step), seed, {batch, 3, 32, 32}, 0, 2);
    const Tensor labels = golden.at(fmt::format("labels.{}", step));
    optimizer.zero_grad();
    const Tensor logits = model.module.forward({input}).toTensor();
    const Tensor loss = torch::cross_entropy_loss(logits, labels);
    EXPECT_TRUE(
        close(loss.to(at::kDouble), golden.at("loss_before_each_step")[step], kTrajectoryLoss));
    EXPECT_TRUE(close(logits, golden.at(fmt::format("logits.{}", step)), kTrajectoryLogits));
    loss.backward();
    optimizer.step();
    // Two magnitudes that cross at the threshold can turn either way.
    const int64_t changed =
        (models::edges_kept(model, model.wirings[0]) != start).sum().item<int64_t>();
    const auto expected = golden.at("changed_entries_after_step")[step][0].item<int64_t>();
    EXPECT_LE(std::abs(changed - expected), 2 + expected / 1000);
  }
  int64_t compared = 0;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    const auto expected = golden.find("final_sample." + name);
    if (expected == golden.end()) continue;
    ++compared;
    EXPECT_TRUE(close(sample(tensor), expected->second, kTrajectoryFinal)) << name;
  }
  EXPECT_GE(compared, 25);
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
