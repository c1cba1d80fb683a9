// A floating tensor as the magnitudes of its entries.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>

#include "kernels/magnitudes.h"

namespace rewire::ops {

// Calls f with the kernels::Magnitudes of a contiguous floating tensor, on any device, and returns
// its result.
template <typename F>
auto with_magnitudes(const at::Tensor& weight, F&& f) {
  const void* data = weight.const_data_ptr();
  const int64_t count = weight.numel();
  switch (weight.scalar_type()) {
    case at::kFloat:
      return f(
          kernels::Magnitudes<uint32_t>{static_cast<const uint32_t*>(data), count, 0x7f80'0000});
    case at::kDouble:
      return f(kernels::Magnitudes<uint64_t>{static_cast<const uint64_t*>(data), count,
                                             0x7ff0'0000'0000'0000});
    case at::kHalf:
      return f(kernels::Magnitudes<uint16_t>{static_cast<const uint16_t*>(data), count, 0x7c00});
    case at::kBFloat16:
      return f(kernels::Magnitudes<uint16_t>{static_cast<const uint16_t*>(data), count, 0x7f80});
    default:
      TORCH_INTERNAL_ASSERT(false, "no magnitudes of ", weight.scalar_type());
  }
}

}  // namespace rewire::ops
