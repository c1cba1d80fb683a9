// neuron_graph on the CPU. Forward and the gradients of sums go tile by tile of samples, each
// thread through the whole graph with its own; the gradients of weights go by neurons, each thread
// with its own rows through all tiles, so that an edge's sum has one order.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu/neuron_graph.h"
#include "kernels/cpu/neuron_structure.h"
#include "ops/neuron_graph_on.h"

namespace rewire::ops {
namespace {

using at::Tensor;

// gathered[i] = from[places[i]]
template <typename T>
Tensor gather(const Tensor& from, const Tensor& places) {
  const Tensor gathered = at::empty({places.numel()}, from.options());
  const auto* const in = from.const_data_ptr<T>();
  const auto* const place = places.const_data_ptr<int32_t>();
  auto* const out = gathered.mutable_data_ptr<T>();
  at::parallel_for(0, places.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = in[place[i]];
  });
  return gathered;
}

// Edges of each position in one direction, those in use alone.
struct UsedEdges {
  Tensor offsets;  // [neurons + 1]
  Tensor ends;     // [edges]
  Tensor numbers;  // [edges]
};

// numbers: of the edges, in this direction.
UsedEdges used(const NeuronCall& call, const Tensor& offsets, const Tensor& ends,
               const Tensor& numbers) {
  if (!call.mask) return {offsets, ends, numbers};
  const Tensor mask = call.mask->index_select(0, numbers);
  UsedEdges edges{at::empty_like(offsets), ends.masked_select(mask), numbers.masked_select(mask)};
  kernels::count_used(call.num_neurons, offsets.const_data_ptr<int32_t>(),
                      mask.const_data_ptr<bool>(), edges.offsets.mutable_data_ptr<int32_t>());
  return edges;
}

UsedEdges used_by_target(const NeuronCall& call) {
  const NeuronStructure& s = call.structure;
  return used(call, s.row_offsets, s.columns, s.edges);
}

UsedEdges used_by_source(const NeuronCall& call) {
  const NeuronStructure& s = call.structure;
  return used(call, s.column_offsets, s.rows, gather<int32_t>(s.edges, s.order));
}

kernels::NeuronLevels levels_of(const NeuronCall& call) {
  return {call.num_neurons, call.structure.level_offsets.const_data_ptr<int32_t>(),
          call.structure.activations.const_data_ptr<int32_t>()};
}

// Edges with their weights, which it keeps.
template <typename T>
struct Weighted {
  UsedEdges edges;
  Tensor weights;

  Weighted(UsedEdges used, const Tensor& weight)
      : edges(std::move(used)), weights(gather<T>(weight, edges.numbers)) {}

  kernels::WeightedEdges<T> view() const {
    return {edges.offsets.const_data_ptr<int32_t>(), edges.ends.const_data_ptr<int32_t>(),
            weights.const_data_ptr<T>()};
  }
};

// Calls f(tile, scratch) for each tile, in parallel; scratch: numbers for `rows` rows of a tile.
template <typename T, typename F>
void for_each_tile(int64_t batch, int64_t rows, const at::TensorOptions& options, F&& f) {
  const int64_t num_tiles = kernels::num_tiles(batch);
  const Tensor scratch = at::empty(
      {std::min<int64_t>(num_tiles, at::get_num_threads()), rows * kernels::tile_width(batch)},
      options);
  T* const first = scratch.mutable_data_ptr<T>();
  at::parallel_for(0, num_tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      f(kernels::tile_at(batch, i), first + at::get_thread_num() * scratch.stride(0));
    }
  });
}

// keep [neurons, batch] as the rows of a tile: the last sample's again beyond it.
std::vector<char> keep_of(const Tensor& keep, const kernels::NeuronTile& tile) {
  const auto* kept = keep.const_data_ptr<bool>();
  const int64_t batch = keep.size(1);
  std::vector<char> rows(keep.size(0) * tile.lanes);
  for (int64_t v = 0; v < keep.size(0); ++v) {
    for (int64_t lane = 0; lane < tile.lanes; ++lane) {
      rows[v * tile.lanes + lane] = kept[v * batch + tile.first + std::min(lane, tile.samples - 1)];
    }
  }
  return rows;
}

template <typename T>
void forward(const NeuronCall& call, const Tensor& input, const Tensor& biases, const Tensor& keep,
             const Tensor& output, const Tensor& state) {
  const auto& kernels = kernels::neuron_kernels<T>();
  const Weighted<T> edges(used_by_target(call), call.weight);
  const int64_t num_outputs = output.size(1);
  const bool kept = state.numel() > 0;
  T* const kept_values = kept ? state.mutable_data_ptr<T>() : nullptr;
  T* const kept_slopes = kept ? kept_values + state.stride(0) : nullptr;
  const int64_t rows = num_outputs + (kept ? 0 : call.num_neurons);
  for_each_tile<T>(call.batch, rows, output.options(), [&](const auto& tile, T* scratch) {
    const int64_t offset = tile.offset(call.num_neurons);
    T* const values = kept ? kept_values + offset : scratch + num_outputs * tile.lanes;
    const std::vector<char> mask = keep.defined() ? keep_of(keep, tile) : std::vector<char>();
    kernels.load(input.const_data_ptr<T>(), call.num_inputs, call.num_inputs, tile, values);
    kernels.forward(levels_of(call), edges.view(), biases.const_data_ptr<T>(), tile,
                    keep.defined() ? reinterpret_cast<const bool*>(mask.data()) : nullptr, values,
                    kept ? kept_slopes + offset : nullptr);
    kernels.store(values, call.structure.outputs.const_data_ptr<int32_t>(), num_outputs, tile,
                  scratch, output.mutable_data_ptr<T>());
  });
}

// gradients [neurons, padded batch], as the state: of the sums.
template <typename T>
Tensor grad_sums(const NeuronCall& call, const Tensor& grad_output, const Tensor& state,
                 const Tensor& grad_input) {
  const auto& kernels = kernels::neuron_kernels<T>();
  const Weighted<T> edges(used_by_source(call), call.weight);
  const int64_t num_outputs = grad_output.size(1);
  const auto* const outputs = call.structure.outputs.const_data_ptr<int32_t>();
  const Tensor gradients = at::empty({call.num_neurons, state.size(2)}, state.options());
  for_each_tile<T>(call.batch, num_outputs, state.options(), [&](const auto& tile, T* scratch) {
    const int64_t offset = tile.offset(call.num_neurons);
    T* const own = gradients.mutable_data_ptr<T>() + offset;
    std::fill_n(own, call.num_neurons * tile.lanes, T{0});
    kernels.load(grad_output.const_data_ptr<T>(), num_outputs, num_outputs, tile, scratch);
    for (int64_t i = 0; i < num_outputs; ++i) {
      T* const row = own + outputs[i] * tile.lanes;
      for (int64_t lane = 0; lane < tile.samples; ++lane) {
        row[lane] += scratch[i * tile.lanes + lane];
      }
    }
    const bool to_input = grad_input.numel() > 0;
    const T* const values = state.const_data_ptr<T>();
    kernels.backward(levels_of(call), edges.view(), tile, values + offset,
                     values + state.stride(0) + offset, own, to_input);
    if (to_input) {
      kernels.store(own, nullptr, call.num_inputs, tile, nullptr, grad_input.mutable_data_ptr<T>());
    }
  });
  return gradients;
}

template <typename T>
void grad_weights(const NeuronCall& call, const Tensor& gradients, const Tensor& state,
                  const NeuronGradients& out) {
  const auto& kernels = kernels::neuron_kernels<T>();
  const NeuronStructure& s = call.structure;
  const UsedEdges edges =
      call.kept_only ? used_by_target(call) : UsedEdges{s.row_offsets, s.columns, s.edges};
  const int64_t num_edges = edges.ends.numel();
  const auto* const offsets = edges.offsets.const_data_ptr<int32_t>();
  const auto* const numbers = edges.numbers.const_data_ptr<int32_t>();
  const auto* const neurons = s.neurons.const_data_ptr<int32_t>();
  const Tensor sums = at::zeros({num_edges + call.num_neurons}, state.options());
  T* const of_edges = sums.mutable_data_ptr<T>();
  T* const of_neurons = of_edges + num_edges;
  T* const grad_weight = out.weight.mutable_data_ptr<T>();
  T* const grad_bias = out.bias.mutable_data_ptr<T>();
  // Shares of about as many edges and neurons.
  constexpr int64_t kShares = 64;
  const auto start = [&](int64_t share) {
    const int64_t work = (num_edges + call.num_neurons) * share / kShares;
    int64_t low = call.num_inputs, high = call.num_neurons;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      offsets[middle] + middle < work ? low = middle + 1 : high = middle;
    }
    return share == kShares ? call.num_neurons : low;
  };
  at::parallel_for(0, kShares, 1, [&](int64_t first, int64_t last) {
    for (int64_t share = first; share < last; ++share) {
      const int64_t begin = start(share), end = start(share + 1);
      for (int64_t i = 0; i < kernels::num_tiles(call.batch); ++i) {
        const auto tile = kernels::tile_at(call.batch, i);
        const int64_t offset = tile.offset(call.num_neurons);
        kernels.grad_weights(offsets, edges.ends.const_data_ptr<int32_t>(), begin, end, tile,
                             state.const_data_ptr<T>() + offset,
                             gradients.const_data_ptr<T>() + offset, of_edges, of_neurons);
      }
      for (int64_t v = begin; v < end; ++v) {
        grad_bias[neurons[v]] = of_neurons[v];
        for (int64_t e = offsets[v]; e < offsets[v + 1]; ++e) grad_weight[numbers[e]] = of_edges[e];
      }
    }
  });
}

struct NeuronsOnCpu {
  static void check(const NeuronCall& call) { check_order(call.structure, call.num_inputs); }
  static void check_backward(const NeuronCall& call) { check_transpose(call.structure); }

  static void forward(const NeuronCall& call, const Tensor& input, const Tensor& biases,
                      const Tensor& keep, const Tensor& output, const Tensor& state) {
    AT_DISPATCH_FLOATING_TYPES(output.scalar_type(), kNeuronGraph, [&] {
      ops::forward<scalar_t>(call, input, biases, keep, output, state);
    });
  }

  static void backward(const NeuronCall& call, const Tensor& grad_output, const Tensor& state,
                       const NeuronGradients& out) {
    AT_DISPATCH_FLOATING_TYPES(state.scalar_type(), kNeuronGraphBackward, [&] {
      const Tensor gradients = grad_sums<scalar_t>(call, grad_output, state, out.input);
      if (out.bias.numel() > 0) grad_weights<scalar_t>(call, gradients, state, out);
    });
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(rewire, CPU, m) {
  m.impl("neuron_graph", neuron_forward_on<NeuronsOnCpu>);
  m.impl("neuron_graph_backward", neuron_backward_on<NeuronsOnCpu>);
}

}  // namespace rewire::ops
