// keep_strongest on a CUDA device. NaN counts as the largest magnitude, and so is kept and seen.
#include "kernels/cuda/keep_strongest.h"

#include <c10/core/DeviceGuard.h>

#include "ops/cuda/stream.h"
#include "ops/magnitudes.h"
#include "ops/outputs.h"

namespace rewire::ops {
namespace {

using at::Tensor;

Tensor keep_strongest_cuda(const Tensor& weight, int64_t keep, std::string_view gradient) {
  const c10::DeviceGuard guard(weight.device());
  Tensor out = allocate_keep_strongest(weight, keep, gradient);
  if (keep == 0) return out.zero_();
  const Tensor dense = weight.contiguous();
  with_magnitudes(dense, [&]<typename Bits>(const kernels::Magnitudes<Bits>& magnitudes) {
    kernels::cuda::keep_strongest(magnitudes, keep, static_cast<Bits*>(out.mutable_data_ptr()),
                                  stream_of(weight));
  });
  return out;
}

}  // namespace

REWIRE_CUDA_LIBRARY(m) { m.impl("keep_strongest", keep_strongest_cuda); }

}  // namespace rewire::ops
