// A graph of neurons on a batch of samples, on a CUDA device. Neurons by position, in the order in
// which they are computed; values, slopes and gradients lie as neuron_tiles.h says.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace rewire::kernels::cuda {

// The graph with its edges in one direction: of each position, to its sources or to its targets.
template <typename T>
struct NeuronGraph {
  int64_t num_neurons = 0;
  int64_t num_inputs = 0;
  int64_t batch = 0;
  const int32_t* level_offsets = nullptr;  // [neurons + 1]
  const int32_t* activations = nullptr;    // [neurons]
  const int32_t* offsets = nullptr;        // [neurons + 1]
  const int32_t* ends = nullptr;           // [edges]
  const T* weights = nullptr;              // [edges]
};

// The outputs of a graph, [batch, count].
template <typename T>
struct NeuronOutputs {
  const int32_t* positions = nullptr;  // [count]
  int64_t count = 0;
  T* values = nullptr;
};

// T is float or double. Edges by source in neuron_backward, by target in the others.

// input [batch, inputs]; biases [neurons]; keep [neurons, batch], or null; slopes, or null.
template <typename T>
void neuron_forward(const NeuronGraph<T>& graph, const T* input, const T* biases, const bool* keep,
                    T* values, T* slopes, const NeuronOutputs<T>& outputs, const Stream& stream);

// gradients: out, of the sums of all neurons. grad_input [batch, inputs], or null.
template <typename T>
void neuron_backward(const NeuronGraph<T>& graph, const NeuronOutputs<const T>& grad_outputs,
                     const T* values, const T* slopes, T* gradients, T* grad_input,
                     const Stream& stream);

// grad_weights[numbers[e]] of the edges, and grad_biases[neurons[v]] of the neurons that are no
// inputs. graph.weights is not read.
template <typename T>
void neuron_grad_weights(const NeuronGraph<T>& graph, const int32_t* numbers,
                         const int32_t* neurons, const T* values, const T* gradients,
                         T* grad_weights, T* grad_biases, const Stream& stream);

}  // namespace rewire::kernels::cuda
