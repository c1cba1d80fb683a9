// The product of a sparse matrix and dense columns on a CUDA device, and the gradient of its edges.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace rewire::kernels::cuda {

// Of the edges of a matrix, those in a rectangle: targets from first_target on, sources from
// first_source on; both are counted from there, as are bias and maps. The edges of the matrix's
// target t are offsets[t] .. offsets[t + 1], their sources ascending. The weight of edge e is
// values[order[e]], or values[e] where order is null.
template <typename T>
struct Edges {
  int64_t first_target = 0;
  int64_t num_targets = 0;
  int64_t first_source = 0;
  int64_t num_sources = 0;
  const int32_t* offsets = nullptr;  // [targets of the whole matrix + 1]
  const int32_t* sources = nullptr;  // [edges of the whole matrix]
  const int32_t* order = nullptr;
  const T* values = nullptr;
};

// How maps [batch, channels, places] lie: contiguous. Neighbouring lanes take neighbouring places:
// where maps have few, what a warp reads lies in many pieces, and their caller lays them out
// otherwise.
struct Maps {
  int64_t batch = 0;
  int64_t places = 0;
};

// out[n, t, p] = first + sum over edges e of t of weight_e source[n, source of e, p], in the order
// of the edges, in T, float or double. first is what out holds, if `accumulate`; else bias[t], or 0
// where bias is null.
template <typename T>
void sparse_product(const Edges<T>& edges, const Maps& maps, const T* source, const T* bias,
                    bool accumulate, T* out, const Stream& stream);

// grad_values[e] = sum over n and p of grad[n, t, p] source[n, source of e, p] for the edges e of
// the rectangle, in an order that depends on the sizes and on how source and grad are aligned, not
// on the device. num_edges: of the whole matrix.
template <typename T>
void sparse_product_grad_edges(const Edges<T>& edges, int64_t num_edges, const Maps& maps,
                               const T* source, const T* grad, T* grad_values,
                               const Stream& stream);

}  // namespace rewire::kernels::cuda
