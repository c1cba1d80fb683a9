// The choice of the strongest as a mask, on a CUDA device, for the ops that have it in them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <cstdint>

#include "ops/cuda/stream.h"
#include "ops/magnitudes.h"

namespace rewire::ops {

// mask, contiguous and of the weight's shape, becomes what launch(magnitudes, bool* mask, stream)
// writes into it; false where nothing is to be kept. Nothing is checked.
template <typename Launch>
void mark(const at::Tensor& weight, int64_t keep, const at::Tensor& mask, Launch&& launch) {
  const c10::DeviceGuard guard(weight.device());
  if (keep == 0) {
    mask.zero_();
    return;
  }
  const at::Tensor dense = weight.contiguous();
  with_magnitudes(dense, [&](const auto& magnitudes) {
    launch(magnitudes, mask.mutable_data_ptr<bool>(), stream_of(weight));
  });
}

// mask becomes true where an entry is among the `keep` strongest.
void mark_strongest(const at::Tensor& weight, int64_t keep, const at::Tensor& mask);

}  // namespace rewire::ops
