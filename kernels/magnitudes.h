// Magnitudes of floating numbers as unsigned integers, which are quick to compare and to count.
//
// A key is the bits of a number with the sign cleared: keys are ordered as magnitudes are, equal
// magnitudes have equal keys (+0 and -0 too), and whatever is above the key of infinity is NaN.
// Bits is the unsigned integer of the number's size: uint16_t for half and bfloat16, uint32_t for
// float, uint64_t for double. CPU and CUDA share this: constexpr functions serve devices too.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace rewire::kernels {

template <typename Bits>
using KeyOf = std::conditional_t<sizeof(Bits) == 8, uint64_t, uint32_t>;

template <typename Bits>
struct Magnitudes {
  using Key = KeyOf<Bits>;
  static constexpr Bits kSignCleared = std::numeric_limits<Bits>::max() >> 1;

  const Bits* bits;  // [count]
  int64_t count;
  Key infinity;  // the key of infinity: the lowest exponent bit is the lowest bit set

  constexpr Key key(int64_t entry) const { return bits[entry] & kSignCleared; }
};

}  // namespace rewire::kernels
