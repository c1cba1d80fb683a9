#include "models/neuron_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "support/error.h"

namespace rewire::nn {
namespace {

using at::Tensor;

Graph graph() {
  GraphOptions options;
  options.inputs = {"x", "y"};
  options.outputs = {"z"};
  options.activation = "tanh";
  return Graph({{"x", "a"}, {"y", "b"}, {"a", "b"}, {"b", "z"}, {"x", "z"}}, options);
}

NeuronGraph network(NeuronGraphOptions options = {}) {
  torch::manual_seed(1);
  NeuronGraph net(graph(), options);
  const torch::NoGradGuard no_grad;
  net->bias.copy_(
      at::tensor({9.0f, 9.0f, 0.1f, -0.2f, 0.3f}));  // those of the inputs count for nothing
  return net;
}

TEST(NeuronGraphNetwork, ComputesItsGraph) {
  NeuronGraph net = network();
  const Tensor x = torch::rand({2, 3, 2}), w = net->weight;
  const Tensor a = (w[0] * x.select(2, 0) + 0.1).tanh();
  const Tensor b = (w[1] * x.select(2, 1) + w[2] * a - 0.2).tanh();
  const Tensor z = w[3] * b + w[4] * x.select(2, 0) + 0.3;
  const Tensor out = net->forward(x);
  EXPECT_TRUE(at::allclose(out, z.unsqueeze(2)));
  const Tensor expected = torch::autograd::grad({z.square().sum()}, {net->weight})[0];
  out.square().sum().backward();
  EXPECT_TRUE(at::allclose(net->weight.grad(), expected));
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(net->forward(x), out));
  EXPECT_THAT(
      test::error_of([&] {
        net->forward(torch::rand({2, 3}));
      }),
      testing::StartsWith("NeuronGraph: expected input of shape [*, inputs = 2], got [2, 3]"));
}

TEST(NeuronGraphNetwork, LearnsItsWiring) {
  NeuronGraph net = network({.keep = 3});
  {
    const torch::NoGradGuard no_grad;
    net->weight.copy_(at::tensor({1.0f, 0.1f, -2.0f, 3.0f, 0.2f}));
  }
  net->forward(torch::rand({4, 2})).sum().backward();
  EXPECT_EQ(net->weight.grad().ne(0).sum().item<int64_t>(), 5);  // the others learn too
  NeuronGraph same(graph(), NeuronGraphOptions());
  const torch::NoGradGuard no_grad;
  same->weight.copy_(at::tensor({1.0f, 0.0f, -2.0f, 3.0f, 0.0f}));
  same->bias.copy_(net->bias);
  const Tensor x = torch::rand({4, 2});
  EXPECT_TRUE(at::allclose(net->forward(x), same->forward(x)));
  EXPECT_THAT(test::error_of([] { network({.keep = 6}); }),
              testing::StartsWith("NeuronGraph: expected keep in [0, 5], got 6"));
}

// Learns something, is edited, and goes on as its optimiser remembers.
template <typename Optimizer, typename Options>
void goes_on(const Options& options) {
  NeuronGraph net = network();
  torch::nn::Linear behind(1, 1);
  std::vector<Tensor> parameters = net->parameters();
  for (const Tensor& parameter : behind->parameters()) parameters.push_back(parameter);
  Optimizer optimizer(parameters, options);
  const Tensor x = torch::rand({16, 2}), target = x.sum(1, true);
  const auto step = [&](NeuronGraph& of) {
    optimizer.zero_grad();
    const Tensor loss = (behind(of->forward(x)) - target).square().mean();
    loss.backward();
    optimizer.step();
    return loss.template item<double>();
  };
  const double before = step(net);
  for (int i = 0; i < 20; ++i) step(net);
  const Edited edited = edit(net, {.add_edges = {{"y", "z"}}, .remove_edges = {{"x", "a"}}});
  NeuronGraph next = edited.network;
  EXPECT_TRUE(at::equal(next->weight.slice(0, 0, 4), net->weight.slice(0, 1, 5)));
  EXPECT_TRUE(at::equal(next->bias, net->bias));
  carry(optimizer, net, edited);
  EXPECT_TRUE(optimizer.param_groups()[0].params()[0].is_same(next->weight));
  EXPECT_EQ(optimizer.state().size(), 4u);
  EXPECT_EQ(optimizer.state().count(net->weight.unsafeGetTensorImpl()), 0u);
  double after = 0;
  for (int i = 0; i < 200; ++i) after = step(next);
  EXPECT_LT(after, 0.1 * before);
}

TEST(NeuronGraphNetwork, IsEditedWhileItTrains) {
  goes_on<torch::optim::Adam>(torch::optim::AdamOptions(0.02).amsgrad(true));
  goes_on<torch::optim::AdamW>(torch::optim::AdamWOptions(0.02));
  goes_on<torch::optim::SGD>(torch::optim::SGDOptions(0.05).momentum(0.9));
}

TEST(NeuronGraphNetwork, CarriesTheMomentsOfWhatSurvives) {
  NeuronGraph net = network();
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  net->forward(torch::rand({4, 2})).sum().backward();
  optimizer.step();
  const Edited edited = edit(net, {.add_edges = {{"y", "z"}}, .remove_edges = {{"x", "a"}}});
  carry(optimizer, net, edited);
  const auto& state = static_cast<torch::optim::SGDParamState&>(
      *optimizer.state().at(edited.network->weight.unsafeGetTensorImpl()));
  EXPECT_TRUE(at::equal(state.momentum_buffer().slice(0, 0, 4), net->weight.grad().slice(0, 1, 5)));
  EXPECT_EQ(state.momentum_buffer()[4].item<float>(), 0);
  torch::optim::RMSprop other(net->parameters());
  net->forward(torch::rand({4, 2})).sum().backward();
  other.step();
  EXPECT_THAT(test::error_of([&] { carry(other, net, edited); }),
              testing::StartsWith("carry: expected an optimiser SGD, Adam or AdamW"));
}

TEST(NeuronGraphNetwork, ComputesInAnotherType) {
  NeuronGraph net = network();
  const Tensor x = torch::rand({4, 2}), out = net->forward(x);
  net->to(torch::kDouble);
  EXPECT_TRUE(at::allclose(net->forward(x.to(at::kDouble)), out.to(at::kDouble), 1e-5));
  Edited edited = edit(net, {.add_edges = {{"y", "z"}}});
  EXPECT_EQ(edited.network->forward(x.to(at::kDouble)).scalar_type(), at::kDouble);
}

TEST(NeuronGraphNetwork, IsSavedAndLoaded) {
  NeuronGraph net = network();
  std::stringstream file;
  torch::save(net, file);
  NeuronGraph same(graph(), NeuronGraphOptions());
  torch::load(same, file);
  const Tensor x = torch::rand({4, 2});
  EXPECT_TRUE(at::equal(net->forward(x), same->forward(x)));
}

}  // namespace
}  // namespace rewire::nn
