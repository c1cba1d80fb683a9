// The edges of a layer as arguments of an op, and their checks.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/cpu/edges.h"
#include "ops/rewire.h"

namespace rewire::ops {

// The dtypes and shapes of a structure of `in` channels, and that all its tensors are on the device
// of `like`. Symbolic sizes, so that Meta kernels complain as others do. Returns the number of
// outputs.
c10::SymInt check_structure(const char* op, const Structure& structure, const c10::SymInt& in,
                            const at::Tensor& like);
// The same of offsets [lists + 1] alone, where the number of lists is `name`. Returns it.
c10::SymInt check_offsets(const char* op, const char* offsets_name, const char* name,
                          const at::Tensor& offsets, const at::Tensor& like);

// That the contiguous tensors of a structure on the CPU are what they say: offsets that ascend from
// 0 to the number of edges, indices in range and ascending, and a transpose with the same edges.
// O(edges): a product that trusted them would read and write anywhere.
void check_edges(const char* op, const Structure& structure);
// The same of the rows alone.
void check_rows(const char* op, const at::Tensor& row_offsets, const at::Tensor& columns,
                int64_t in);
// columns is int32 [num_edges], on the device of `like`.
void check_columns(const char* op, const at::Tensor& columns, const at::Tensor& like);

// Calls f(begin, end) with shares of the lists of edges, on several threads where there are many
// edges.
template <typename F>
void in_shares(int64_t num_lists, int64_t num_edges, F&& f) {
  constexpr int64_t kFewestEdges = 1 << 15;
  const int64_t grain = kFewestEdges * num_lists / std::max<int64_t>(1, num_edges);
  at::parallel_for(0, num_lists, std::max<int64_t>(1, grain), f);
}

Structure contiguous(const Structure& structure);

// The edges by output, and by input; a whole matrix.
kernels::Edges by_output(const Structure& structure);
kernels::Edges by_input(const Structure& structure);

}  // namespace rewire::ops
