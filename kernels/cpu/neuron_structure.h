// The order in which the neurons of a graph are computed, and their edges in that order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rewire::kernels {

struct NeuronEdges {
  int64_t num_neurons;
  std::span<const int32_t> sources, targets;  // [edges]
};

// levels [neurons]: 0 for `inputs`, else 1 + the largest level of its sources, 1 without any; -1
// where a cycle is in the way. Neurons of one operation id wait for one another: each has the level
// of the last. operations [neurons] or empty: -1 for none. Returns the neurons of one cycle in the
// order of its edges, through a neuron's operation where need be, or none. O(neurons + edges).
std::vector<int32_t> find_levels(const NeuronEdges& edges, std::span<const int32_t> inputs,
                                 std::span<const int32_t> operations, std::span<int32_t> levels);

// What ops::NeuronStructure says, each of its tensors as an array, but for the outputs.
struct NeuronOrder {
  int32_t* neurons;         // [neurons]
  int32_t* activations;     // [neurons]
  int32_t* level_offsets;   // [neurons + 1]
  int32_t* row_offsets;     // [neurons + 1]
  int32_t* columns;         // [edges]
  int32_t* edges;           // [edges]
  int32_t* column_offsets;  // [neurons + 1]
  int32_t* rows;            // [edges]
  int32_t* order;           // [edges]
};

// levels as above, without -1, and 0 for `inputs` alone; last: true for the neurons that come last
// in their level. positions [neurons]: out, the place of each neuron. O(neurons + edges).
void order_neurons(const NeuronEdges& edges, std::span<const int32_t> inputs,
                   std::span<const int32_t> levels, std::span<const int32_t> activations,
                   int32_t last_activation, std::span<int32_t> positions, const NeuronOrder& out);

// The offsets of the lists of edges that are left where only those with `mask` count.
void count_used(int64_t num_lists, const int32_t* offsets, const bool* mask, int32_t* used_offsets);

// Whether all `count` numbers are in [0, bound).
bool all_below(const int32_t* numbers, int64_t count, int64_t bound);

// Whether the columns of row `row` ascend from 0 on and are all below `bound`.
bool columns_ascend(const int32_t* row_offsets, const int32_t* columns, int64_t row, int64_t bound);

}  // namespace rewire::kernels
