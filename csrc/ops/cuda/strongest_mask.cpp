// strongest_mask on a CUDA device. NaN counts as the largest magnitude.
#include "ops/cuda/strongest_mask.h"

#include <c10/core/DeviceGuard.h>

#include "kernels/cuda/keep_strongest.h"
#include "ops/cuda/stream.h"
#include "ops/magnitudes.h"
#include "ops/outputs.h"

namespace rewire::ops {

using at::Tensor;

void mark_strongest(const Tensor& weight, int64_t keep, const Tensor& mask) {
  const c10::DeviceGuard guard(weight.device());
  if (keep == 0) {
    mask.zero_();
    return;
  }
  const Tensor dense = weight.contiguous();
  with_magnitudes(dense, [&](const auto& magnitudes) {
    kernels::cuda::strongest_mask(magnitudes, keep, mask.mutable_data_ptr<bool>(),
                                  stream_of(weight));
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
