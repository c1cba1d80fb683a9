// The one rule of selection: which entries of a weight are its `keep` strongest.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/cpu/candidates.h"
#include "kernels/magnitudes.h"

namespace rewire::kernels {

// Where the strongest entries end. An entry is kept if its magnitude is above `key`, or equal to
// it and the entry lies before `tie_end`: of equal magnitudes the lower entries are kept.
// `key` is the smallest magnitude kept; {infinity, 0} keeps nothing.
template <typename Key>
struct Cut {
  Key key;
  int64_t tie_end;

  // The smallest key that is kept at `entry`. It changes once, at tie_end, so that a loop over a
  // range needs no more than a comparison an entry (see for_each_side).
  Key lowest_kept(int64_t entry) const { return entry < tie_end ? key : key + 1; }
};

// Calls f(from, to, lowest) for the parts of [begin, end) before and behind the cut's tie_end: an
// entry of [from, to) is kept if its key is at least `lowest`.
template <typename Key, typename F>
void for_each_side(const Cut<Key>& cut, int64_t begin, int64_t end, F&& f) {
  const int64_t middle = std::clamp(cut.tie_end, begin, end);
  f(begin, middle, cut.key);
  f(middle, end, cut.key + 1);
}

// A bound that probably has between `keep` and a little more entries at or above it, from a sample
// of fixed places. O(1).
template <typename Bits>
KeyOf<Bits> sampled_bound(const Magnitudes<Bits>& weight, int64_t keep);

// A bound a little (1/64 to 1/128) below a threshold of earlier times; 0 if that is too small.
template <typename Bits>
KeyOf<Bits> hinted_bound(const Magnitudes<Bits>& weight, KeyOf<Bits> hint);

// The cut of the `keep` strongest among the candidates of consecutive ranges, collected with one
// bound and at least `keep` > 0 in all. O(candidates), whatever the values.
template <typename Key>
Cut<Key> cut_of(std::span<const Candidates<Key>> chunks, int64_t keep);

// The cut of the `keep` strongest among the entries [begin, end) alone. O(end - begin).
template <typename Bits>
Cut<KeyOf<Bits>> cut_of_range(const Magnitudes<Bits>& weight, int64_t begin, int64_t end,
                              int64_t keep);

}  // namespace rewire::kernels
