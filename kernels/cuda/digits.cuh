// Ranks without sorting: the key that so many keys are at or above is found digit by digit, the
// highest first. A pass counts, among the keys that agree with the digits found so far, how many
// have each next digit; the digit in which the rank falls is the key's.
#pragma once

#include "kernels/cuda/block.cuh"
#include "kernels/magnitudes.h"

namespace rewire::kernels::cuda {

constexpr int kDigitBits = 11;  // 2,048 counters of 4 bytes: 8 KB of shared memory a copy
constexpr int kNumDigits = 1 << kDigitBits;
constexpr int kRankThreads = 256;

// Which bits of a key a pass looks at.
struct Digit {
  int shift;
  int bits;

  // The next lower one; none is left where bits is 0.
  constexpr Digit below() const {
    const int next = shift < kDigitBits ? shift : kDigitBits;
    return {shift - next, next};
  }
  template <typename Key>
  constexpr uint32_t of(Key key) const {
    return static_cast<uint32_t>(key >> shift) & ((1u << bits) - 1);
  }
  // The digits above this one agree. (In two shifts: all bits of a key may lie below.)
  template <typename Key>
  constexpr bool same_above(Key a, Key b) const {
    return ((a ^ b) >> shift) >> bits == 0;
  }
};

// The highest digit of keys that are a number's bits without the sign.
template <typename Bits>
constexpr Digit highest_digit() {
  return Digit{static_cast<int>(8 * sizeof(Bits)) - 1, 0}.below();
}

// Where the strongest end, as far as it is known: of the keys that agree with `key` in the digits
// found, the `rank` largest are kept. Once all digits are found, `rank` is the number of entries
// with that very key that are kept, those of the lowest entries.
template <typename Key>
struct Cut {
  Key key;
  int64_t rank;
};

template <typename Count>
struct ChooseDigit {
  BlockSum<Count, kRankThreads> sum;
  uint32_t digit;
  Count above;
};

// Takes the next digit into the cut: `counts` says how many keys have it, in shared or device
// memory that all threads may read. All threads of the block call it and get the same cut.
template <typename Key, typename Count>
__device__ Cut<Key> choose_digit(Cut<Key> cut, Digit digit, const volatile Count* counts,
                                 ChooseDigit<Count>& memory) {
  constexpr int kEach = kNumDigits / kRankThreads;
  // Thread 0 has the largest digits.
  const int first = kNumDigits - 1 - static_cast<int>(threadIdx.x) * kEach;
  Count own = 0;
  for (int i = 0; i < kEach; ++i) own += counts[first - i];
  Count above = block_sum_below(own, memory.sum).below;
  const Count rank = cut.rank;
  if (above < rank && rank <= above + own) {
    int i = 0;
    for (; above + counts[first - i] < rank; ++i) above += counts[first - i];
    memory.digit = first - i;
    memory.above = above;
  }
  __syncthreads();
  cut.key |= static_cast<Key>(memory.digit) << digit.shift;
  cut.rank -= memory.above;
  __syncthreads();
  return cut;
}

}  // namespace rewire::kernels::cuda
