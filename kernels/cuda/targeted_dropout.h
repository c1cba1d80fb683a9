// The selection of targeted dropout in each row by itself, on a device.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/magnitudes.h"

namespace rewire::kernels::cuda {

// mask[entry] = whether the entry is among the `keep` strongest of its row of `width` entries.
// 0 < keep <= width < 2^32, and width divides weight.count.
template <typename Bits>
void strongest_mask_by_row(const Magnitudes<Bits>& weight, int64_t width, int64_t keep, bool* mask,
                           const Stream& stream);

}  // namespace rewire::kernels::cuda
