// The selection of targeted_dropout on a CUDA device; the rest of it is composed for all devices.
// NaN counts as the largest magnitude, and so is left and seen.
#include "kernels/cuda/targeted_dropout.h"

#include <algorithm>
#include <cstdint>

#include "ops/cuda/strongest_mask.h"
#include "ops/outputs.h"

namespace rewire::ops {
namespace {

using at::Tensor;

// As mark_strongest, in each row by itself.
void mark_strongest_by_row(const Tensor& weight, int64_t keep, const Tensor& mask) {
  if (weight.numel() == 0) return;
  const int64_t width = weight.numel() / weight.size(0);
  TORCH_CHECK(width <= UINT32_MAX, "targeted_dropout: expected rows of at most ", UINT32_MAX,
              " entries on CUDA, got ", width);
  mark(weight, keep, mask, [&](const auto& magnitudes, bool* out, const auto& stream) {
    kernels::cuda::strongest_mask_by_row(magnitudes, width, keep, out, stream);
  });
}

Tensor mask_cuda(const Tensor& weight, int64_t candidates, bool per_row,
                 const std::optional<Tensor>& draws, double drop_rate) {
  const Tensor mask = allocate_targeted_dropout_mask(weight, candidates, per_row, draws, drop_rate);
  if (per_row) {
    const int64_t width = weight.numel() / std::max<int64_t>(weight.size(0), 1);
    mark_strongest_by_row(weight, width - candidates, mask);
  } else {
    mark_strongest(weight, weight.numel() - candidates, mask);
  }
  return left_by_draws(mask, draws, drop_rate);
}

}  // namespace

REWIRE_CUDA_LIBRARY(m) { m.impl("targeted_dropout_mask", mask_cuda); }

}  // namespace rewire::ops
