// Sums of the lanes of vectors, four vectors at a time. Included once for each instruction set.
#if defined(REWIRE_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REWIRE_SUMS_INL_H_
#undef REWIRE_SUMS_INL_H_
#else
#define REWIRE_SUMS_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
// The sum of a vector's blocks of four float32 lanes.
template <typename D>
HWY_INLINE auto sum_of_blocks(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return sum_of_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}
#endif

// Adds to out[0..3] the sums of the lanes of four vectors.
template <typename D>
HWY_INLINE void add_sums(D d, hn::Vec<D> a, hn::Vec<D> b, hn::Vec<D> c, hn::Vec<D> e,
                         hn::TFromD<D>* out) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(hn::TFromD<D>) == 4) {
    // In each block of four lanes: first (a, b) and (c, e) interleaved and halved, then all four.
    const hn::RepartitionToWide<D> wide;
    const auto ab = hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
    const auto ce = hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e));
    const auto low = hn::InterleaveLower(wide, hn::BitCast(wide, ab), hn::BitCast(wide, ce));
    const auto high = hn::InterleaveUpper(wide, hn::BitCast(wide, ab), hn::BitCast(wide, ce));
    const auto blocks = hn::Add(hn::BitCast(d, low), hn::BitCast(d, high));
    const hn::FixedTag<hn::TFromD<D>, 4> four;
    hn::StoreU(hn::Add(hn::LoadU(four, out), sum_of_blocks(d, blocks)), four, out);
    return;
  }
#endif
  out[0] += hn::GetLane(hn::SumOfLanes(d, a));
  out[1] += hn::GetLane(hn::SumOfLanes(d, b));
  out[2] += hn::GetLane(hn::SumOfLanes(d, c));
  out[3] += hn::GetLane(hn::SumOfLanes(d, e));
}

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // REWIRE_SUMS_INL_H_, once a target
