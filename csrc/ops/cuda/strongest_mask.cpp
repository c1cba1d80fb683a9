// strongest_mask on a CUDA device. NaN counts as the largest magnitude.
#include "ops/cuda/strongest_mask.h"

#include "kernels/cuda/keep_strongest.h"
#include "ops/outputs.h"

namespace rewire::ops {

using at::Tensor;

void mark_strongest(const Tensor& weight, int64_t keep, const Tensor& mask) {
  mark(weight, keep, mask, [&](const auto& magnitudes, bool* out, const auto& stream) {
    kernels::cuda::strongest_mask(magnitudes, keep, out, stream);
  });
}

namespace {

Tensor strongest_mask_cuda(const Tensor& weight, int64_t keep) {
  const Tensor mask = allocate_strongest_mask(weight, keep);
  mark_strongest(weight, keep, mask);
  return mask;
}

}  // namespace

REWIRE_CUDA_LIBRARY(m) { m.impl("strongest_mask", strongest_mask_cuda); }

}  // namespace rewire::ops
