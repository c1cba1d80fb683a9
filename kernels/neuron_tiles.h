// How the values of neurons lie: a tile of samples after another; in a tile, a neuron after
// another; of a neuron, a number for each sample. The last tile is narrower where the batch ends in
// it; what is missing to a whole number of lanes repeats the last sample.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rewire::kernels {

constexpr int64_t kLanes = 16;

// Enough for four tiles, or as many lanes as four vectors of the widest kind have.
constexpr int64_t tile_width(int64_t batch) { return batch >= 256 ? 64 : batch >= 128 ? 32 : 16; }

constexpr int64_t padded(int64_t batch) { return (batch + kLanes - 1) / kLanes * kLanes; }

struct NeuronTile {
  int64_t first;    // sample
  int64_t samples;  // in it
  int64_t lanes;    // the same with those that are repeated

  // Where its values begin among those of `num_neurons` neurons.
  constexpr int64_t offset(int64_t num_neurons) const { return first * num_neurons; }
};

constexpr int64_t num_tiles(int64_t batch) {
  return (batch + tile_width(batch) - 1) / tile_width(batch);
}

constexpr NeuronTile tile_at(int64_t batch, int64_t index) {
  const int64_t first = index * tile_width(batch);
  const int64_t samples = std::min(tile_width(batch), batch - first);
  return {first, samples, padded(samples)};
}

}  // namespace rewire::kernels
