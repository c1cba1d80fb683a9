// A graph of neurons on a tile of samples: neurons by position, in the order in which they are
// computed; values and gradients as neuron_tiles.h says. Sources and targets of edges are
// positions.
#pragma once

#include <cstdint>

#include "kernels/neuron_tiles.h"

namespace rewire::kernels {

struct NeuronLevels {
  int64_t num_neurons;
  const int32_t* level_offsets;  // [neurons + 1] positions of a level; level 0 are the inputs
  const int32_t* activations;    // [neurons]
};

// Edges of each neuron, to its sources or to its targets.
template <typename T>
struct WeightedEdges {
  const int32_t* offsets;  // [neurons + 1]
  const int32_t* ends;     // [edges]
  const T* weights;        // [edges]
};

// T is float or double.
template <typename T>
struct NeuronKernels {
  // rows[i][lane] = in[first + lane][i] for `count` columns of in [batch, stride].
  void (*load)(const T* in, int64_t stride, int64_t count, const NeuronTile& tile, T* rows);

  // out[first + lane][i] = values[neurons[i]][lane] for the samples of the tile, out [batch,
  // count]. neurons null: 0, 1, ..., and no scratch; else scratch [count][lanes].
  void (*store)(const T* values, const int32_t* neurons, int64_t count, const NeuronTile& tile,
                T* scratch, T* out);

  // Computes all values from those of the inputs, which stand in their rows.
  //   values[v] = keep[v] act_v(biases[v] + sum over edges e from u to v of weights[e] values[u])
  // keep [neurons][lanes], or null for 1; the inputs are multiplied by theirs. slopes, or null:
  // d values[v] / d sum, of the inputs to themselves; of a softmax neuron its value without keep.
  void (*forward)(const NeuronLevels& levels, const WeightedEdges<T>& edges, const T* biases,
                  const NeuronTile& tile, const bool* keep, T* values, T* slopes);

  // Turns the gradients that reach values from outside into those of all sums, and, if to_inputs,
  // of the inputs. edges: by source.
  void (*backward)(const NeuronLevels& levels, const WeightedEdges<T>& edges,
                   const NeuronTile& tile, const T* values, const T* slopes, T* gradients,
                   bool to_inputs);

  // Adds to grad_weights[e] the sum over lanes of gradients[v] values[u], for the edges e from u to
  // v of the neurons v in [begin, end), and to grad_biases[v] that of gradients[v].
  void (*grad_weights)(const int32_t* offsets, const int32_t* sources, int64_t begin, int64_t end,
                       const NeuronTile& tile, const T* values, const T* gradients, T* grad_weights,
                       T* grad_biases);
};

// For the instruction set that this machine has.
template <typename T>
const NeuronKernels<T>& neuron_kernels();

}  // namespace rewire::kernels
