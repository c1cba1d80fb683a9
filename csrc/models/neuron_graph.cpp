#include "models/neuron_graph.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "ops/rewire.h"

namespace rewire::nn {
namespace {

using at::Tensor;

ops::NeuronStructure moved(const ops::NeuronStructure& s, at::Device to) {
  return {s.neurons.to(to), s.activations.to(to), s.level_offsets.to(to),  s.row_offsets.to(to),
          s.columns.to(to), s.edges.to(to),       s.column_offsets.to(to), s.rows.to(to),
          s.order.to(to),   s.outputs.to(to)};
}

// What survives of `old` in its new places, and `fresh` where it is new.
Tensor carried(const Tensor& old, const Tensor& places, const Tensor& fresh) {
  const Tensor kept = places.ge(0).nonzero().flatten();
  const Tensor from = places.index_select(0, kept).to(old.device());
  return fresh.index_copy(0, kept.to(old.device()), old.index_select(0, from));
}

// The same of what an optimiser remembers, which begins at 0.
Tensor carried(const Tensor& old, const Tensor& places) {
  return old.defined() ? carried(old, places, at::zeros({places.numel()}, old.options())) : old;
}

std::unique_ptr<torch::optim::OptimizerParamState> carried(
    const torch::optim::OptimizerParamState& state, const Tensor& places) {
  using namespace torch::optim;
  const auto adam = [&](const auto& own) {
    auto next = std::make_unique<std::decay_t<decltype(own)>>();
    next->step(own.step());
    next->exp_avg(carried(own.exp_avg(), places));
    next->exp_avg_sq(carried(own.exp_avg_sq(), places));
    next->max_exp_avg_sq(carried(own.max_exp_avg_sq(), places));
    return next;
  };
  if (const auto* own = dynamic_cast<const AdamParamState*>(&state)) return adam(*own);
  if (const auto* own = dynamic_cast<const AdamWParamState*>(&state)) return adam(*own);
  const auto* own = dynamic_cast<const SGDParamState*>(&state);
  TORCH_CHECK_VALUE(own, "carry: expected an optimiser SGD, Adam or AdamW");
  auto next = std::make_unique<SGDParamState>();
  next->momentum_buffer(carried(own->momentum_buffer(), places));
  return next;
}

}  // namespace

NeuronGraphImpl::NeuronGraphImpl(Graph graph, NeuronGraphOptions options)
    : graph_(std::move(graph)), options_(options), structure_(graph_.structure()) {
  const int64_t edges = graph_.num_edges(), keep = options_.keep.value_or(edges);
  TORCH_CHECK_VALUE(keep >= 0 && keep <= edges, "NeuronGraph: expected keep in [0, ", edges,
                    "], got ", keep);
  weight = register_parameter("weight", at::empty({edges}));
  bias = register_parameter("bias", at::zeros({int64_t(graph_.neurons().size())}));
  reset_parameters();
}

void NeuronGraphImpl::reset_parameters() {
  const torch::NoGradGuard no_grad;
  const int64_t count = int64_t(graph_.neurons().size());
  const Tensor fan_in = at::bincount(graph_.targets(), {}, count).clamp_min(1);
  const Tensor deviation =
      fan_in.index_select(0, graph_.targets()).to(at::kFloat).reciprocal_().mul_(2).sqrt_();
  weight.copy_(at::randn({graph_.num_edges()}) * deviation);
  bias.zero_();
}

Tensor NeuronGraphImpl::forward(const Tensor& x) {
  const int64_t inputs = int64_t(graph_.inputs().size());
  TORCH_CHECK_VALUE(x.dim() > 0 && x.size(-1) == inputs,
                    "NeuronGraph: expected input of shape [*, inputs = ", inputs, "], got ",
                    x.sizes());
  if (structure_.neurons.device() != weight.device())
    structure_ = moved(structure_, weight.device());
  std::optional<Tensor> mask;
  if (options_.keep) mask = ops::strongest_mask(weight.detach(), *options_.keep);
  const auto [output, state] = ops::neuron_graph(x.reshape({-1, inputs}), weight, bias, structure_,
                                                 mask, std::nullopt, "all",
                                                 /*keep_state=*/torch::GradMode::is_enabled());
  std::vector<int64_t> sizes(x.sizes().begin(), x.sizes().end() - 1);
  sizes.push_back(output.size(1));
  return output.reshape(sizes);
}

Edited edit(const NeuronGraph& network, const GraphEdit& edit) {
  auto [graph, changes] = network->graph().edit(edit);
  NeuronGraphOptions options = network->options();
  if (options.keep) options.keep = std::min(*options.keep, graph.num_edges());
  NeuronGraph next(std::move(graph), options);
  next->to(network->weight.device(), network->weight.scalar_type());
  const torch::NoGradGuard no_grad;
  next->weight.copy_(carried(network->weight, changes.edges, next->weight));
  next->bias.copy_(carried(network->bias, changes.neurons, next->bias));
  next->train(network->is_training());
  return {next, changes};
}

void carry(torch::optim::Optimizer& optimizer, const NeuronGraph& network, const Edited& edited) {
  const std::tuple<Tensor, Tensor, Tensor> parameters[] = {
      {network->weight, edited.network->weight, edited.changes.edges},
      {network->bias, edited.network->bias, edited.changes.neurons}};
  for (const auto& [old, next, places] : parameters) {
    for (auto& group : optimizer.param_groups()) {
      for (Tensor& parameter : group.params()) {
        if (parameter.is_same(old)) parameter = next;
      }
    }
    const auto found = optimizer.state().find(old.unsafeGetTensorImpl());
    if (found == optimizer.state().end()) continue;
    auto moved = carried(*found->second, places);
    optimizer.state().erase(found);
    optimizer.state()[next.unsafeGetTensorImpl()] = std::move(moved);
  }
}

}  // namespace rewire::nn
