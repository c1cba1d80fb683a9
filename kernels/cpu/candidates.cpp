// Compares a vector of keys at a time and stores the indices and keys of those that pass side by
// side, without a branch: about one entry in twenty passes, which no predictor learns.
#include "kernels/cpu/candidates.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/candidates.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/found.h"

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Writes the entries of bits[0, count) whose key is at least `bound`: their index plus `first` to
// offsets, their key to keys, both with room for `count`. A whole vector is written each time:
// what lies behind the entries found is overwritten by the next ones or never read. (CompressStore
// would write no more than is found, but is microcoded, and slow, on some AVX-512 machines.)
// Keys have no sign bit, so that they may be compared as signed numbers, which every target can.
template <typename Bits>
Found<uint32_t> find(const Bits* HWY_RESTRICT bits, uint32_t count, uint32_t first, uint32_t bound,
                     uint32_t* HWY_RESTRICT offsets, uint32_t* HWY_RESTRICT keys) {
  const hn::ScalableTag<int32_t> d;
  const hn::RebindToUnsigned<decltype(d)> indices;
  const hn::Rebind<Bits, decltype(d)> stored;
  const auto sign_cleared = hn::Set(d, Magnitudes<Bits>::kSignCleared);
  const auto below = hn::Set(d, static_cast<int32_t>(bound) - 1);
  const uint32_t lanes = hn::Lanes(d);
  const auto step = hn::Set(indices, lanes);

  Found<uint32_t> found;
  auto offset = hn::Iota(indices, first);
  auto largest = hn::Zero(d);
  uint32_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto key = hn::Zero(d);
    if constexpr (sizeof(Bits) == 4) {
      key = hn::And(hn::BitCast(d, hn::LoadU(stored, bits + i)), sign_cleared);
    } else {
      key = hn::And(hn::PromoteTo(d, hn::LoadU(stored, bits + i)), sign_cleared);
    }
    const auto passes = hn::RebindMask(indices, hn::Gt(key, below));
    hn::StoreU(hn::Compress(offset, passes), indices, offsets + found.count);
    hn::StoreU(hn::Compress(hn::BitCast(indices, key), passes), indices, keys + found.count);
    found.count += hn::CountTrue(indices, passes);
    offset = hn::Add(offset, step);
    largest = hn::Max(largest, key);
  }
  found.largest = hn::GetLane(hn::MaxOfLanes(d, largest));
  find_one_by_one(bits, i, count, first, bound, offsets, keys, found);
  return found;
}

Found<uint32_t> find16(const uint16_t* bits, uint32_t count, uint32_t first, uint32_t bound,
                       uint32_t* offsets, uint32_t* keys) {
  return find(bits, count, first, bound, offsets, keys);
}

Found<uint32_t> find32(const uint32_t* bits, uint32_t count, uint32_t first, uint32_t bound,
                       uint32_t* offsets, uint32_t* keys) {
  return find(bits, count, first, bound, offsets, keys);
}

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rewire::kernels {
namespace {

HWY_EXPORT(find16);
HWY_EXPORT(find32);

// Entries a call of the vector code: a block of keys, indices and input stays in the first cache.
constexpr int64_t kBlock = 2048;

Found<uint32_t> find(const uint16_t* bits, uint32_t count, uint32_t first, uint32_t bound,
                     uint32_t* offsets, uint32_t* keys) {
  return HWY_DYNAMIC_DISPATCH(find16)(bits, count, first, bound, offsets, keys);
}

Found<uint32_t> find(const uint32_t* bits, uint32_t count, uint32_t first, uint32_t bound,
                     uint32_t* offsets, uint32_t* keys) {
  return HWY_DYNAMIC_DISPATCH(find32)(bits, count, first, bound, offsets, keys);
}

// Double weights are rare, and half as many fit a vector: not worth a version of their own.
Found<uint64_t> find(const uint64_t* bits, uint32_t count, uint32_t first, uint64_t bound,
                     uint32_t* offsets, uint64_t* keys) {
  Found<uint64_t> found;
  find_one_by_one(bits, 0, count, first, bound, offsets, keys, found);
  return found;
}

}  // namespace

template <typename Key>
void Candidates<Key>::reserve(int64_t room) {
  if (room <= capacity) return;
  auto more_offsets = std::make_unique_for_overwrite<uint32_t[]>(room);
  auto more_keys = std::make_unique_for_overwrite<Key[]>(room);
  std::copy_n(offsets.get(), count, more_offsets.get());
  std::copy_n(keys.get(), count, more_keys.get());
  offsets = std::move(more_offsets);
  keys = std::move(more_keys);
  capacity = room;
}

template <typename Bits>
void collect(const Magnitudes<Bits>& weight, Candidates<KeyOf<Bits>>& range) {
  range.count = 0;
  range.largest = 0;
  for (int64_t i = range.begin; i < range.end; i += kBlock) {
    const int64_t block = std::min(kBlock, range.end - i);
    if (range.count + block > range.capacity) range.reserve(2 * (range.count + block));
    const auto found = find(weight.bits + i, block, i - range.begin, range.bound,
                            range.offsets.get() + range.count, range.keys.get() + range.count);
    range.count += found.count;
    range.largest = std::max(range.largest, found.largest);
  }
}

template struct Candidates<uint32_t>;
template struct Candidates<uint64_t>;
template void collect(const Magnitudes<uint16_t>&, Candidates<uint32_t>&);
template void collect(const Magnitudes<uint32_t>&, Candidates<uint32_t>&);
template void collect(const Magnitudes<uint64_t>&, Candidates<uint64_t>&);

}  // namespace rewire::kernels
#endif  // HWY_ONCE
