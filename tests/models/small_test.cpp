// The small classifiers against the published code: logits, losses, gradients, running statistics
// and a training of a few steps, on weights by formula.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>
#include <set>

#include "graph/wired_blocks.h"
#include "models/model.h"
#include "ops/rewire.h"
#include "support/golden_network.h"

namespace {

using namespace rewire;
using at::Tensor;
using test::Golden;
namespace jit = torch::jit;

const data::ImageSpec kCifar{3, 32, std::vector<std::string>(10, "class")};

models::SmallDescription published(const std::string& wiring, const std::string& kind = "static") {
  models::SmallDescription description{
      .kind = kind, .dim = 800, .downsample_dim = 32, .feature_dim = 100, .wiring = {}};
  description.wiring = {.kind = wiring, .prune_rate = 0.95};
  return description;
}

// Where only a static network has impossible edges.
models::Model formula_model(const std::string& kind, const std::string& wiring,
                            const Golden& golden) {
  models::Model model = models::build(published(wiring, kind), kCifar, 0);
  test::load_formula(model, golden, [&](const std::string& name, uint32_t seed) {
    const auto impossible = kind == "static" ? graph::impossible_edges(800, 800, 32, 100)
                                             : std::vector<uint8_t>(640000, 0);
    return test::formula_mask(name, seed, {800, 800}, 608000, impossible);
  });
  return model;
}

class SmallGolden : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(SmallGolden, LogitsLossGradientsAndStatisticsAgree) {
  const auto [kind, wiring] = GetParam();
  const Golden golden = test::load_golden(std::string("small_") + kind + "_" + wiring);
  models::Model model = formula_model(kind, wiring, golden);
  test::Tolerance tolerance;
  if (kind == std::string("continuous")) tolerance.gradient = 2e-3;
  test::expect_network(model, golden, tolerance);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SmallGolden,
                         testing::Combine(testing::Values("static", "discrete", "continuous"),
                                          testing::Values("dnw", "random")));

class SmallTrajectory : public testing::TestWithParam<const char*> {};

TEST_P(SmallTrajectory, StepsOfTrainingAgree) {
  const Golden golden = test::load_golden(std::string("trajectory_small_") + GetParam() + "_dnw");
  models::Model model = formula_model(GetParam(), "dnw", golden);
  test::expect_trajectory(model, golden);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SmallTrajectory, testing::Values("static", "discrete"));

TEST(ContinuousClassifier, EvaluatesTheSlopeWhenThePublishedSolverDoes) {
  for (const char* wiring : {"dnw", "random"}) {
    const Golden golden = test::load_golden(std::string("small_continuous_") + wiring);
    models::Model model = formula_model("continuous", wiring, golden);
    const Tensor image = test::formula_input(golden);
    for (const bool training : {false, true}) {
      model.module.train(training);
      const std::string mode = training ? "train" : "eval";
      const Tensor stem =
          model.module.attr("downsample").toModule().forward({image}).toTensor().detach();
      const Tensor zeros = model.module.attr("zeros").toTensor().expand({4, -1, -1, -1});
      jit::Module solver = model.module.attr("odesolve").toModule();
      const auto solution =
          solver.get_method("solve")({torch::cat({stem, zeros}, 1)}).toTuple()->elements();
      const std::vector<double> times = solution[1].toDoubleVector();
      EXPECT_EQ(int64_t(times.size()), golden.at(mode + ".nfe").item<int64_t>());
      EXPECT_LE((torch::tensor(times, at::kDouble) - golden.at(mode + ".eval_times"))
                    .abs()
                    .max()
                    .item<double>(),
                1e-4);
    }
  }
}

TEST(ContinuousClassifier, GivesNoNumberWhereTheStateIsNone) {
  models::SmallDescription description = published("complete", "continuous");
  description.dim = 12;
  description.downsample_dim = 4;
  description.feature_dim = 3;
  description.wiring.prune_rate = 0;
  models::Model model = models::build(description, kCifar, 0);
  const Tensor image = torch::full({1, 3, 32, 32}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(model.module.forward({image}).toTensor().isnan().all().item<bool>());
}

// Bytes of CPU tensors that were allocated while it lives and are still there.
class Held : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    bytes_ += bytes;
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

TEST(ContinuousClassifier, KeepsOnlyWhereItsStepsBegin) {
  models::SmallDescription description = published("dnw", "continuous");
  description.dim = 12;
  description.downsample_dim = 4;
  description.feature_dim = 3;
  const auto with_tolerance = [&](double tolerance) {
    description.tolerance = tolerance;
    return models::build(description, kCifar, 0).module.attr("odesolve").toModule();
  };
  const Tensor x = torch::randn({8, 12, 8, 8}, at::make_generator<at::CPUGeneratorImpl>(1));
  int64_t steps = 0;
  const auto held = [&](double tolerance) {
    jit::Module solver = with_tolerance(tolerance);
    const auto counter = std::make_shared<Held>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
    const auto solution = solver.get_method("solve")({x}).toTuple();
    steps = (int64_t(solution->elements()[1].toDoubleVector().size()) - 2) / 6;
    return counter->bytes();
  };
  held(1e-2);  // TorchScript counts calls before it compiles
  const int64_t few = held(1e-2), few_steps = steps;
  const int64_t many = held(1e-6), more_steps = steps - few_steps;
  ASSERT_GT(more_steps, 5);
  EXPECT_GT(many, few);
  // x and its slope; a step of which backward kept all would be twelve and more such maps.
  EXPECT_LE(many - few, more_steps * 2 * int64_t(x.nbytes()) * 11 / 10);
}

TEST(ContinuousClassifier, KeepsNothingWithoutAGradient) {
  models::SmallDescription description = published("complete", "continuous");
  description.dim = 12;
  description.downsample_dim = 4;
  description.feature_dim = 3;
  description.wiring.prune_rate = 0;
  jit::Module solver = models::build(description, kCifar, 0).module.attr("odesolve").toModule();
  const Tensor x = torch::randn({8, 12, 8, 8}, at::make_generator<at::CPUGeneratorImpl>(1));
  const torch::NoGradGuard no_gradient;
  const auto counter = std::make_shared<Held>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
  const Tensor end = solver.forward({x}).toTensor();
  EXPECT_LE(counter->bytes(), int64_t(end.nbytes()) * 11 / 10);
}

TEST(ContinuousClassifier, StepsByItsOwnDerivative) {
  const Golden golden = test::load_golden("small_continuous_dnw");
  models::Model model = formula_model("continuous", "dnw", golden);
  const auto odefunc = model.module.attr("odesolve").toModule().attr("odefunc").toModule();
  const jit::Module graph = odefunc.attr("graph").toModule();
  const torch::NoGradGuard no_gradient;
  const c10::IValue candidates = graph.get_method("candidates")({});
  const c10::IValue structure = graph.get_method("structure")({});
  const auto slope_at = [&](const Tensor& x) {
    return odefunc.get_method("forward")({x, candidates, structure, c10::IValue()}).toTensor();
  };
  const Tensor x = torch::randn({2, 800, 8, 8}, at::make_generator<at::CPUGeneratorImpl>(1));
  const auto step = odefunc.get_method("advance")(
      {x, slope_at(x), 0.1, candidates, structure, c10::IValue(), false});
  const Tensor y = step.toTuple()->elements()[0].toTensor();
  EXPECT_TRUE(test::same(step.toTuple()->elements()[1].toTensor(), slope_at(y)));
}

TEST(DiscreteClassifier, GradientThroughEveryStepIsThatOfTheFormula) {
  models::SmallDescription description = published("dnw", "discrete");
  description.dim = 12;
  description.downsample_dim = 4;
  description.feature_dim = 3;
  description.steps = 3;
  description.wiring.prune_rate = 0.5;
  models::Model model = models::build(description, kCifar, 0);
  const Tensor image = torch::randn({2, 3, 32, 32});
  model.module.forward({image}).toTensor().square().sum().backward();
  const auto tensor = [&](const char* module, const char* name) {
    return model.module.attr(module).toModule().attr(name).toTensor();
  };
  const Tensor weight = tensor("graph", "weight").detach().requires_grad_();
  Tensor x = model.module.attr("downsample").toModule().forward({image}).toTensor().detach();
  x = torch::constant_pad_nd(x, {0, 0, 0, 0, 0, 8});
  for (int step = 0; step < 3; ++step) {
    x = torch::conv2d(torch::relu(x), tensor("conv", "weight").detach(), {}, 1, 1, 1, 12);
    x = torch::conv2d(x, ops::keep_strongest(weight, 72));
    x = torch::instance_norm(x, {}, {}, {}, {}, true, 0.1, 1e-5, false);
  }
  const Tensor features = x.slice(1, 9).slice(2, 2, 4).slice(3, 2, 4).mean({2, 3});
  torch::linear(features, tensor("fc", "weight").detach(), tensor("fc", "bias").detach())
      .square()
      .sum()
      .backward();
  EXPECT_TRUE(test::close(tensor("graph", "weight").grad(), weight.grad(), 1e-4));
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
  models::SmallDescription small{.dim = 12,
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
