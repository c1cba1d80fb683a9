// Graphs of single neurons as models: against Freewire, and against products of dense matrices.
#include "models/neurons.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "models/fast_eval.h"
#include "models/view.h"
#include "models/wiring.h"
#include "ops/rewire.h"
#include "support/golden.h"

namespace {

using namespace rewire;
using at::Tensor;
using test::close;
using test::same;

const data::ImageSpec kPixels{1, 3, {"a", "b"}};  // 9 inputs, 2 outputs

models::NeuronsDescription described(const models::WiringDescription& wiring) {
  models::NeuronsDescription description;
  description.groups = {
      {.name = "first", .neurons = 5, .activation = "tanh", .from = {"inputs"}},
      {.name = "second", .neurons = 4, .activation = "relu", .from = {"inputs", "first"}},
      {.name = "outputs", .neurons = 2, .from = {"first", "second"}}};
  description.wiring = wiring;
  return description;
}

models::Model built(const models::WiringDescription& wiring) {
  models::Model model = models::build(described(wiring), kPixels, 1);
  const torch::NoGradGuard no_gradient;
  model.module.attr("bias").toTensor().normal_(0, 0.5);
  return model;
}

Tensor images() { return torch::randn({6, 1, 3, 3}, at::make_generator<at::CPUGeneratorImpl>(2)); }

std::map<std::string, Tensor> state_of(const models::Model& model) {
  std::map<std::string, Tensor> state;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    state[name] = tensor.detach().clone();
  }
  return state;
}

// The same by matrices of weights [targets, sources], of the edges in use.
Tensor expected(const models::Model& model, const Tensor& image) {
  const models::EdgeEnds ends = models::edge_ends(model.module);
  const Tensor weight = models::wiring_module(model, model.wirings[0]).attr("weight").toTensor();
  const Tensor used = models::edges_kept(model, model.wirings[0]);
  const Tensor bias = model.module.attr("bias").toTensor();
  const Tensor matrix = torch::zeros({20, 20}).index_put({ends.targets, ends.sources},
                                                         (weight.flatten() * used.flatten()));
  const auto sums = [&](int64_t first, int64_t count, const Tensor& values) {
    return torch::linear(values, matrix.narrow(0, first, count).narrow(1, 0, values.size(1)),
                         bias.narrow(0, first, count));
  };
  Tensor values = image.flatten(1);
  values = torch::cat({values, sums(9, 5, values).tanh()}, 1);
  values = torch::cat({values, sums(14, 4, values).relu()}, 1);
  return sums(18, 2, values);
}

TEST(Neurons, ComputeWhatTheMatricesSayUnderEveryWiring) {
  const int64_t candidates = 9 * 5 + 14 * 4 + 9 * 2;
  for (const std::string kind : {"complete", "dnw", "dnw_no_update", "random", "fine_tune"}) {
    SCOPED_TRACE(kind);
    models::WiringDescription wiring;
    wiring.kind = kind;
    wiring.prune_rate = kind == "complete" ? 0 : 0.6;
    models::Model model = built(wiring);
    const Tensor image = images();
    const Tensor logits = model.module.forward({image}).toTensor();
    EXPECT_TRUE(close(logits, expected(model, image), 1e-6));
    const int64_t edges = models::count_edges(model).in_use;
    EXPECT_EQ(edges, candidates - models::pruned_count(wiring.prune_rate, candidates));
    EXPECT_EQ(models::count_macs(model), edges);

    logits.sum().backward();
    const Tensor weight = models::wiring_module(model, model.wirings[0]).attr("weight").toTensor();
    const Tensor reached = (weight.grad() != 0).flatten();
    const Tensor used = models::edges_kept(model, model.wirings[0]).flatten();
    const bool to_all = kind == "dnw" || kind == "complete";
    EXPECT_EQ((reached.logical_and(used.logical_not())).any().item<bool>(), kind == "dnw");
    EXPECT_TRUE(to_all || !reached.logical_and(used.logical_not()).any().item<bool>());
  }
}

TEST(Neurons, DroppedCandidatesAreNoneInEvaluation) {
  for (const std::string kind : {"td", "reg_td"}) {
    models::WiringDescription wiring;
    wiring.kind = kind;
    wiring.prune_rate = 0.6;
    models::Model model = built(wiring);
    model.module.eval();
    const Tensor image = images();
    EXPECT_TRUE(close(model.module.forward({image}).toTensor(), expected(model, image), 1e-6));
    model.module.train();
    torch::manual_seed(1);
    EXPECT_FALSE(close(model.module.forward({image}).toTensor(), expected(model, image), 1e-2));
  }
}

TEST(Neurons, AgreeWithFreewire) {
  const test::Golden golden = test::load_golden("wired/fw_mnist_small");
  models::NeuronsDescription description;
  description.groups = {
      {.name = "a", .neurons = 30, .activation = "selu", .from = {"inputs"}},
      {.name = "b", .neurons = 20, .activation = "selu", .from = {"a"}, .fan_in = 10},
      {.name = "c", .neurons = 10, .activation = "softmax", .from = {"a", "b"}}};
  description.wiring.kind = "complete";
  models::Model model =
      models::build(description, {1, 7, std::vector<std::string>(10, "digit")}, 1);

  const Tensor sources = golden.at("edges").select(1, 0), targets = golden.at("edges").select(1, 1);
  const Tensor levels = std::get<0>(ops::neuron_levels(sources, targets, 109, golden.at("inputs")));
  const ops::NeuronStructure s = ops::neuron_structure(
      sources, targets, levels, golden.at("activation"), golden.at("inputs"), golden.at("outputs"));
  const std::map<std::string, Tensor> state = {
      {"graph.weight", golden.at("weight").view({1, -1, 1, 1})},
      {"bias", golden.at("bias")},
      {"neurons", s.neurons},
      {"activations", s.activations},
      {"level_offsets", s.level_offsets},
      {"row_offsets", s.row_offsets},
      {"columns", s.columns},
      {"edges", s.edges},
      {"column_offsets", s.column_offsets},
      {"rows", s.rows},
      {"order", s.order},
      {"outputs", s.outputs}};
  ASSERT_EQ(models::load_state(model, state).describe(), "");

  const Tensor x = golden.at("x").view({32, 1, 7, 7}).clone().requires_grad_();
  const Tensor output = model.module.forward({x}).toTensor();
  EXPECT_TRUE(close(output, golden.at("y"), 1e-6));
  const Tensor loss = at::cross_entropy_loss(output, golden.at("ce.target"));
  EXPECT_TRUE(close(loss, golden.at("ce.loss"), 1e-6));
  loss.backward();
  const Tensor weight = models::wiring_module(model, model.wirings[0]).attr("weight").toTensor();
  EXPECT_TRUE(close(weight.grad().flatten(), golden.at("ce.grad_weight"), 1e-5));
  EXPECT_TRUE(close(model.module.attr("bias").toTensor().grad(), golden.at("ce.grad_bias"), 1e-5));
  EXPECT_TRUE(close(x.grad().flatten(1), golden.at("ce.grad_x"), 1e-5));
}

TEST(Neurons, AStructureFromAFileIsChecked) {
  models::WiringDescription wiring;
  wiring.kind = "complete";
  models::Model model = built(wiring);
  const std::map<std::string, Tensor> state = state_of(model);
  EXPECT_EQ(models::load_state(model, state).describe(), "");
  for (const std::string name :
       {"neurons", "activations", "level_offsets", "row_offsets", "columns", "edges",
        "column_offsets", "rows", "order", "outputs"}) {
    SCOPED_TRACE(name);
    for (const int64_t place : {int64_t{0}, state.at(name).numel() - 1}) {
      auto damaged = state;
      damaged[name] = state.at(name).clone();
      damaged[name][place] = 1 << 30;
      models::Model other = built(wiring);
      EXPECT_THAT(models::load_state(other, damaged).describe(),
                  testing::HasSubstr("the structure of its neurons: "));
    }
  }
}

TEST(Neurons, AStructureOfOtherInputsIsRefused) {
  models::WiringDescription wiring;
  wiring.kind = "complete";
  models::Model model = built(wiring);
  const std::map<std::string, Tensor> state = state_of(model);
  auto renamed = state;  // an input and a hidden neuron change their numbers
  renamed["neurons"] = state.at("neurons").clone();
  renamed["neurons"][0] = 12;
  renamed["neurons"][12] = 0;
  EXPECT_THAT(models::load_state(model, renamed).describe(),
              testing::HasSubstr("expected neurons that begin with the inputs, 0 to 8"));
  for (const std::string name : {"neurons", "edges"}) {  // all are there, but not each once
    auto repeated = state;
    repeated[name] = state.at(name).clone();
    repeated[name][12] = state.at(name)[13];
    models::Model other = built(wiring);
    EXPECT_THAT(models::load_state(other, repeated).describe(),
                testing::HasSubstr("expected each of its " + name + " once"));
  }
  auto activated = state;
  activated["activations"] = state.at("activations").clone();
  activated["activations"][12] = 5;
  models::Model softened = built(wiring);
  EXPECT_THAT(models::load_state(softened, activated).describe(),
              testing::HasSubstr("other activations than the config's"));
  auto turned = state;
  turned["outputs"] = state.at("outputs").flip(0);
  models::Model other = built(wiring);
  EXPECT_THAT(models::load_state(other, turned).describe(),
              testing::HasSubstr("other outputs than the config's"));
  model = built(wiring);
  auto shorter = state;  // the last input is a neuron of the first level
  shorter["level_offsets"].slice(0, 1, 2).fill_(8);
  EXPECT_THAT(models::load_state(model, shorter).describe(),
              testing::HasSubstr("the structure of its neurons: "));
}

TEST(Neurons, InitialiseByTheFanIn) {
  models::NeuronsDescription description;
  description.groups = {{.name = "a", .neurons = 400, .from = {"inputs"}},
                        {.name = "outputs", .neurons = 2, .from = {"a"}, .fan_in = 100'000}};
  description.wiring.kind = "complete";
  const auto deviations = [&](const std::string& init) {
    description.init = init;
    const models::Model model = models::build(description, {1, 20, {"a", "b"}}, 1);
    const Tensor weight =
        models::wiring_module(model, model.wirings[0]).attr("weight").toTensor().flatten();
    const Tensor bias = model.module.attr("bias").toTensor();
    EXPECT_NEAR(bias.slice(0, 400).std().item<double>(), init == "connex" ? 0.1 : 0, 0.02) << init;
    return std::pair{weight.narrow(0, 0, 160'000).std().item<double>(),
                     weight.narrow(0, 160'000, 200'000).std().item<double>()};
  };
  const auto expect = [&](const std::string& init, double of_first, double of_last) {
    const auto [first, last] = deviations(init);
    EXPECT_NEAR(first / of_first, 1, 0.02) << init;
    EXPECT_NEAR(last / of_last, 1, 0.02) << init;
  };
  expect("he", std::sqrt(2 / 400.0), std::sqrt(2 / 1e5));
  expect("xavier", std::sqrt(1 / 400.0), std::sqrt(1 / 1e5));
  expect("self_normalized", 1, 1);
  expect("connex", 0.1, 0.1);
  expect("uniform", std::sqrt(1 / 3.0), std::sqrt(1 / 3.0));
}

TEST(Neurons, WithoutTheirDeadOnesAnswerTheSame) {
  models::WiringDescription wiring;
  wiring.kind = "dnw";
  wiring.prune_rate = 0.85;
  models::Model model = built(wiring);
  model.module.eval();
  const models::Model pruned = models::fast_eval(model, described(wiring), kPixels);
  const Tensor image = images();
  EXPECT_TRUE(close(models::Model(pruned).module.forward({image}).toTensor(),
                    model.module.forward({image}).toTensor(), 1e-6));
  const int64_t left = pruned.module.attr("bias").toTensor().numel();
  EXPECT_LT(left, 20);
  EXPECT_LT(models::count_edges(pruned).in_use, models::count_edges(model).in_use);
  // Every neuron but inputs and outputs sends.
  const Tensor sent = models::degrees_of(pruned, pruned.wirings[0]).sent;
  EXPECT_TRUE((sent.narrow(0, 9, left - 11) > 0).all().item<bool>());
  EXPECT_EQ(models::view_of(pruned, pruned.wirings[0], 1000).columns.size(), 4u);
}

TEST(Neurons, AreDrawnGroupByGroup) {
  models::WiringDescription wiring;
  wiring.kind = "complete";
  const models::Model model = built(wiring);
  const graph::WiringView view = models::view_of(model, model.wirings[0], 1000);
  std::vector<std::string> names;
  for (const graph::WiringColumn& column : view.columns) names.push_back(column.name);
  EXPECT_THAT(names, testing::ElementsAre("inputs", "first", "second", "outputs"));
  EXPECT_EQ(view.edges.size(), 119u);
  for (const graph::WiringEdge& edge : view.edges) {
    EXPECT_LT(edge.source, edge.target);
    EXPECT_GE(edge.target, 9);
    EXPECT_LT(edge.target, 20);
  }
  const graph::Picture picture = models::matrix_of(model, model.wirings[0]);
  EXPECT_EQ(picture.width * 11, picture.height * 20);  // 11 of 20 neurons receive
}

}  // namespace
