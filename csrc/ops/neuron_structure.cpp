// neuron_levels and neuron_structure: a graph of neurons in the order in which it is computed.
// Contracts: rewire.h. Both are the host's work: tensors elsewhere are copied there and back.
#include "kernels/cpu/neuron_structure.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "kernels/neuron_activations.h"
#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/neuron_graph.h"
#include "ops/rewire.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using Given = std::optional<Tensor>;
using Levels = std::tuple<Tensor, Tensor>;

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
constexpr const char* kLevelsOp = "neuron_levels";
constexpr const char* kStructureOp = "neuron_structure";

void check_numbers(const char* op, const char* name, const Tensor& tensor, const Tensor& like) {
  TORCH_CHECK(tensor.scalar_type() == at::kInt || tensor.scalar_type() == at::kLong, op,
              ": expected ", name, " of dtype Int or Long, got ", tensor.scalar_type());
  TORCH_CHECK(tensor.dim() == 1, op, ": expected ", name, " of one dimension, got ",
              tensor.sym_sizes());
  TORCH_CHECK(tensor.sym_numel() <= kMost, op, ": expected at most ", kMost, " ", name, ", got ",
              tensor.sym_numel());
  check_device(op, name, tensor, like);
}

void check_graph(const char* op, const Tensor& sources, const Tensor& targets) {
  check_numbers(op, "sources", sources, sources);
  check_numbers(op, "targets", targets, sources);
  TORCH_CHECK(sources.sym_numel() == targets.sym_numel(), op,
              ": expected as many targets as sources, got ", targets.sym_numel(), " and ",
              sources.sym_numel());
}

void check_by_neuron(const char* op, const char* name, const Tensor& tensor,
                     const c10::SymInt& num_neurons, const Tensor& like) {
  check_numbers(op, name, tensor, like);
  TORCH_CHECK(tensor.sym_numel() == num_neurons, op, ": expected ", name,
              " of shape [neurons = ", num_neurons, "], got ", tensor.sym_sizes());
}

// The numbers of a tensor, each in [least, bound).
Tensor numbers_of(const char* op, const char* name, const Tensor& tensor, int64_t least,
                  int64_t bound) {
  const Tensor wide = tensor.to(at::kCPU, at::kLong).contiguous();
  const auto* numbers = wide.const_data_ptr<int64_t>();
  const auto* const wrong = std::find_if(numbers, numbers + wide.numel(), [&](int64_t number) {
    return number < least || number >= bound;
  });
  TORCH_CHECK(wrong == numbers + wide.numel(), op, ": expected ", name, " in [", least, ", ", bound,
              "), got ", *wrong, " at ", wrong - numbers);
  return wide.to(at::kInt);
}

std::span<const int32_t> view(const Tensor& tensor) {
  return {tensor.const_data_ptr<int32_t>(), size_t(tensor.numel())};
}

std::span<int32_t> fill(Tensor& tensor) {
  return {tensor.mutable_data_ptr<int32_t>(), size_t(tensor.numel())};
}

void check_levels(const Tensor& sources, const Tensor& targets, int64_t num_neurons,
                  const Tensor& inputs, const Given& operations) {
  check_graph(kLevelsOp, sources, targets);
  check_count(kLevelsOp, "num_neurons", num_neurons, kMost);
  check_numbers(kLevelsOp, "inputs", inputs, sources);
  if (operations) check_by_neuron(kLevelsOp, "operations", *operations, num_neurons, sources);
}

Levels levels_any(const Tensor& sources, const Tensor& targets, int64_t num_neurons,
                  const Tensor& inputs, const Given& operations) {
  check_levels(sources, targets, num_neurons, inputs, operations);
  const Tensor from = numbers_of(kLevelsOp, "sources", sources, 0, num_neurons);
  const Tensor to = numbers_of(kLevelsOp, "targets", targets, 0, num_neurons);
  const Tensor first = numbers_of(kLevelsOp, "inputs", inputs, 0, num_neurons);
  const Tensor ids = operations ? numbers_of(kLevelsOp, "operations", *operations, -1, kMost)
                                : at::empty({0}, from.options());
  Tensor levels = at::empty({num_neurons}, from.options());
  Tensor cycle = at::full({num_neurons}, -1, from.options());
  const auto found = kernels::find_levels({num_neurons, view(from), view(to)}, view(first),
                                          view(ids), fill(levels));
  std::copy(found.begin(), found.end(), fill(cycle).begin());
  return {levels.to(sources.device()), cycle.to(sources.device())};
}

Levels levels_meta(const Tensor& sources, const Tensor& targets, int64_t num_neurons,
                   const Tensor& inputs, const Given& operations) {
  check_levels(sources, targets, num_neurons, inputs, operations);
  const auto options = sources.options().dtype(at::kInt);
  return {at::empty({num_neurons}, options), at::empty({num_neurons}, options)};
}

void check_ordered(const Tensor& sources, const Tensor& targets, const Tensor& levels,
                   const Tensor& activations, const Tensor& inputs, const Tensor& outputs) {
  check_graph(kStructureOp, sources, targets);
  check_numbers(kStructureOp, "levels", levels, sources);
  check_by_neuron(kStructureOp, "activations", activations, levels.sym_numel(), sources);
  check_numbers(kStructureOp, "inputs", inputs, sources);
  check_numbers(kStructureOp, "outputs", outputs, sources);
}

NeuronStructure allocate(const Tensor& sources, const Tensor& levels, const Tensor& outputs) {
  const auto options = sources.options().dtype(at::kInt);
  const auto by = [&](const c10::SymInt& size) { return at::empty_symint({size}, options); };
  const auto num_neurons = levels.sym_numel(), num_edges = sources.sym_numel();
  return {by(num_neurons), by(num_neurons),        by(num_neurons + 1), by(num_neurons + 1),
          by(num_edges),   by(num_edges),          by(num_neurons + 1), by(num_edges),
          by(num_edges),   by(outputs.sym_numel())};
}

// That levels are such as neuron_levels gives.
void check_levels_of(const Tensor& from, const Tensor& to, const Tensor& levels,
                     const Tensor& inputs) {
  const auto level = view(levels), sources = view(from), targets = view(to);
  std::vector<bool> is_input(level.size());
  for (const int32_t input : view(inputs)) {
    TORCH_CHECK(!is_input[input], kStructureOp, ": expected inputs without repetition, got ", input,
                " twice");
    is_input[input] = true;
  }
  for (size_t n = 0; n < level.size(); ++n) {
    TORCH_CHECK((level[n] == 0) == is_input[n], kStructureOp,
                ": expected level 0 of the inputs alone, got level ", level[n], " of neuron ", n);
  }
  for (size_t e = 0; e < sources.size(); ++e) {
    TORCH_CHECK(level[sources[e]] < level[targets[e]], kStructureOp,
                ": expected levels to rise along every edge, got ", level[sources[e]], " and ",
                level[targets[e]], " of edge ", e, " from ", sources[e], " to ", targets[e]);
  }
}

NeuronStructureTensors structure_any(const Tensor& sources, const Tensor& targets,
                                     const Tensor& levels, const Tensor& activations,
                                     const Tensor& inputs, const Tensor& outputs) {
  check_ordered(sources, targets, levels, activations, inputs, outputs);
  const int64_t num_neurons = levels.numel();
  const auto numbers = [&](const char* name, const Tensor& tensor, int64_t bound) {
    return numbers_of(kStructureOp, name, tensor, 0, bound);
  };
  const Tensor from = numbers("sources", sources, num_neurons);
  const Tensor to = numbers("targets", targets, num_neurons);
  const Tensor level = numbers("levels", levels, num_neurons);
  const Tensor activation = numbers("activations", activations, kernels::kNumActivations);
  const Tensor first = numbers("inputs", inputs, num_neurons);
  const Tensor last = numbers("outputs", outputs, num_neurons);
  check_levels_of(from, to, level, first);

  NeuronStructure out = allocate(from, level, last);
  Tensor positions = at::empty_like(level);
  const auto array = [](Tensor& tensor) { return tensor.mutable_data_ptr<int32_t>(); };
  kernels::order_neurons({num_neurons, view(from), view(to)}, view(first), view(level),
                         view(activation), static_cast<int32_t>(kernels::Activation::kSoftmax),
                         fill(positions),
                         {array(out.neurons), array(out.activations), array(out.level_offsets),
                          array(out.row_offsets), array(out.columns), array(out.edges),
                          array(out.column_offsets), array(out.rows), array(out.order)});
  out.outputs = positions.index_select(0, last);
  const auto there = [&](const auto&... tensors) {
    return NeuronStructureTensors{tensors.to(sources.device())...};
  };
  return std::apply(there, as_tuple(out));
}

NeuronStructureTensors structure_meta(const Tensor& sources, const Tensor& targets,
                                      const Tensor& levels, const Tensor& activations,
                                      const Tensor& inputs, const Tensor& outputs) {
  check_ordered(sources, targets, levels, activations, inputs, outputs);
  return as_tuple(allocate(sources, levels, outputs));
}

}  // namespace

std::tuple<Tensor, Tensor> neuron_levels(const Tensor& sources, const Tensor& targets,
                                         int64_t num_neurons, const Tensor& inputs,
                                         const Given& operations) {
  static const auto op = find_op<decltype(levels_any)>("rewire::neuron_levels");
  return op.call(sources, targets, num_neurons, inputs, operations);
}

NeuronStructure neuron_structure(const Tensor& sources, const Tensor& targets, const Tensor& levels,
                                 const Tensor& activations, const Tensor& inputs,
                                 const Tensor& outputs) {
  static const auto op = find_op<decltype(structure_any)>("rewire::neuron_structure");
  return std::apply([](const auto&... tensors) { return NeuronStructure{tensors...}; },
                    op.call(sources, targets, levels, activations, inputs, outputs));
}

TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) {
  m.impl("neuron_levels", levels_any);
  m.impl("neuron_structure", structure_any);
}
TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("neuron_levels", levels_meta);
  m.impl("neuron_structure", structure_meta);
}

}  // namespace rewire::ops
