// A team of blocks takes as many samples as a warp has lanes through the whole graph: their warps
// share the neurons of a level, and wait for one another between levels. A level with no more
// neurons than a block has warps is left to the first block, so that nobody waits for other blocks
// between such levels. As many blocks are a team as leave each a multiprocessor of its own.
#include "kernels/cuda/neuron_graph.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/team.cuh"
#include "kernels/neuron_activations-inl.h"
#include "kernels/neuron_tiles.h"

namespace rewire::kernels::cuda {
namespace {

constexpr int kNeuronThreads = 1024;

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
// a tile beyond its samples repeat the last one. A lane beyond all tiles works on the last lane's
// values, and writes nothing.
struct Sample {
  bool exists;
  bool repeats;
  int64_t number;
  int64_t first;
  int64_t lanes;

  __device__ int64_t operator[](int64_t neuron) const { return first + neuron * lanes; }
};

__device__ Sample own_sample(int64_t num_neurons, int64_t batch, int64_t tile_of_lanes) {
  const int64_t wanted = tile_of_lanes * kWarp + lane(), last = padded(batch) - 1;
  const int64_t column = wanted < last ? wanted : last;
  const NeuronTile tile = tile_at(batch, column / tile_width(batch));
  return {wanted <= last, column >= batch, column < batch ? column : batch - 1,
          tile.offset(num_neurons) + column - tile.first, tile.lanes};
}

// The positions [begin, end), and which of them are the warp's: first, first + step, ...
struct OwnNeurons {
  int32_t begin;
  int32_t end;
  int64_t first;
  int32_t step;
  bool narrow;  // left to the first block of the team

  __device__ OwnNeurons(int32_t from, int32_t to, const Team& team)
      : begin(from), end(to), narrow(to - from <= warps()) {
    step = narrow ? warps() : team.size * warps();
    first = int64_t{begin} + (narrow ? 0 : team.share * warps()) + warp();
    if (narrow && team.share > 0) first = end;
  }
  template <typename F>
  __device__ void for_each(F&& f) const {
    for (int64_t v = first; v < end; v += step) f(v);
  }
};

// The neurons of a level; none beyond the last one.
template <typename T>
__device__ OwnNeurons level_of(const NeuronGraph<T>& graph, int64_t level, const Team& team) {
  const int64_t last = graph.num_neurons;
  return {graph.level_offsets[level < last ? level : last],
          graph.level_offsets[level < last ? level + 1 : last], team};
}

// Between two levels: all that the first has written may be read by those who compute the second.
__device__ inline void between(const OwnNeurons& done, const OwnNeurons& next, Team& team) {
  if (done.narrow && next.narrow) {
    __syncthreads();
  } else {
    team.wait();
  }
}

// Calls f(first, end) for the runs of softmax neurons that begin with a neuron of the warp's.
template <typename T, typename F>
__device__ void for_own_softmax(const NeuronGraph<T>& graph, const OwnNeurons& neurons, F&& f) {
  neurons.for_each([&](int64_t v) {
    if (!is_softmax(graph.activations[v])) return;
    if (v > neurons.begin && is_softmax(graph.activations[v - 1])) return;
    int64_t last = v + 1;
    while (last < neurons.end && is_softmax(graph.activations[last])) ++last;
    f(v, last);
  });
}

// The edges of one neuron after another. The next neuron's first ones, an edge a lane, are asked
// for while the warp works on the present one's, also where others have yet to compute what they
// carry.
template <typename T>
class EdgeReader {
 public:
  __device__ explicit EdgeReader(const NeuronGraph<T>& graph) : graph_(graph) {}

  // Asks for the edges of the warp's first neuron among these, if there is one.
  __device__ void expect(const OwnNeurons& neurons) {
    if (neurons.first < neurons.end) ask(neurons.first);
  }

  // sum + the sum over the edges of v, in their order, of weight * from[end]. The edges of the
  // warp's neuron after v, or else of its first in `next`, are asked for.
  __device__ T add(int64_t v, const OwnNeurons& neurons, const OwnNeurons& next, const Sample& own,
                   const T* from, T sum) {
    if (v != asked_) ask(v);
    int32_t begin = begin_;
    const int32_t end = end_;
    int32_t at = at_;
    T weight = weight_;
    if (v + neurons.step < neurons.end) {
      ask(v + neurons.step);
    } else {
      expect(next);
    }
    while (begin < end) {
      const int count = end - begin < kWarp ? end - begin : kWarp;
      for (int i = 0; i < count; i += kAtOnce) {
        T read[kAtOnce], weights[kAtOnce];
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) {
          weights[j] = __shfl_sync(kAllLanes, weight, i + j);
          const int32_t source = __shfl_sync(kAllLanes, at, i + j);
          if (i + j < count) read[j] = from[own[source]];
        }
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) {
          if (i + j < count) sum += weights[j] * read[j];
        }
      }
      begin += kWarp;
      if (begin < end) {
        const int32_t edge = begin + lane() < end ? begin + lane() : end - 1;
        at = graph_.ends[edge];
        weight = graph_.weights[edge];
      }
    }
    return sum;
  }

 private:
  static constexpr int kAtOnce = 8;  // values that are asked for before the first is there

  __device__ void ask(int64_t v) {
    asked_ = v;
    begin_ = graph_.offsets[v];
    end_ = graph_.offsets[v + 1];
    if (begin_ >= end_) return;
    const int32_t edge = begin_ + lane() < end_ ? begin_ + lane() : end_ - 1;
    at_ = graph_.ends[edge];
    weight_ = graph_.weights[edge];
  }

  const NeuronGraph<T>& graph_;
  int64_t asked_ = -1;
  int32_t begin_ = 0;
  int32_t end_ = 0;
  int32_t at_ = 0;
  T weight_ = 0;
};

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
  if (!own.exists) return;
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
__global__ void __launch_bounds__(kNeuronThreads, 1) forward(ForwardArguments<T> a, Teams teams) {
  const auto& graph = a.graph;
  Team team(teams);
  const Sample own = own_sample(graph.num_neurons, graph.batch, team.number);
  EdgeReader<T> edges(graph);
  OwnNeurons inputs(0, static_cast<int32_t>(graph.num_inputs), team),
      neurons = level_of(graph, 1, team);
  edges.expect(neurons);
  inputs.for_each(
      [&](int64_t v) { write(a, own, v, a.input[own.number * graph.num_inputs + v], T{1}); });
  between(inputs, neurons, team);
  for (int64_t level = 1; neurons.begin < graph.num_neurons; ++level) {
    const OwnNeurons next = level_of(graph, level + 1, team);
    neurons.for_each([&](int64_t v) {
      const T sum = edges.add(v, neurons, next, own, a.values, a.biases[v]);
      if (is_softmax(graph.activations[v])) {
        if (own.exists) a.values[own[v]] = sum;
      } else {
        const auto result =
            activated(Math<T>(), static_cast<Activation>(graph.activations[v]), sum);
        write(a, own, v, result.value, result.slope);
      }
    });
    if (is_softmax(graph.activations[neurons.end - 1])) {
      between(neurons, neurons, team);
      for_own_softmax(graph, neurons, [&](int64_t first, int64_t last) {
        if (own.exists) softmax(a, own, first, last);
      });
    }
    between(neurons, next, team);
    neurons = next;
  }
  const OwnNeurons outputs(0, static_cast<int32_t>(a.outputs.count), team);
  if (neurons.narrow && !outputs.narrow) team.wait();
  outputs.for_each([&](int64_t i) {
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

// The last level with neurons.
template <typename T>
__device__ int64_t last_level(const NeuronGraph<T>& graph) {
  int64_t first = 0, last = graph.num_neurons;  // the first level that ends with the last neuron
  while (first < last) {
    const int64_t middle = (first + last) / 2;
    if (graph.level_offsets[middle + 1] < graph.num_neurons) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

template <typename T>
__global__ void __launch_bounds__(kNeuronThreads, 1) backward(BackwardArguments<T> a, Teams teams) {
  const auto& graph = a.graph;
  Team team(teams);
  const Sample own = own_sample(graph.num_neurons, graph.batch, team.number);
  EdgeReader<T> edges(graph);
  const OwnNeurons all(0, static_cast<int32_t>(graph.num_neurons), team);
  all.for_each([&](int64_t v) {
    if (own.exists) a.gradients[own[v]] = 0;
  });
  between(all, all, team);
  if (team.share == 0 && warp() == 0 && own.exists && !own.repeats) {
    for (int64_t i = 0; i < a.outputs.count; ++i) {  // two outputs may be one neuron
      a.gradients[own[a.outputs.positions[i]]] +=
          a.outputs.values[own.number * a.outputs.count + i];
    }
  }
  team.wait();
  int64_t level = last_level(graph);
  OwnNeurons neurons = level_of(graph, level, team);
  for (; level > 0; --level) {
    const OwnNeurons next = level_of(graph, level - 1, team);
    neurons.for_each([&](int64_t v) {
      const T grad = edges.add(v, neurons, next, own, a.gradients, a.gradients[own[v]]);
      if (!own.exists) return;
      a.gradients[own[v]] = is_softmax(graph.activations[v]) ? grad : grad * a.slopes[own[v]];
    });
    if (is_softmax(graph.activations[neurons.end - 1])) {
      between(neurons, neurons, team);
      for_own_softmax(graph, neurons, [&](int64_t first, int64_t last) {
        if (own.exists) softmax_backward(a, own, first, last);
      });
    }
    between(neurons, next, team);
    neurons = next;
  }
  if (a.grad_input == nullptr) return;
  neurons.for_each([&](int64_t v) {
    const T grad = edges.add(v, neurons, neurons, own, a.gradients, a.gradients[own[v]]);
    if (!own.exists || own.repeats) return;
    a.grad_input[own.number * graph.num_inputs + v] = grad * a.slopes[own[v]];
  });
}

constexpr int kSumThreads = 256;

// A warp has a neuron, its lanes the samples: the sum over these is in an order of its own.
template <typename T>
__global__ void __launch_bounds__(kSumThreads)
    sum_samples(NeuronGraph<T> graph, const int32_t* numbers, const int32_t* neurons,
                const T* values, const T* gradients, T* out_weights, T* out_biases) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * warps();
  for (int64_t v = graph.num_inputs + blockIdx.x * static_cast<int64_t>(warps()) + warp();
       v < graph.num_neurons; v += step) {
    T of_bias = 0;
    int32_t begin = graph.offsets[v];
    const int32_t end = graph.offsets[v + 1];
    do {  // a neuron without edges has a bias
      int32_t sources[kTogether];
      T of_weights[kTogether] = {}, of_samples = 0;
#pragma unroll
      for (int j = 0; j < kTogether; ++j) sources[j] = begin + j < end ? graph.ends[begin + j] : 0;
      for (int64_t sample = lane(); sample < graph.batch; sample += kWarp) {
        const NeuronTile tile = tile_at(graph.batch, sample / tile_width(graph.batch));
        const int64_t first = tile.offset(graph.num_neurons) + sample - tile.first;
        const T grad = gradients[first + v * tile.lanes];
        of_samples += grad;
#pragma unroll
        for (int j = 0; j < kTogether; ++j) {
          if (begin + j < end) of_weights[j] += grad * values[first + sources[j] * tile.lanes];
        }
      }
      of_bias = of_samples;
      const T sum = sum_of_edge(of_weights);
      constexpr int kLanes = kWarp / kTogether;  // that have the sum of an edge
      const int32_t edge = begin + lane() / kLanes;
      if (lane() % kLanes == 0 && edge < end) out_weights[numbers[edge]] = sum;
      begin += kTogether;
    } while (begin < end);
    of_bias = warp_sum(of_bias);
    if (lane() == 0) out_biases[neurons[v]] = of_bias;
  }
}

// Blocks of a team: each has a multiprocessor, and neurons enough for its warps to share.
int32_t team_size(int64_t num_teams, int64_t num_neurons) {
  constexpr int64_t kFewestNeurons = 8 * kNeuronThreads / kWarp;
  const int64_t most = std::max<int64_t>(1, num_neurons / kFewestNeurons);
  return static_cast<int32_t>(std::clamp<int64_t>(multiprocessors() / num_teams, 1, most));
}

template <typename T, typename Arguments>
void run_teams(void (*kernel)(Arguments, Teams), const NeuronGraph<T>& graph,
               const Arguments& arguments, const Stream& stream) {
  const int64_t num_teams = blocks_of(padded(graph.batch), kWarp);
  launch_teams(kernel, num_teams, team_size(num_teams, graph.num_neurons), kNeuronThreads, stream,
               arguments);
}

}  // namespace

template <typename T>
void neuron_forward(const NeuronGraph<T>& graph, const T* input, const T* biases, const bool* keep,
                    T* values, T* slopes, const NeuronOutputs<T>& outputs, const Stream& stream) {
  run_teams(forward<T>, graph,
            ForwardArguments<T>{graph, input, biases, keep, values, slopes, outputs}, stream);
}

template <typename T>
void neuron_backward(const NeuronGraph<T>& graph, const NeuronOutputs<const T>& grad_outputs,
                     const T* values, const T* slopes, T* gradients, T* grad_input,
                     const Stream& stream) {
  run_teams(backward<T>, graph,
            BackwardArguments<T>{graph, grad_outputs, values, slopes, gradients, grad_input},
            stream);
}

template <typename T>
void neuron_grad_weights(const NeuronGraph<T>& graph, const int32_t* numbers,
                         const int32_t* neurons, const T* values, const T* gradients,
                         T* grad_weights, T* grad_biases, const Stream& stream) {
  constexpr int64_t kMostBlocks = 4096;
  const int64_t rows = graph.num_neurons - graph.num_inputs;
  if (rows == 0) return;
  const int64_t blocks = blocks_of(rows, kSumThreads / kWarp);
  launch(sum_samples<T>, blocks < kMostBlocks ? blocks : kMostBlocks, kSumThreads, 0, stream.handle,
         graph, numbers, neurons, values, gradients, grad_weights, grad_biases);
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
