// The two dense forms of a selection, on the entries [begin, end) of a weight.
#pragma once

#include <cstdint>

#include "kernels/cpu/cut.h"

namespace rewire::kernels {

// mask[entry] = 1 where the cut keeps the entry, else 0.
template <typename Bits>
void strongest_mask(const Magnitudes<Bits>& weight, const Cut<KeyOf<Bits>>& cut, int64_t begin,
                    int64_t end, bool* mask);

// out[entry] = weight[entry] where the cut keeps the entry, else +0.
template <typename Bits>
void keep_strongest(const Magnitudes<Bits>& weight, const Cut<KeyOf<Bits>>& cut, int64_t begin,
                    int64_t end, Bits* out);

}  // namespace rewire::kernels
