// Maps of 8x8 places, the state of the small classifiers: a row of the map is one vector, its
// neighbours to both sides are that vector moved by a lane, and a forward pass leaves the registers
// for its operands and its result alone. Included once for each instruction set; see
// norm_depthwise.cpp for maps of any size.
#if defined(REWIRE_MAP8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REWIRE_MAP8_INL_H_
#undef REWIRE_MAP8_INL_H_
#else
#define REWIRE_MAP8_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels/cpu/norm_depthwise.h"
#include "kernels/cpu/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kSide8 = 8;

// Whether this instruction set has vectors of eight such numbers.
template <typename T>
constexpr bool has_rows_of_8() {
  return sizeof(T) == 4 && hn::MaxLanes(hn::ScalableTag<T>()) >= kSide8;
}

// A row of the map and its neighbours to both sides; 0 beyond the map's edge.
template <typename D>
struct Neighbours {
  hn::Vec<D> left, own, right;
};

template <typename D>
class Mover {
 public:
  HWY_INLINE explicit Mover(D d)
      : left_(hn::SetTableIndices(d, kLeft)),
        right_(hn::SetTableIndices(d, kRight)),
        not_last_(hn::FirstN(d, kSide8 - 1)),
        not_first_(hn::Not(hn::FirstN(d, 1))) {}

  HWY_INLINE Neighbours<D> operator()(hn::Vec<D> row) const {
    return {hn::IfThenElseZero(not_first_, hn::TableLookupLanes(row, left_)), row,
            hn::IfThenElseZero(not_last_, hn::TableLookupLanes(row, right_))};
  }

 private:
  static constexpr int32_t kLeft[kSide8] = {0, 0, 1, 2, 3, 4, 5, 6};
  static constexpr int32_t kRight[kSide8] = {1, 2, 3, 4, 5, 6, 7, 7};
  using Indices = decltype(hn::SetTableIndices(D(), kLeft));
  Indices left_, right_;
  hn::Mask<D> not_last_, not_first_;
};

// What a row of the map adds by three taps to the row of the result that they belong to.
template <typename D>
HWY_INLINE hn::Vec<D> by_taps(const Neighbours<D>& row, const hn::Vec<D>* taps) {
  return hn::MulAdd(taps[2], row.right, hn::MulAdd(taps[1], row.own, hn::Mul(taps[0], row.left)));
}

template <typename D>
HWY_INLINE hn::Vec<D> activated(D d, const float* row, hn::Vec<D> scale, hn::Vec<D> shift) {
  const auto a = hn::MulAdd(hn::LoadU(d, row), scale, shift);
  return hn::IfThenZeroElse(hn::Lt(a, hn::Zero(d)), a);  // NaN stays NaN
}

// Calls store(r, row r of the convolution) for the map whose row r is neighbours(r).
template <typename D, typename Read, typename Store>
HWY_INLINE void convolve8(D d, const hn::Vec<D>* taps, Read&& neighbours, Store&& store) {
  auto from_above = hn::Zero(d), without_below = hn::Zero(d);
  for (int r = 0; r < kSide8; ++r) {
    const Neighbours<D> row = neighbours(r);
    if (r > 0) store(r - 1, hn::Add(without_below, by_taps<D>(row, taps + 6)));
    without_below = hn::Add(from_above, by_taps<D>(row, taps + 3));
    from_above = by_taps<D>(row, taps);
  }
  store(kSide8 - 1, without_below);
}

template <typename D>
HWY_INLINE void moments8(D d, const float* x, float* mean, float* deviation) {
  auto sum = hn::Zero(d), squares = hn::Zero(d);
  for (int r = 0; r < kSide8; ++r) sum = hn::Add(sum, hn::LoadU(d, x + r * kSide8));
  *mean = hn::GetLane(hn::SumOfLanes(d, sum)) / (kSide8 * kSide8);
  const auto center = hn::Set(d, *mean);
  for (int r = 0; r < kSide8; ++r) {
    const auto off = hn::Sub(hn::LoadU(d, x + r * kSide8), center);
    squares = hn::MulAdd(off, off, squares);
  }
  *deviation = hn::GetLane(hn::SumOfLanes(d, squares));
}

template <typename D>
HWY_INLINE void forward8(D d, const float* x, float scale, float shift, const float* taps,
                         float* z) {
  const Mover<D> move(d);
  hn::Vec<D> weights[kTaps];
  for (int tap = 0; tap < kTaps; ++tap) weights[tap] = hn::Set(d, taps[tap]);
  const auto by = hn::Set(d, scale), plus = hn::Set(d, shift);
  convolve8(
      d, weights, [&](int r) HWY_ATTR { return move(activated(d, x + r * kSide8, by, plus)); },
      [&](int r, hn::Vec<D> row) HWY_ATTR { hn::StoreU(row, d, z + r * kSide8); });
}

// Rows of a map moved to both sides, in memory, with a row of zeros above and below.
struct Rows8 {
  alignas(32) float left[kSide8 + 2][kSide8] = {}, own[kSide8 + 2][kSide8] = {},
                                  right[kSide8 + 2][kSide8] = {};

  template <typename D>
  HWY_INLINE void store(D d, int r, const Neighbours<D>& row) {
    hn::Store(row.left, d, left[r + 1]);
    hn::Store(row.own, d, own[r + 1]);
    hn::Store(row.right, d, right[r + 1]);
  }
  template <typename D>
  HWY_INLINE Neighbours<D> load(D d, int r) const {
    return {hn::Load(d, left[r + 1]), hn::Load(d, own[r + 1]), hn::Load(d, right[r + 1])};
  }
};

// Of one channel; see norm_depthwise_backward. y and grad_z: room.
template <typename D>
HWY_INLINE void backward8(D d, const float* x, float scale, float shift, float mean,
                          const float* taps, Rows8& y, Rows8& grad_z, float* z, const float* dz,
                          float* da, float* sums_of_taps, float* sum_of_shift,
                          float* sum_of_scaled) {
  const Mover<D> move(d);
  const auto by = hn::Set(d, scale), plus = hn::Set(d, shift);
  for (int r = 0; r < kSide8; ++r) {
    y.store(d, r, move(activated(d, x + r * kSide8, by, plus)));
    grad_z.store(d, r, move(hn::LoadU(d, dz + r * kSide8)));
  }
  hn::Vec<D> weights[kTaps], of_taps[kTaps];
  for (int tap = 0; tap < kTaps; ++tap) {
    weights[tap] = hn::Set(d, taps[tap]);
    of_taps[tap] = hn::Zero(d);
  }
  for (int r = 0; r < kSide8; ++r) {
    const auto own = hn::Load(d, grad_z.own[r + 1]);
    hn::Vec<D> parts[3];
    for (int k = 0; k < 3; ++k) {
      const Neighbours<D> row = y.load(d, r + k - 1);
      parts[k] = by_taps<D>(row, weights + 3 * k);
      of_taps[3 * k] = hn::MulAdd(own, row.left, of_taps[3 * k]);
      of_taps[3 * k + 1] = hn::MulAdd(own, row.own, of_taps[3 * k + 1]);
      of_taps[3 * k + 2] = hn::MulAdd(own, row.right, of_taps[3 * k + 2]);
    }
    hn::StoreU(hn::Add(hn::Add(parts[0], parts[1]), parts[2]), d, z + r * kSide8);
  }
  for (int tap = 0; tap < kTaps; ++tap) weights[tap] = hn::Set(d, taps[kTaps - 1 - tap]);
  const auto center = hn::Set(d, mean);
  auto sum = hn::Zero(d), scaled = hn::Zero(d);
  convolve8(
      d, weights, [&](int r) HWY_ATTR { return grad_z.load(d, r); },
      [&](int r, hn::Vec<D> row) HWY_ATTR {
        const auto passes = hn::Gt(hn::Load(d, y.own[r + 1]), hn::Zero(d));
        const auto grad = hn::IfThenElseZero(passes, row);
        sum = hn::Add(sum, grad);
        scaled = hn::MulAdd(grad, hn::Sub(hn::LoadU(d, x + r * kSide8), center), scaled);
        hn::StoreU(grad, d, da + r * kSide8);
      });
  add_sums(d, of_taps[0], of_taps[1], of_taps[2], of_taps[3], sums_of_taps);
  add_sums(d, of_taps[4], of_taps[5], of_taps[6], of_taps[7], sums_of_taps + 4);
  float last[4] = {sums_of_taps[8], *sum_of_shift, *sum_of_scaled, 0};
  add_sums(d, of_taps[8], sum, scaled, hn::Zero(d), last);
  sums_of_taps[8] = last[0];
  *sum_of_shift = last[1];
  *sum_of_scaled = last[2];
}

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // REWIRE_MAP8_INL_H_, once a target
