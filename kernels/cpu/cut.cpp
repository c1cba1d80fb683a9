#include "kernels/cpu/cut.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <vector>

namespace rewire::kernels {
namespace {

constexpr int64_t kSamples = 4096;
constexpr int kBinBits = 11;  // 2,048 counters: 8 KB, a sixth of the first cache

// The cut of the `keep` > 0 largest of `keys`, the i-th of which belongs to entry_of(i), ascending.
template <typename Key, typename EntryOf>
Cut<Key> exact_cut(const std::vector<Key>& keys, int64_t keep, EntryOf entry_of) {
  std::vector<Key> ranked = keys;
  std::nth_element(ranked.begin(), ranked.begin() + (keep - 1), ranked.end(), std::greater<>());
  const Key key = ranked[keep - 1];
  int64_t ties = keep - std::count_if(ranked.begin(), ranked.begin() + keep,
                                      [key](Key other) { return other > key; });
  int64_t i = 0;
  while (true) {
    ties -= keys[i] == key;
    if (ties == 0) return {key, entry_of(i) + 1};
    ++i;
  }
}

// Equal parts of the interval of keys that a set of candidates spans.
template <typename Key>
struct Bins {
  Key smallest;
  int shift;  // a bin is 2^shift keys wide

  uint32_t of(Key key) const { return (key - smallest) >> shift; }
};

template <typename Key>
Bins<Key> bins_of(std::span<const Candidates<Key>> chunks) {
  Key smallest = chunks.front().bound;
  Key largest = 0;
  for (const auto& chunk : chunks) largest = std::max(largest, chunk.largest);
  return {smallest, std::max(0, static_cast<int>(std::bit_width(largest - smallest)) - kBinBits)};
}

// Neighbours often fall into one bin, and a counter cannot be raised twice in a row without
// waiting: four sets of counters take turns.
template <typename Key>
std::array<int64_t, 1 << kBinBits> count_bins(std::span<const Candidates<Key>> chunks,
                                              const Bins<Key>& bins) {
  std::vector<std::array<uint32_t, 4>> counters(1 << kBinBits);
  std::array<int64_t, 1 << kBinBits> counts{};
  for (const auto& chunk : chunks) {
    for (int64_t i = 0; i < chunk.count; ++i) ++counters[bins.of(chunk.keys[i])][i & 3];
  }
  for (size_t bin = 0; bin < counts.size(); ++bin) {
    for (const uint32_t counter : counters[bin]) counts[bin] += counter;
  }
  return counts;
}

}  // namespace

template <typename Bits>
KeyOf<Bits> sampled_bound(const Magnitudes<Bits>& weight, int64_t keep) {
  // An odd step meets all columns of a matrix whose width is a power of two.
  const int64_t step = (weight.count / kSamples) | 1;
  std::vector<KeyOf<Bits>> sample;
  for (int64_t entry = 0; entry < weight.count; entry += step) sample.push_back(weight.key(entry));

  // Four standard deviations of the number of kept entries in a sample above its mean.
  const double mean = static_cast<double>(sample.size()) * keep / weight.count;
  const size_t rank = static_cast<size_t>(mean + 4 * std::sqrt(mean) + 4);
  if (rank >= sample.size()) return 0;
  std::nth_element(sample.begin(), sample.begin() + rank, sample.end(), std::greater<>());
  return sample[rank];
}

template <typename Bits>
KeyOf<Bits> hinted_bound(const Magnitudes<Bits>& weight, KeyOf<Bits> hint) {
  // A number's bits count fractions of its power of two: this many are 1/64 of it.
  const KeyOf<Bits> margin = KeyOf<Bits>{1} << (std::countr_zero(weight.infinity) - 6);
  return hint > margin ? hint - margin : 0;
}

template <typename Key>
Cut<Key> cut_of(std::span<const Candidates<Key>> chunks, int64_t keep) {
  const Bins<Key> bins = bins_of(chunks);
  const auto counts = count_bins(chunks, bins);
  uint32_t bin = counts.size() - 1;
  while (counts[bin] < keep) keep -= counts[bin--];

  std::vector<Key> keys;
  std::vector<int64_t> entries;
  for (const auto& chunk : chunks) {
    for (int64_t i = 0; i < chunk.count; ++i) {
      if (bins.of(chunk.keys[i]) != bin) continue;
      keys.push_back(chunk.keys[i]);
      entries.push_back(chunk.entry(i));
    }
  }
  return exact_cut(keys, keep, [&](int64_t i) { return entries[i]; });
}

template <typename Bits>
Cut<KeyOf<Bits>> cut_of_range(const Magnitudes<Bits>& weight, int64_t begin, int64_t end,
                              int64_t keep) {
  if (keep == 0) return {weight.infinity, 0};
  std::vector<KeyOf<Bits>> keys(end - begin);
  for (int64_t entry = begin; entry < end; ++entry) keys[entry - begin] = weight.key(entry);
  return exact_cut(keys, keep, [begin](int64_t i) { return begin + i; });
}

template uint32_t sampled_bound(const Magnitudes<uint16_t>&, int64_t);
template uint32_t sampled_bound(const Magnitudes<uint32_t>&, int64_t);
template uint64_t sampled_bound(const Magnitudes<uint64_t>&, int64_t);
template uint32_t hinted_bound(const Magnitudes<uint16_t>&, uint32_t);
template uint32_t hinted_bound(const Magnitudes<uint32_t>&, uint32_t);
template uint64_t hinted_bound(const Magnitudes<uint64_t>&, uint64_t);
template Cut<uint32_t> cut_of(std::span<const Candidates<uint32_t>>, int64_t);
template Cut<uint64_t> cut_of(std::span<const Candidates<uint64_t>>, int64_t);
template Cut<uint32_t> cut_of_range(const Magnitudes<uint16_t>&, int64_t, int64_t, int64_t);
template Cut<uint32_t> cut_of_range(const Magnitudes<uint32_t>&, int64_t, int64_t, int64_t);
template Cut<uint64_t> cut_of_range(const Magnitudes<uint64_t>&, int64_t, int64_t, int64_t);

}  // namespace rewire::kernels
