// Slow, obvious versions of the ops, of torch's own ops alone: written to be read.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "ops/rewire.h"

namespace rewire::test {

// True for the `keep` entries of largest magnitude; of equal ones the lower index is kept.
at::Tensor strongest(const at::Tensor& weight, int64_t keep);

// The same in each row, the first dimension, by itself.
at::Tensor strongest_by_row(const at::Tensor& weight, int64_t keep);

// What a selection says of the edges that a mask [out, in] leaves.
ops::Selection structure_of(const at::Tensor& weight, const at::Tensor& mask);

// The edges of a structure as a matrix [out, in]: values [edges] at them, 0 elsewhere.
at::Tensor matrix_of(const at::Tensor& values, const at::Tensor& row_offsets,
                     const at::Tensor& columns, int64_t in_channels);

// out[n, v, ...] = sum of matrix[v, u] input[n, u, ...], half types in float32.
at::Tensor multiply(const at::Tensor& matrix, const at::Tensor& input,
                    const std::optional<at::Tensor>& bias);

// Forward as `kept`, gradient as `all`: straight through.
at::Tensor straight_through(const at::Tensor& all, const at::Tensor& kept);

// ops::wired_blocks of small ops: output, mean and variance. `effective` is the weight in use.
struct WiredBlocks {
  at::Tensor effective, depthwise, norm_weight, norm_bias;
  std::optional<at::Tensor> mean, variance;  // given
  std::vector<int64_t> ends, targets;
  bool of_batch = false;
  double eps = 1e-5;
  int64_t entry_stride = 0;
};
std::vector<at::Tensor> wired_blocks(const WiredBlocks& blocks, const at::Tensor& input);

}  // namespace rewire::test
