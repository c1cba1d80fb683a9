// The product of a sparse matrix and dense columns, and the gradient of its edges. Rows of columns:
// a row is one channel, a column one place of one image.
#pragma once

#include <cstdint>

#include "kernels/cpu/edges.h"
#include "kernels/cpu/start.h"

namespace rewire::kernels {

// Columns that one call of a product should have at least: below a vector's lanes it would read
// past their end. All vectors known here have at most this many lanes.
inline constexpr int64_t kFewestColumns = 16;
// Columns that keep all accumulators busy.
inline constexpr int64_t kTile = 64;

// What a call may do for the caches beside its product, where rows of one tile lie side by side.
template <typename T>
struct Traffic {
  // What the next call, with as many columns, reads and writes: fetched into the second cache
  // meanwhile. Null: nothing is.
  const T* next_source = nullptr;
  const T* next_target = nullptr;
  // The target is written past the caches if its rows are written once, in a stream of one panel.
  bool past_caches = false;
};

// target[t][c] = start + sum over edges of weight * source[s][c], for num_columns >= kFewestColumns
// consecutive columns. source: rows of stream.source_stride elements. A row sums its edges in the
// order of the stream, in T.
template <typename T>
void sparse_product(const EdgeStream<T>& stream, const T* source, T* target, int64_t target_stride,
                    int64_t num_columns, Start start, const T* bias = nullptr,
                    const Traffic<T>& traffic = {});

// sums[i] += sum over columns of grad[t][c] * source[s][c], for each edge i of the stream; its
// weights are not read. sums [edges], in the stream's order.
template <typename T>
void sparse_product_grad_edges(const EdgeStream<T>& stream, const T* source, const T* grad,
                               int64_t grad_stride, int64_t num_columns, T* sums);

}  // namespace rewire::kernels
