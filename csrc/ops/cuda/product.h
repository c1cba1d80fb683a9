// Products of maps with the edges of a layer on a CUDA device, which sparse_pointwise and
// wired_blocks share. Nothing waits for the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "ops/product.h"
#include "ops/rewire.h"

namespace rewire::ops::cuda {

// A rectangle of a layer's matrix.
struct Part {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int64_t first_column = 0;
  int64_t num_columns = 0;
};
Part whole(const Structure& structure);

// In all of these, tensors are contiguous and float32 or float64; maps are [batch, channels,
// places] of the rectangle's rows or columns.

struct Edges {
  const Structure& structure;
  const at::Tensor& values;  // [edges]
  Part part;
  bool transposed = false;
};
// out = bias + edges * source; or what out holds in the place of bias, if `accumulate`.
void multiply(const Edges& edges, const at::Tensor& source, const std::optional<at::Tensor>& bias,
              bool accumulate, const at::Tensor& out);

// grad_values[e] = sum over batch and places of grad[., row of e, .] source[., column of e, .], of
// the edges in the rectangle; others keep theirs.
void grad_edges(const Structure& structure, const Part& part, const at::Tensor& source,
                const at::Tensor& grad, const at::Tensor& grad_values);

}  // namespace rewire::ops::cuda
