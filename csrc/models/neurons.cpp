// Graphs of single neurons. Parameters: graph.weight [1, edges, 1, 1] of the candidates, and bias
// [neurons]; the structure is in buffers, so that a file of weights says which edges they are of.
#include "models/neurons.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "models/layers.h"
#include "models/wiring.h"
#include "ops/rewire.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;
using at::Tensor;

// Numbers are int32.
struct NeuronNetwork {
  int64_t inputs;      // the first neurons
  Tensor outputs;      // [outputs]
  Tensor activations;  // [neurons] codes of ops::neuron_structure
  Tensor sources;      // [edges]
  Tensor targets;      // [edges], ascending
};

Tensor int_tensor(const std::vector<int32_t>& numbers) {
  return torch::tensor(at::ArrayRef<int32_t>(numbers), at::kInt);
}

NeuronNetwork neuron_network(const NeuronsDescription& description, const data::ImageSpec& spec,
                             at::Generator& generator) {
  const int64_t inputs = spec.channels * spec.size * spec.size;
  auto* const random = at::check_generator<at::CPUGeneratorImpl>(generator);
  const auto draw = [&](int64_t bound) { return int64_t(random->random64() % uint64_t(bound)); };
  const graph::NeuronEdges edges = graph::edges_of(description.groups, inputs, draw);
  std::vector<int32_t> activations(size_t(inputs), 0);
  const std::vector<std::string>& names = graph::activation_names();
  for (const graph::NeuronGroup& group : description.groups) {
    const auto code = std::find(names.begin(), names.end(), group.activation) - names.begin();
    activations.insert(activations.end(), size_t(group.neurons), int32_t(code));
  }
  const std::vector<int32_t> outputs =
      graph::outputs_of(description.groups, inputs, description.outputs);
  return {inputs, int_tensor(outputs), int_tensor(activations), int_tensor(edges.sources),
          int_tensor(edges.targets)};
}

// The neurons of a softmax, which is over those of one level, wait for one another.
ops::NeuronStructure neuron_structure_of(const NeuronNetwork& network) {
  static const std::vector<std::string>& names = graph::activation_names();
  static const int64_t softmax = std::find(names.begin(), names.end(), "softmax") - names.begin();
  const Tensor inputs = at::arange(network.inputs, at::kInt);
  const Tensor operations = (network.activations == softmax).to(at::kInt) - 1;
  const Tensor levels = std::get<0>(ops::neuron_levels(
      network.sources, network.targets, network.activations.numel(), inputs, operations));
  return ops::neuron_structure(network.sources, network.targets, levels, network.activations,
                               inputs, network.outputs);
}

// The names of a structure's tensors, in its order, as the source has them.
constexpr const char* kNeuronStructure[] = {
    "neurons", "activations",    "level_offsets", "row_offsets", "columns",
    "edges",   "column_offsets", "rows",          "order",       "outputs"};

constexpr double kConnexDeviation = 0.1;

// Weights of the candidates [edges].
Tensor drawn_weights(const std::string& init, const NeuronNetwork& network,
                     at::Generator& generator) {
  const Tensor targets = network.targets.to(at::kLong);
  if (init == "uniform") return at::empty(targets.sizes()).uniform_(-1, 1, generator);
  const Tensor weight = at::empty(targets.sizes()).normal_(0, 1, generator);
  if (init == "self_normalized") return weight;
  if (init == "connex") return weight.mul_(kConnexDeviation);
  const Tensor fan_in = at::bincount(targets, {}, network.activations.numel()).to(at::kFloat);
  const Tensor deviation = at::sqrt((init == "he" ? 2 : 1) / fan_in.clamp_min(1));
  return weight.mul_(deviation.index_select(0, targets));
}

jit::Module module_of(const NeuronNetwork& network, const WiringDescription& rule,
                      const Tensor& weight, const Tensor& bias, at::Generator& generator) {
  const int64_t edges = weight.numel();
  jit::Module wiring = script::new_module("Wiring");
  add_wiring(wiring, rule, weight.view({1, edges, 1, 1}).requires_grad_(),
             std::vector<uint8_t>(size_t(edges), 0), generator);
  jit::Module module = script::new_module("NeuronGraph");
  module.register_module("graph", wiring);
  module.register_parameter("bias", Tensor(bias).requires_grad_(), false);
  const ops::NeuronStructure s = neuron_structure_of(network);
  const Tensor tensors[] = {s.neurons, s.activations,    s.level_offsets, s.row_offsets, s.columns,
                            s.edges,   s.column_offsets, s.rows,          s.order,       s.outputs};
  for (size_t i = 0; i < std::size(tensors); ++i)
    module.register_buffer(kNeuronStructure[i], tensors[i]);
  // Of the other rules every candidate is in use, or its weight is 0.
  const bool chooses = rule.kind == "dnw" || rule.kind == "dnw_no_update" ||
                       rule.kind == "random" || rule.kind == "fine_tune";
  module.register_attribute("chooses", c10::BoolType::get(), chooses);
  script::define(module, "neurons");
  return module;
}

Wiring neuron_wiring(const NeuronsDescription& description, const NeuronNetwork& network) {
  Wiring wiring{.name = "graph",
                .rule = description.wiring,
                .readable = at::ones({1, network.sources.numel()}, at::kBool),
                .groups = {network.inputs},
                .first_target = network.inputs,
                .of_neurons = true,
                .names = {graph::kInputs}};
  for (const graph::NeuronGroup& group : description.groups) {
    wiring.groups.push_back(group.neurons);
    wiring.names.push_back(group.name);
  }
  return wiring;
}

ops::NeuronStructure structure_in(const jit::Module& module) {
  const auto on_cpu = [&](size_t i) { return module.attr(kNeuronStructure[i]).toTensor().cpu(); };
  return {on_cpu(0), on_cpu(1), on_cpu(2), on_cpu(3), on_cpu(4),
          on_cpu(5), on_cpu(6), on_cpu(7), on_cpu(8), on_cpu(9)};
}

// By number, from values by position.
Tensor by_number(const ops::NeuronStructure& structure, const Tensor& by_position) {
  return at::empty_like(by_position).index_put_({structure.neurons.to(at::kLong)}, by_position);
}

// Numbers of the outputs.
Tensor output_neurons(const ops::NeuronStructure& structure) {
  return structure.neurons.index_select(0, structure.outputs.to(at::kLong));
}

// Whether it holds each number below its size once.
bool is_permutation(const Tensor& numbers) {
  return std::get<0>(numbers.sort()).equal(at::arange(numbers.numel(), numbers.options()));
}

// bool [neurons]: inputs, outputs, and neurons from which a path of edges in use leads to an
// output. Seen from the last level, a neuron's readers come before what it reads.
Tensor alive_neurons(const ops::NeuronStructure& structure, int64_t inputs, const Tensor& used) {
  const int64_t neurons = structure.neurons.numel();
  Tensor alive = at::zeros({neurons}, at::kBool);
  alive.narrow(0, 0, inputs).fill_(true);
  alive.index_fill_(0, structure.outputs.to(at::kLong), true);
  bool* const is_alive = alive.mutable_data_ptr<bool>();
  const auto* const is_used = used.const_data_ptr<bool>();
  const auto* const offsets = structure.row_offsets.const_data_ptr<int32_t>();
  const auto* const columns = structure.columns.const_data_ptr<int32_t>();
  const auto* const edges = structure.edges.const_data_ptr<int32_t>();
  for (int64_t target = neurons - 1; target >= 0; --target) {
    for (int32_t i = offsets[target]; is_alive[target] && i < offsets[target + 1]; ++i) {
      if (is_used[edges[i]]) is_alive[columns[i]] = true;
    }
  }
  return by_number(structure, alive);
}

}  // namespace

Model build_neurons(const NeuronsDescription& description, const data::ImageSpec& spec,
                    at::Generator& generator) {
  const NeuronNetwork network = neuron_network(description, spec, generator);
  const Tensor weight = drawn_weights(description.init, network, generator);
  Tensor bias = at::zeros({network.activations.numel()});
  if (description.init == "connex") {
    bias.slice(0, network.inputs).normal_(0, kConnexDeviation, generator);
  }
  return {module_of(network, description.wiring, weight, bias, generator),
          {neuron_wiring(description, network)},
          {}};
}

Model fast_eval_neurons(const Model& model, const NeuronsDescription& description) {
  const Wiring& wiring = model.wirings.at(0);
  const int64_t inputs = wiring.groups[0];
  const ops::NeuronStructure structure = structure_in(model.module);
  const EdgeEnds ends = edge_ends(model.module);
  Tensor used = edges_kept(model, wiring).flatten().contiguous();
  const Tensor alive = alive_neurons(structure, inputs, used);
  used = used.logical_and(alive.index_select(0, ends.targets));

  const Tensor renumbered = alive.cumsum(0, at::kInt) - 1;
  const auto left_of = [&](const Tensor& neurons) {
    return renumbered.index_select(0, neurons.masked_select(used));
  };
  const NeuronNetwork left{inputs,
                           renumbered.index_select(0, output_neurons(structure).to(at::kLong)),
                           by_number(structure, structure.activations).masked_select(alive),
                           left_of(ends.sources), left_of(ends.targets)};
  const Tensor weight = wiring_module(model, wiring).get_method("candidates")({}).toTensor();
  const Tensor bias = model.module.attr("bias").toTensor();
  NeuronsDescription whole = description;
  whole.wiring = {};
  whole.wiring.kind = "complete";
  int64_t first = inputs;
  for (graph::NeuronGroup& group : whole.groups) {
    const int64_t size = group.neurons;
    group.neurons = alive.narrow(0, first, size).sum().item<int64_t>();
    first += size;
  }
  at::Generator unused = at::detail::createCPUGenerator(0);
  Model pruned{module_of(left, whole.wiring, weight.detach().flatten().masked_select(used),
                         bias.detach().masked_select(alive), unused),
               {neuron_wiring(whole, left)},
               {}};
  pruned.module.eval();
  return pruned;
}

EdgeEnds edge_ends(const jit::Module& module) {
  const ops::NeuronStructure structure = structure_in(module);
  const Tensor fan_in = structure.row_offsets.diff().to(at::kLong);
  const Tensor neurons = structure.neurons.to(at::kLong);
  const Tensor places = structure.edges.to(at::kLong);
  const auto by_edge = [&](const Tensor& positions) {
    const Tensor numbers = neurons.index_select(0, positions);
    return at::empty_like(numbers).index_put_({places}, numbers);
  };
  const Tensor positions = at::arange(neurons.numel(), at::kLong);
  return {by_edge(structure.columns.to(at::kLong)), by_edge(positions.repeat_interleave(fan_in))};
}

NeuronRoles roles_of(const jit::Module& module, int64_t inputs) {
  const ops::NeuronStructure structure = structure_in(module);
  return {inputs, by_number(structure, structure.activations), output_neurons(structure)};
}

std::string structure_fault(const jit::Module& module, const NeuronRoles& roles) {
  const at::AutoGradMode gradient(true);
  const ops::NeuronStructure structure = structure_in(module);
  const int64_t neurons = structure.neurons.numel(), edges = structure.edges.numel();
  const int64_t inputs = roles.inputs;
  try {
    TORCH_CHECK(is_permutation(structure.neurons), "expected each of its neurons once");
    TORCH_CHECK(is_permutation(structure.edges), "expected each of its edges once");
    TORCH_CHECK(structure.neurons.slice(0, 0, inputs).equal(at::arange(inputs, at::kInt)),
                "expected neurons that begin with the inputs, 0 to ", inputs - 1);
    // Each of the op's passes checks what it goes by; the inputs are the first level.
    const Tensor weight = at::zeros({edges}).requires_grad_();
    std::get<0>(ops::neuron_graph(at::zeros({1, inputs}), weight, at::zeros({neurons}), structure))
        .sum()
        .backward();
    const NeuronRoles own = roles_of(module, inputs);
    TORCH_CHECK(own.activations.equal(roles.activations), "other activations than the config's");
    TORCH_CHECK(own.outputs.equal(roles.outputs), "other outputs than the config's");
  } catch (const c10::Error& error) {
    return std::string("the structure of its neurons: ") + error.what_without_backtrace();
  }
  return "";
}

}  // namespace rewire::models
