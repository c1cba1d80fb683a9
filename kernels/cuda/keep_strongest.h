// The two dense forms of a selection, on a device. 0 < keep <= weight.count.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/magnitudes.h"

namespace rewire::kernels::cuda {

// mask[entry] = whether the entry is among the `keep` strongest.
template <typename Bits>
void strongest_mask(const Magnitudes<Bits>& weight, int64_t keep, bool* mask, const Stream& stream);

// out[entry] = weight[entry] where it is among the `keep` strongest, else +0.
template <typename Bits>
void keep_strongest(const Magnitudes<Bits>& weight, int64_t keep, Bits* out, const Stream& stream);

}  // namespace rewire::kernels::cuda
