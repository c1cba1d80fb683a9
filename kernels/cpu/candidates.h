// The first pass over a weight: the entries that may be among the strongest.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/magnitudes.h"

namespace rewire::kernels {

// The entries of the range [begin, end) with keys of at least `bound`, in ascending order.
template <typename Key>
struct Candidates {
  int64_t begin = 0;
  int64_t end = 0;  // at most begin + 2^32
  Key bound = 0;
  Key largest = 0;  // the largest key of the whole range, candidate or not
  int64_t count = 0;
  int64_t capacity = 0;
  std::unique_ptr<uint32_t[]> offsets;  // [capacity] candidate i is entry begin + offsets[i]
  std::unique_ptr<Key[]> keys;          // [capacity] its key

  int64_t entry(int64_t i) const { return begin + offsets[i]; }

  // Room for `room` candidates; those found stay. Memory is not cleared: pages that are never
  // written cost nothing, and all others enough to be the dearest part of a selection.
  void reserve(int64_t room);
};

// Finds the candidates of a range whose begin, end and bound are set; what it held is forgotten.
// NaN has a key above infinity: it is a candidate, and the largest key, whatever the bound.
template <typename Bits>
void collect(const Magnitudes<Bits>& weight, Candidates<KeyOf<Bits>>& range);

}  // namespace rewire::kernels
