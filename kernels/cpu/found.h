// What one block's search for candidates found, and the search entry by entry: for the end of a
// block, and for numbers that have no vector version. Shared by all instruction sets.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/magnitudes.h"

namespace rewire::kernels {

template <typename Key>
struct Found {
  int64_t count = 0;
  Key largest = 0;
};

// Appends the entries of bits[i, count) whose key is at least `bound` to offsets (index plus
// `first`) and keys, at found.count.
template <typename Bits>
inline void find_one_by_one(const Bits* bits, uint32_t i, uint32_t count, uint32_t first,
                            KeyOf<Bits> bound, uint32_t* offsets, KeyOf<Bits>* keys,
                            Found<KeyOf<Bits>>& found) {
  for (; i < count; ++i) {
    const KeyOf<Bits> key = bits[i] & Magnitudes<Bits>::kSignCleared;
    offsets[found.count] = first + i;
    keys[found.count] = key;
    found.count += key >= bound;
    found.largest = std::max(found.largest, key);
  }
}

}  // namespace rewire::kernels
