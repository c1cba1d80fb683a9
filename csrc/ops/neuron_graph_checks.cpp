#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>

#include "kernels/cpu/neuron_structure.h"
#include "kernels/neuron_activations.h"
#include "ops/check.h"
#include "ops/neuron_graph.h"
#include "ops/pointwise.h"

namespace rewire::ops {
namespace {

using at::Tensor;

NeuronStructure structure_in(const char* op, at::TensorList list) {
  TORCH_CHECK(list.size() == 10, op, ": expected structure of 10 tensors, got ", list.size());
  return {list[0], list[1], list[2], list[3], list[4], list[5], list[6], list[7], list[8], list[9]};
}

void check_part(const char* op, const char* name, const Tensor& tensor, const c10::SymInt& size,
                const Tensor& like) {
  TORCH_CHECK(tensor.scalar_type() == at::kInt, op, ": expected ", name, " of dtype Int, got ",
              tensor.scalar_type());
  TORCH_CHECK(tensor.dim() == 1 && tensor.sym_size(0) == size, op, ": expected ", name,
              " of shape [", size, "], got ", tensor.sym_sizes());
  check_device(op, name, tensor, like);
}

// Returns the number of neurons.
c10::SymInt check_shared(const char* op, const NeuronArguments& arguments) {
  const Tensor& weight = arguments.weight;
  check_floating(op, "weight", weight);
  TORCH_CHECK(weight.dim() == 1, op, ": expected weight of shape [edges], got ",
              weight.sym_sizes());
  check_gradient(op, arguments.gradient);
  const NeuronStructure s = structure_in(op, arguments.structure);
  TORCH_CHECK(s.neurons.dim() == 1, op, ": expected neurons of shape [neurons], got ",
              s.neurons.sym_sizes());
  const auto num_neurons = s.neurons.sym_size(0), num_edges = weight.sym_size(0);
  check_part(op, "neurons", s.neurons, num_neurons, weight);
  check_part(op, "activations", s.activations, num_neurons, weight);
  check_part(op, "level_offsets", s.level_offsets, num_neurons + 1, weight);
  check_part(op, "row_offsets", s.row_offsets, num_neurons + 1, weight);
  check_part(op, "columns", s.columns, num_edges, weight);
  check_part(op, "edges", s.edges, num_edges, weight);
  check_part(op, "column_offsets", s.column_offsets, num_neurons + 1, weight);
  check_part(op, "rows", s.rows, num_edges, weight);
  check_part(op, "order", s.order, num_edges, weight);
  check_part(op, "outputs", s.outputs, s.outputs.sym_numel(), weight);
  if (arguments.mask) check_mask(op, "mask", *arguments.mask, weight);
  return num_neurons;
}

// Whether all shares of [0, count) pass `passes(begin, end)`, in parallel.
template <typename F>
bool all_pass(int64_t count, F&& passes) {
  constexpr int64_t kShare = 1 << 15;
  std::atomic<bool> all = true;
  at::parallel_for(0, count, kShare, [&](int64_t begin, int64_t end) {
    if (!passes(begin, end)) all = false;
  });
  return all;
}

bool all_below(const Tensor& tensor, int64_t bound) {
  const auto* numbers = tensor.const_data_ptr<int32_t>();
  return all_pass(tensor.numel(), [&](int64_t begin, int64_t end) {
    return kernels::all_below(numbers + begin, end - begin, bound);
  });
}

// Offsets that ascend from 0 to `end`.
void check_ascending(const char* op, const char* name, const Tensor& offsets, int64_t end) {
  const auto* numbers = offsets.const_data_ptr<int32_t>();
  TORCH_CHECK(numbers[0] == 0 && numbers[offsets.numel() - 1] == end &&
                  std::is_sorted(numbers, numbers + offsets.numel()),
              op, ": expected ", name, " to ascend from 0 to ", end);
}

}  // namespace

NeuronStructureTensors as_tuple(const NeuronStructure& s) {
  return {s.neurons, s.activations,    s.level_offsets, s.row_offsets, s.columns,
          s.edges,   s.column_offsets, s.rows,          s.order,       s.outputs};
}

std::vector<Tensor> as_list(const NeuronStructure& s) {
  return {s.neurons, s.activations,    s.level_offsets, s.row_offsets, s.columns,
          s.edges,   s.column_offsets, s.rows,          s.order,       s.outputs};
}

NeuronStructure contiguous_structure(at::TensorList list) {
  std::vector<Tensor> dense;
  std::transform(list.begin(), list.end(), std::back_inserter(dense),
                 [](const Tensor& tensor) { return tensor.contiguous(); });
  return structure_in(kNeuronGraph, dense);
}

void check_neuron_graph(const NeuronArguments& arguments, const Tensor& input, const Tensor& bias,
                        const std::optional<Tensor>& keep) {
  const auto num_neurons = check_shared(kNeuronGraph, arguments);
  check_shape(kNeuronGraph, "bias", bias, {num_neurons}, arguments.weight);
  check_dtype(kNeuronGraph, "input", input, arguments.weight);
  check_device(kNeuronGraph, "input", input, arguments.weight);
  TORCH_CHECK(input.dim() == 2 && num_neurons >= input.sym_size(1), kNeuronGraph,
              ": expected input of shape [batch, inputs], of at most ", num_neurons,
              " inputs, got ", input.sym_sizes());
  if (!keep) return;
  TORCH_CHECK(keep->scalar_type() == at::kBool, kNeuronGraph, ": expected keep of dtype Bool, got ",
              keep->scalar_type());
  const c10::SymInt sizes[] = {input.sym_size(0), num_neurons};
  TORCH_CHECK(keep->sym_sizes().equals(sizes), kNeuronGraph,
              ": expected keep of shape [batch, neurons] = ", c10::SymIntArrayRef(sizes), ", got ",
              keep->sym_sizes());
  check_device(kNeuronGraph, "keep", *keep, arguments.weight);
}

void check_neuron_graph_backward(const NeuronArguments& arguments, const Tensor& grad_output,
                                 const Tensor& state) {
  const auto num_neurons = check_shared(kNeuronGraphBackward, arguments);
  check_dtype(kNeuronGraphBackward, "grad_output", grad_output, arguments.weight);
  check_device(kNeuronGraphBackward, "grad_output", grad_output, arguments.weight);
  const auto num_outputs = arguments.structure[9].sym_size(0);
  TORCH_CHECK(grad_output.dim() == 2 && grad_output.sym_size(1) == num_outputs,
              kNeuronGraphBackward,
              ": expected grad_output of shape [batch, outputs = ", num_outputs, "], got ",
              grad_output.sym_sizes());
  const auto sizes = state_sizes(num_neurons, grad_output.sym_size(0), true);
  TORCH_CHECK(state.sym_sizes().equals(sizes), kNeuronGraphBackward, ": expected state of shape ",
              c10::SymIntArrayRef(sizes), ", got ", state.sym_sizes());
  const auto dtype = summing_dtype(arguments.weight);
  TORCH_CHECK(state.scalar_type() == dtype, kNeuronGraphBackward, ": expected state of dtype ",
              dtype, ", got ", state.scalar_type());
  check_device(kNeuronGraphBackward, "state", state, arguments.weight);
}

std::vector<c10::SymInt> state_sizes(const c10::SymInt& num_neurons, const c10::SymInt& batch,
                                     bool keep_state) {
  return {keep_state ? 2 : 0, num_neurons,
          (batch + (kernels::kLanes - 1)) / kernels::kLanes * kernels::kLanes};
}

void check_order(const NeuronStructure& s, int64_t num_inputs) {
  const char* const op = kNeuronGraph;
  const int64_t num_neurons = s.neurons.numel(), num_edges = s.columns.numel();
  TORCH_CHECK(all_below(s.neurons, num_neurons), op, ": expected neurons in [0, ", num_neurons,
              ")");
  TORCH_CHECK(all_below(s.activations, kernels::kNumActivations), op,
              ": expected activations in [0, ", kernels::kNumActivations, ")");
  TORCH_CHECK(all_below(s.edges, num_edges), op, ": expected edges in [0, ", num_edges, ")");
  TORCH_CHECK(all_below(s.outputs, num_neurons), op, ": expected outputs in [0, ", num_neurons,
              ")");
  check_ascending(op, "level_offsets", s.level_offsets, num_neurons);
  check_ascending(op, "row_offsets", s.row_offsets, num_edges);
  const auto* levels = s.level_offsets.const_data_ptr<int32_t>();
  const auto* rows = s.row_offsets.const_data_ptr<int32_t>();
  const auto* columns = s.columns.const_data_ptr<int32_t>();
  TORCH_CHECK(num_neurons == 0 || levels[1] == num_inputs, op, ": expected input of ", levels[1],
              " inputs, got ", num_inputs);
  const auto wrong_row = [&](int64_t begin, int64_t end) {
    int64_t level = std::upper_bound(levels, levels + num_neurons, begin) - levels - 1;
    for (int64_t v = begin; v < end; ++v) {
      while (levels[level + 1] <= v) ++level;
      if (!kernels::columns_ascend(rows, columns, v, levels[level])) return v;
    }
    return end;
  };
  if (all_pass(num_neurons,
               [&](int64_t begin, int64_t end) { return wrong_row(begin, end) == end; })) {
    return;
  }
  TORCH_CHECK(false, op, ": expected columns of each row to ascend, and to lie in levels below, ",
              "got others in row ", wrong_row(0, num_neurons));
}

void check_transpose(const NeuronStructure& s) {
  const char* const op = kNeuronGraphBackward;
  check_ascending(op, "column_offsets", s.column_offsets, s.columns.numel());
  const int64_t num_neurons = s.neurons.numel();
  const auto num_edges = static_cast<uint32_t>(s.columns.numel());
  const auto* column_offsets = s.column_offsets.const_data_ptr<int32_t>();
  const auto* columns = s.columns.const_data_ptr<int32_t>();
  const auto* row_offsets = s.row_offsets.const_data_ptr<int32_t>();
  const auto* rows = s.rows.const_data_ptr<int32_t>();
  const auto* order = s.order.const_data_ptr<int32_t>();
  const auto wrong_edge = [&](int64_t begin, int64_t end) -> std::array<int64_t, 2> {
    for (int64_t column = begin; column < end; ++column) {
      for (int32_t j = column_offsets[column]; j < column_offsets[column + 1]; ++j) {
        const int32_t e = order[j], row = rows[j];
        if (uint32_t(e) >= num_edges || uint64_t(row) >= uint64_t(num_neurons) ||
            columns[e] != column || e < row_offsets[row] || e >= row_offsets[row + 1]) {
          return {column, j};
        }
      }
    }
    return {end, 0};
  };
  if (all_pass(num_neurons,
               [&](int64_t begin, int64_t end) { return wrong_edge(begin, end)[0] == end; })) {
    return;
  }
  const auto [column, j] = wrong_edge(0, num_neurons);
  TORCH_CHECK(false, op, ": expected order[", j, "] to be the place of the edge from position ",
              column, " to position ", rows[j], ", got ", order[j]);
}

}  // namespace rewire::ops
