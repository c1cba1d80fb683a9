// A block takes as many samples as a warp has lanes through the whole graph: its warps share the
// neurons of a level, and wait for one another between levels. Nothing waits for another block, so
// that any number of them may run.
#include "kernels/cuda/neuron_graph.h"

#include <cmath>

#include "kernels/cuda/block.cuh"
#include "kernels/neuron_activations-inl.h"
#include "kernels/neuron_tiles.h"

namespace rewire::kernels::cuda {
namespace {

constexpr int kNeuronThreads = 512;

template <typename T>
struct Math {
  using V = T;

  __device__ V set(double x) const { return static_cast<T>(x); }
  __device__ V add(V a, V b) const { return a + b; }
  __device__ V sub(V a, V b) const { return a - b; }
  __device__ V mul(V a, V b) const { return a * b; }
  __device__ V div(V a, V b) const { return a / b; }
  __device__ V abs(V a) const { return std::abs(a); }
  __device__ V max(V a, V b) const { return a < b ? b : a; }
  __device__ V choose_positive(V s, V a, V b) const { return s <= 0 ? b : a; }
  __device__ V exp(V a) const { return std::exp(a); }
  __device__ V expm1(V a) const { return std::expm1(a); }
  __device__ V log1p(V a) const { return std::log1p(a); }
  __device__ V tanh(V a) const { return std::tanh(a); }
  __device__ V erf(V a) const { return std::erf(a); }
};

constexpr bool is_softmax(int32_t activation) {
  return activation == static_cast<int32_t>(Activation::kSoftmax);
}

// A lane's sample, and where its values stand: those of neuron v at first + v * lanes. The lanes of
// a tile beyond its samples repeat the last one.
struct Sample {
  bool exists;
  bool repeats;
  int64_t number;
  int64_t first;
  int64_t lanes;

  __device__ int64_t operator[](int64_t neuron) const { return first + neuron * lanes; }
};

__device__ Sample own_sample(int64_t num_neurons, int64_t batch) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarp + lane();
  if (column >= padded(batch)) return {};
  const NeuronTile tile = tile_at(batch, column / tile_width(batch));
  return {true, column >= batch, column < batch ? column : batch - 1,
          tile.offset(num_neurons) + column - tile.first, tile.lanes};
}

// Calls f(v) for the warp's share of [begin, end).
template <typename F>
__device__ void for_own_neurons(int64_t begin, int64_t end, F&& f) {
  for (int64_t v = begin + warp(); v < end; v += warps()) f(v);
}

// Calls f(first, end) for the runs of softmax neurons that begin with a neuron of the warp's.
template <typename T, typename F>
__device__ void for_own_softmax(const NeuronGraph<T>& graph, int64_t begin, int64_t end, F&& f) {
  for_own_neurons(begin, end, [&](int64_t v) {
    if (!is_softmax(graph.activations[v])) return;
    if (v > begin && is_softmax(graph.activations[v - 1])) return;
    int64_t last = v + 1;
    while (last < end && is_softmax(graph.activations[last])) ++last;
    f(v, last);
  });
}

template <typename T>
__device__ T add_edges(const NeuronGraph<T>& graph, int64_t v, const Sample& own, const T* from,
                       T sum) {
  for (int32_t e = graph.offsets[v]; e < graph.offsets[v + 1]; ++e) {
    sum += graph.weights[e] * from[own[graph.ends[e]]];
  }
  return sum;
}

template <typename T>
struct ForwardArguments {
  NeuronGraph<T> graph;
  const T* input;
  const T* biases;
  const bool* keep;
  T* values;
  T* slopes;
  NeuronOutputs<T> outputs;
};

template <typename T>
__device__ void write(const ForwardArguments<T>& a, const Sample& own, int64_t v, T value, T slope,
                      bool mask_slope = true) {
  const bool kept = a.keep == nullptr || a.keep[v * a.graph.batch + own.number];
  a.values[own[v]] = kept ? value : T{0};
  if (a.slopes) a.slopes[own[v]] = kept || !mask_slope ? slope : T{0};
}

template <typename T>
__device__ void softmax(const ForwardArguments<T>& a, const Sample& own, int64_t begin,
                        int64_t end) {
  T largest = a.values[own[begin]];
  for (int64_t v = begin + 1; v < end; ++v) {
    largest = largest < a.values[own[v]] ? a.values[own[v]] : largest;
  }
  T total = 0;
  for (int64_t v = begin; v < end; ++v) total += std::exp(a.values[own[v]] - largest);
  for (int64_t v = begin; v < end; ++v) {
    const T value = std::exp(a.values[own[v]] - largest) / total;
    write(a, own, v, value, value, false);
  }
}

template <typename T>
__global__ void __launch_bounds__(kNeuronThreads) forward(ForwardArguments<T> a) {
  const auto& graph = a.graph;
  const Sample own = own_sample(graph.num_neurons, graph.batch);
  for_own_neurons(0, graph.num_inputs, [&](int64_t v) {
    if (own.exists) write(a, own, v, a.input[own.number * graph.num_inputs + v], T{1});
  });
  __syncthreads();
  for (int64_t level = 1; graph.level_offsets[level] < graph.num_neurons; ++level) {
    const int64_t begin = graph.level_offsets[level], end = graph.level_offsets[level + 1];
    for_own_neurons(begin, end, [&](int64_t v) {
      if (!own.exists) return;
      const T sum = add_edges(graph, v, own, a.values, a.biases[v]);
      if (is_softmax(graph.activations[v])) {
        a.values[own[v]] = sum;
      } else {
        const auto result =
            activated(Math<T>(), static_cast<Activation>(graph.activations[v]), sum);
        write(a, own, v, result.value, result.slope);
      }
    });
    __syncthreads();
    if (!is_softmax(graph.activations[end - 1])) continue;
    for_own_softmax(graph, begin, end, [&](int64_t first, int64_t last) {
      if (own.exists) softmax(a, own, first, last);
    });
    __syncthreads();
  }
  for_own_neurons(0, a.outputs.count, [&](int64_t i) {
    if (!own.exists || own.repeats) return;
    a.outputs.values[own.number * a.outputs.count + i] = a.values[own[a.outputs.positions[i]]];
  });
}

template <typename T>
struct BackwardArguments {
  NeuronGraph<T> graph;
  NeuronOutputs<const T> outputs;
  const T* values;
  const T* slopes;
  T* gradients;
  T* grad_input;
};

// As on the CPU: grad_sum_i = h_i (keep_i grad_i - sum_j h_j keep_j grad_j).
template <typename T>
__device__ void softmax_backward(const BackwardArguments<T>& a, const Sample& own, int64_t begin,
                                 int64_t end) {
  T total = 0;
  for (int64_t v = begin; v < end; ++v) total += a.values[own[v]] * a.gradients[own[v]];
  for (int64_t v = begin; v < end; ++v) {
    a.gradients[own[v]] = a.values[own[v]] * a.gradients[own[v]] - a.slopes[own[v]] * total;
  }
}

template <typename T>
__global__ void __launch_bounds__(kNeuronThreads) backward(BackwardArguments<T> a) {
  const auto& graph = a.graph;
  const Sample own = own_sample(graph.num_neurons, graph.batch);
  for_own_neurons(0, graph.num_neurons, [&](int64_t v) {
    if (own.exists) a.gradients[own[v]] = 0;
  });
  __syncthreads();
  if (warp() == 0 && own.exists && !own.repeats) {  // two outputs may be one neuron
    for (int64_t i = 0; i < a.outputs.count; ++i) {
      a.gradients[own[a.outputs.positions[i]]] +=
          a.outputs.values[own.number * a.outputs.count + i];
    }
  }
  __syncthreads();
  int64_t level = 0;
  while (graph.level_offsets[level + 1] < graph.num_neurons) ++level;
  for (; level > 0; --level) {
    const int64_t begin = graph.level_offsets[level], end = graph.level_offsets[level + 1];
    for_own_neurons(begin, end, [&](int64_t v) {
      if (!own.exists) return;
      const T grad = add_edges(graph, v, own, a.gradients, a.gradients[own[v]]);
      a.gradients[own[v]] = is_softmax(graph.activations[v]) ? grad : grad * a.slopes[own[v]];
    });
    __syncthreads();
    if (!is_softmax(graph.activations[end - 1])) continue;
    for_own_softmax(graph, begin, end, [&](int64_t first, int64_t last) {
      if (own.exists) softmax_backward(a, own, first, last);
    });
    __syncthreads();
  }
  if (a.grad_input == nullptr) return;
  for_own_neurons(0, graph.num_inputs, [&](int64_t v) {
    if (!own.exists || own.repeats) return;
    const T grad = add_edges(graph, v, own, a.gradients, a.gradients[own[v]]);
    a.grad_input[own.number * graph.num_inputs + v] = grad * a.slopes[own[v]];
  });
}

// A warp has a neuron, its lanes the samples: the sum over these is in an order of its own.
template <typename T>
__global__ void __launch_bounds__(kNeuronThreads)
    sum_samples(NeuronGraph<T> graph, const int32_t* numbers, const int32_t* neurons,
                const T* values, const T* gradients, T* out_weights, T* out_biases) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * warps();
  const auto sum_of = [&](int64_t v, auto factor) {
    T sum = 0;
    for (int64_t sample = lane(); sample < graph.batch; sample += kWarp) {
      const NeuronTile tile = tile_at(graph.batch, sample / tile_width(graph.batch));
      const int64_t first = tile.offset(graph.num_neurons) + sample - tile.first;
      sum += gradients[first + v * tile.lanes] * factor(first, tile.lanes);
    }
    return warp_sum(sum);
  };
  for (int64_t v = graph.num_inputs + blockIdx.x * static_cast<int64_t>(warps()) + warp();
       v < graph.num_neurons; v += step) {
    const T of_bias = sum_of(v, [](int64_t, int64_t) { return T{1}; });
    if (lane() == 0) out_biases[neurons[v]] = of_bias;
    for (int32_t e = graph.offsets[v]; e < graph.offsets[v + 1]; ++e) {
      const int64_t source = graph.ends[e];
      const T of_weight =
          sum_of(v, [&](int64_t first, int64_t lanes) { return values[first + source * lanes]; });
      if (lane() == 0) out_weights[numbers[e]] = of_weight;
    }
  }
}

}  // namespace

template <typename T>
void neuron_forward(const NeuronGraph<T>& graph, const T* input, const T* biases, const bool* keep,
                    T* values, T* slopes, const NeuronOutputs<T>& outputs, const Stream& stream) {
  launch(forward<T>, blocks_of(padded(graph.batch), kWarp), kNeuronThreads, 0, stream.handle,
         ForwardArguments<T>{graph, input, biases, keep, values, slopes, outputs});
}

template <typename T>
void neuron_backward(const NeuronGraph<T>& graph, const NeuronOutputs<const T>& grad_outputs,
                     const T* values, const T* slopes, T* gradients, T* grad_input,
                     const Stream& stream) {
  launch(backward<T>, blocks_of(padded(graph.batch), kWarp), kNeuronThreads, 0, stream.handle,
         BackwardArguments<T>{graph, grad_outputs, values, slopes, gradients, grad_input});
}

template <typename T>
void neuron_grad_weights(const NeuronGraph<T>& graph, const int32_t* numbers,
                         const int32_t* neurons, const T* values, const T* gradients,
                         T* grad_weights, T* grad_biases, const Stream& stream) {
  constexpr int64_t kMostBlocks = 4096;
  const int64_t rows = graph.num_neurons - graph.num_inputs;
  if (rows == 0) return;
  const int64_t blocks = blocks_of(rows, kNeuronThreads / kWarp);
  launch(sum_samples<T>, blocks < kMostBlocks ? blocks : kMostBlocks, kNeuronThreads, 0,
         stream.handle, graph, numbers, neurons, values, gradients, grad_weights, grad_biases);
}

#define REWIRE_INSTANTIATE(T)                                                                   \
  template void neuron_forward(const NeuronGraph<T>&, const T*, const T*, const bool*, T*, T*,  \
                               const NeuronOutputs<T>&, const Stream&);                         \
  template void neuron_backward(const NeuronGraph<T>&, const NeuronOutputs<const T>&, const T*, \
                                const T*, T*, T*, const Stream&);                               \
  template void neuron_grad_weights(const NeuronGraph<T>&, const int32_t*, const int32_t*,      \
                                    const T*, const T*, T*, T*, const Stream&);
REWIRE_INSTANTIATE(float)
REWIRE_INSTANTIATE(double)
#undef REWIRE_INSTANTIATE

}  // namespace rewire::kernels::cuda
