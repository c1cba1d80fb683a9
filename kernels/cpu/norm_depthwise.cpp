#include "kernels/cpu/norm_depthwise.h"

#include <algorithm>
#include <cstring>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm_depthwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/map8-inl.h"
#include "kernels/cpu/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A row as whole vectors; behind its end zeros.
template <typename D, typename T>
HWY_INLINE void load_row(D d, const T* row, const MapScratch<T>& scratch, T* to) {
  const int64_t lanes = hn::Lanes(d);
  int64_t p = 0;
  for (; p + lanes <= scratch.places; p += lanes) hn::Store(hn::LoadU(d, row + p), d, to + p);
  for (; p < scratch.places; ++p) to[p] = row[p];
}

template <typename D, typename T>
HWY_INLINE void store_row(D d, const T* from, const MapScratch<T>& scratch, T* row) {
  const int64_t lanes = hn::Lanes(d);
  int64_t p = 0;
  for (; p + lanes <= scratch.places; p += lanes) hn::StoreU(hn::Load(d, from + p), d, row + p);
  for (; p < scratch.places; ++p) row[p] = from[p];
}

// z from scratch.out, and back: every step-th place of every step-th row; zeros between them.
template <typename D, typename T>
HWY_INLINE void store_z(D d, const MapScratch<T>& scratch, T* z) {
  if (scratch.step == 1) return store_row(d, scratch.out, scratch, z);
  for (int64_t row = 0; row < scratch.height; row += scratch.step) {
    const T* from = scratch.out + row * scratch.width;
    for (int64_t column = 0; column < scratch.width; column += scratch.step) *z++ = from[column];
  }
}

template <typename D, typename T>
HWY_INLINE void load_z(D d, const T* z, const MapScratch<T>& scratch) {
  if (scratch.step == 1) return load_row(d, z, scratch, scratch.out);
  std::fill_n(scratch.out, scratch.padded, T{0});
  for (int64_t row = 0; row < scratch.height; row += scratch.step) {
    T* to = scratch.out + row * scratch.width;
    for (int64_t column = 0; column < scratch.width; column += scratch.step) to[column] = *z++;
  }
}

template <typename D, typename T>
HWY_INLINE void store_copies(D d, hn::Vec<D> v, int64_t p, const MapScratch<T>& scratch,
                             const typename MapScratch<T>::Copies& to) {
  hn::Store(hn::And(v, hn::Load(d, scratch.all + p)), d, to.all + p);
  hn::Store(hn::And(v, hn::Load(d, scratch.not_last + p)), d, to.not_last + p);
  hn::Store(hn::And(v, hn::Load(d, scratch.not_first + p)), d, to.not_first + p);
}

// scratch.y of scratch.x. NaN stays NaN.
template <typename D, typename T>
HWY_INLINE void activate(D d, T scale, T shift, const MapScratch<T>& scratch) {
  const auto by = hn::Set(d, scale), plus = hn::Set(d, shift);
  for (int64_t p = 0; p < scratch.padded; p += hn::Lanes(d)) {
    const auto a = hn::MulAdd(hn::Load(d, scratch.x + p), by, plus);
    store_copies(d, hn::IfThenZeroElse(hn::Lt(a, hn::Zero(d)), a), p, scratch, scratch.y);
  }
}

// The elements that tap (dy, dx), each -1, 0 or 1, multiplies with for the output at p.
template <typename D, typename T>
HWY_INLINE hn::Vec<D> tapped(D d, const typename MapScratch<T>::Copies& map, int64_t width, int dy,
                             int dx, int64_t p) {
  const T* copy = dx < 0 ? map.not_last : dx > 0 ? map.not_first : map.all;
  return hn::LoadU(d, copy + p + dy * width + dx);
}

// scratch.out = the map convolved with the taps, or with the taps turned around.
template <bool kTurned, typename D, typename T>
HWY_INLINE void convolve(D d, const typename MapScratch<T>::Copies& map, const T* taps,
                         const MapScratch<T>& scratch) {
  using V = hn::Vec<D>;
  V weights[kTaps];
  for (int tap = 0; tap < kTaps; ++tap) {
    weights[tap] = hn::Set(d, taps[kTurned ? kTaps - 1 - tap : tap]);
  }
  for (int64_t p = 0; p < scratch.padded; p += hn::Lanes(d)) {
    V sum[3];  // three chains: one would wait for itself
    for (int dy = -1; dy <= 1; ++dy) {
      const int tap = 3 * (dy + 1);
      sum[dy + 1] = hn::Mul(weights[tap], tapped<D, T>(d, map, scratch.width, dy, -1, p));
      sum[dy + 1] =
          hn::MulAdd(weights[tap + 1], tapped<D, T>(d, map, scratch.width, dy, 0, p), sum[dy + 1]);
      sum[dy + 1] =
          hn::MulAdd(weights[tap + 2], tapped<D, T>(d, map, scratch.width, dy, 1, p), sum[dy + 1]);
    }
    hn::Store(hn::Add(hn::Add(sum[0], sum[1]), sum[2]), d, scratch.out + p);
  }
}

template <typename T>
bool is_map8(const MapScratch<T>& scratch) {
  return scratch.height == kSide8 && scratch.width == kSide8 && scratch.step == 1;
}

template <typename T>
void moments(const Rows<const T>& x, MapScratch<T>& scratch, T* mean, T* deviation) {
  if constexpr (has_rows_of_8<T>()) {
    if (is_map8(scratch)) {
      for (int64_t c = 0; c < x.count; ++c) {
        moments8(hn::FixedTag<T, kSide8>(), x.data + c * x.stride, mean + c, deviation + c);
      }
      return;
    }
  }
  const hn::ScalableTag<T> d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t c = 0; c < x.count; ++c) {
    load_row(d, x.data + c * x.stride, scratch, scratch.x);
    auto sum = hn::Zero(d);
    for (int64_t p = 0; p < scratch.padded; p += lanes) {
      sum = hn::Add(sum, hn::And(hn::Load(d, scratch.x + p), hn::Load(d, scratch.all + p)));
    }
    const T average = hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<T>(scratch.places);
    const auto center = hn::Set(d, average);
    auto squares = hn::Zero(d);
    for (int64_t p = 0; p < scratch.padded; p += lanes) {
      const auto off =
          hn::And(hn::Sub(hn::Load(d, scratch.x + p), center), hn::Load(d, scratch.all + p));
      squares = hn::MulAdd(off, off, squares);
    }
    mean[c] = average;
    deviation[c] = hn::GetLane(hn::SumOfLanes(d, squares));
  }
}

template <typename T>
void forward(const Rows<const T>& x, const Norm<T>& norm, const T* taps, MapScratch<T>& scratch,
             const Rows<T>& z) {
  if constexpr (has_rows_of_8<T>()) {
    if (is_map8(scratch)) {
      for (int64_t c = 0; c < x.count; ++c) {
        forward8(hn::FixedTag<T, kSide8>(), x.data + c * x.stride, norm.scale[c], norm.shift[c],
                 taps + c * kTaps, z.data + c * z.stride);
      }
      return;
    }
  }
  const hn::ScalableTag<T> d;
  for (int64_t c = 0; c < x.count; ++c) {
    load_row(d, x.data + c * x.stride, scratch, scratch.x);
    activate(d, norm.scale[c], norm.shift[c], scratch);
    convolve<false>(d, scratch.y, taps + c * kTaps, scratch);
    store_z(d, scratch, z.data + c * z.stride);
  }
}

template <typename T>
void backward(const Rows<const T>& x, const Norm<T>& norm, const T* taps, MapScratch<T>& scratch,
              const Rows<T>& z, const Rows<const T>& dz, const Rows<T>& da_rows,
              const NormDepthwiseSums<T>& sums) {
  if constexpr (has_rows_of_8<T>()) {
    if (is_map8(scratch)) {
      Rows8 y, grad_z;
      for (int64_t c = 0; c < x.count; ++c) {
        backward8(hn::FixedTag<T, kSide8>(), x.data + c * x.stride, norm.scale[c], norm.shift[c],
                  norm.mean[c], taps + c * kTaps, y, grad_z, z.data + c * z.stride,
                  dz.data + c * dz.stride, da_rows.data + c * da_rows.stride, sums.taps + c * kTaps,
                  sums.shift + c, sums.scaled + c);
      }
      return;
    }
  }
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  const D d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t c = 0; c < x.count; ++c) {
    load_row(d, x.data + c * x.stride, scratch, scratch.x);
    activate(d, norm.scale[c], norm.shift[c], scratch);
    load_z(d, dz.data + c * dz.stride, scratch);
    V of_taps[kTaps];
    for (int tap = 0; tap < kTaps; ++tap) of_taps[tap] = hn::Zero(d);
    for (int64_t p = 0; p < scratch.padded; p += lanes) {
      const V own = hn::And(hn::Load(d, scratch.out + p), hn::Load(d, scratch.all + p));
      store_copies(d, own, p, scratch, scratch.grad_z);
      V parts[3] = {hn::Zero(d), hn::Zero(d), hn::Zero(d)};  // of z, as convolve sums it
      for (int tap = 0; tap < kTaps; ++tap) {
        const V y = tapped<D, T>(d, scratch.y, scratch.width, tap / 3 - 1, tap % 3 - 1, p);
        parts[tap / 3] = hn::MulAdd(hn::Set(d, taps[c * kTaps + tap]), y, parts[tap / 3]);
        of_taps[tap] = hn::MulAdd(own, y, of_taps[tap]);
      }
      hn::Store(hn::Add(hn::Add(parts[0], parts[1]), parts[2]), d, scratch.out + p);
    }
    store_z(d, scratch, z.data + c * z.stride);
    convolve<true>(d, scratch.grad_z, taps + c * kTaps, scratch);
    const V center = hn::Set(d, norm.mean[c]);
    V sum = hn::Zero(d), scaled = hn::Zero(d);
    for (int64_t p = 0; p < scratch.padded; p += lanes) {
      const auto passes = hn::Gt(hn::Load(d, scratch.y.all + p), hn::Zero(d));
      const V da = hn::IfThenElseZero(passes, hn::Load(d, scratch.out + p));
      hn::Store(da, d, scratch.out + p);
      sum = hn::Add(sum, da);
      scaled = hn::MulAdd(da, hn::Sub(hn::Load(d, scratch.x + p), center), scaled);
    }
    store_row(d, scratch.out, scratch, da_rows.data + c * da_rows.stride);
    T* to = sums.taps + c * kTaps;
    add_sums(d, of_taps[0], of_taps[1], of_taps[2], of_taps[3], to);
    add_sums(d, of_taps[4], of_taps[5], of_taps[6], of_taps[7], to + 4);
    T last[4] = {to[8], sums.shift[c], sums.scaled[c], T{0}};
    add_sums(d, of_taps[8], sum, scaled, hn::Zero(d), last);
    to[8] = last[0];
    sums.shift[c] = last[1];
    sums.scaled[c] = last[2];
  }
}

template <typename T>
void of_norm(const Rows<const T>& x, const Rows<const T>& grad, const NormBackward<T>* by,
             const Rows<T>& out, int64_t places, bool adds) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t c = 0; c < x.count; ++c) {
    const T *from = x.data + c * x.stride, *da = grad.data + c * grad.stride;
    T* to = out.data + c * out.stride;
    const auto of_grad = hn::Set(d, by[c].of_grad), of_x = hn::Set(d, by[c].of_x);
    const auto mean = hn::Set(d, by[c].mean), plus = hn::Set(d, by[c].plus);
    int64_t p = 0;
    for (; p + lanes <= places; p += lanes) {
      const auto off = hn::Sub(hn::LoadU(d, from + p), mean);
      const auto more = hn::MulAdd(hn::LoadU(d, da + p), of_grad, hn::MulAdd(off, of_x, plus));
      hn::StoreU(adds ? hn::Add(hn::LoadU(d, to + p), more) : more, d, to + p);
    }
    for (; p < places; ++p) {
      const T more = da[p] * by[c].of_grad + ((from[p] - by[c].mean) * by[c].of_x + by[c].plus);
      to[p] = adds ? to[p] + more : more;
    }
  }
}

#define REWIRE_FOR_TYPE(T, suffix)                                                               \
  void moments_##suffix(const Rows<const T>& x, MapScratch<T>& scratch, T* mean, T* deviation) { \
    moments(x, scratch, mean, deviation);                                                        \
  }                                                                                              \
  void forward_##suffix(const Rows<const T>& x, const Norm<T>& norm, const T* taps,              \
                        MapScratch<T>& scratch, const Rows<T>& z) {                              \
    forward(x, norm, taps, scratch, z);                                                          \
  }                                                                                              \
  void backward_##suffix(const Rows<const T>& x, const Norm<T>& norm, const T* taps,             \
                         MapScratch<T>& scratch, const Rows<T>& z, const Rows<const T>& dz,      \
                         const Rows<T>& da, const NormDepthwiseSums<T>& sums) {                  \
    backward(x, norm, taps, scratch, z, dz, da, sums);                                           \
  }                                                                                              \
  void of_norm_##suffix(const Rows<const T>& x, const Rows<const T>& da,                         \
                        const NormBackward<T>* by, const Rows<T>& out, int64_t places,           \
                        bool adds) {                                                             \
    of_norm(x, da, by, out, places, adds);                                                       \
  }
REWIRE_FOR_TYPE(float, 32)
REWIRE_FOR_TYPE(double, 64)
#undef REWIRE_FOR_TYPE

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rewire::kernels {
namespace {

constexpr int64_t kMostLanes = 16;

int64_t whole_vectors(int64_t count) { return (count + kMostLanes - 1) / kMostLanes * kMostLanes; }

template <typename T>
T all_bits() {
  T bits;
  std::memset(&bits, 0xff, sizeof(bits));
  return bits;
}

}  // namespace

template <typename T>
MapScratch<T>::MapScratch(int64_t height, int64_t width, int64_t step)
    : height(height),
      width(width),
      step(step),
      places(height * width),
      padded(whole_vectors(places)) {
  // A tap reads up to width + 1 elements before and behind a map.
  const int64_t margin = whole_vectors(width + 1), copy = margin + padded + margin;
  memory_.resize(kMostLanes + 3 * padded + 2 * 3 * copy + 2 * padded);
  T* next = memory_.data();
  while (reinterpret_cast<uintptr_t>(next) % (kMostLanes * sizeof(float)) != 0) ++next;
  const auto take = [&next](int64_t count) { return std::exchange(next, next + count); };
  T* masks[] = {take(padded), take(padded), take(padded)};
  for (int64_t p = 0; p < places; ++p) {
    masks[0][p] = all_bits<T>();
    if (p % width != width - 1) masks[1][p] = all_bits<T>();
    if (p % width != 0) masks[2][p] = all_bits<T>();
  }
  all = masks[0];
  not_last = masks[1];
  not_first = masks[2];
  for (Copies* copies : {&y, &grad_z}) {
    copies->all = take(copy) + margin;
    copies->not_last = take(copy) + margin;
    copies->not_first = take(copy) + margin;
  }
  x = take(padded);
  out = take(padded);
}

template class MapScratch<float>;
template class MapScratch<double>;

#define REWIRE_EXPORT(T, suffix)                                                                  \
  HWY_EXPORT(moments_##suffix);                                                                   \
  HWY_EXPORT(forward_##suffix);                                                                   \
  HWY_EXPORT(backward_##suffix);                                                                  \
  HWY_EXPORT(of_norm_##suffix);                                                                   \
  template <>                                                                                     \
  void row_moments(const Rows<const T>& x, MapScratch<T>& scratch, T* mean, T* deviation) {       \
    HWY_DYNAMIC_DISPATCH(moments_##suffix)(x, scratch, mean, deviation);                          \
  }                                                                                               \
  template <>                                                                                     \
  void norm_depthwise(const Rows<const T>& x, const Norm<T>& norm, const T* taps,                 \
                      MapScratch<T>& scratch, const Rows<T>& z) {                                 \
    HWY_DYNAMIC_DISPATCH(forward_##suffix)(x, norm, taps, scratch, z);                            \
  }                                                                                               \
  template <>                                                                                     \
  void norm_depthwise_backward(const Rows<const T>& x, const Norm<T>& norm, const T* taps,        \
                               MapScratch<T>& scratch, const Rows<T>& z, const Rows<const T>& dz, \
                               const Rows<T>& da, const NormDepthwiseSums<T>& sums) {             \
    HWY_DYNAMIC_DISPATCH(backward_##suffix)(x, norm, taps, scratch, z, dz, da, sums);             \
  }                                                                                               \
  template <>                                                                                     \
  void norm_backward(const Rows<const T>& x, const Rows<const T>& da, const NormBackward<T>* by,  \
                     const Rows<T>& out, int64_t places, bool adds) {                             \
    HWY_DYNAMIC_DISPATCH(of_norm_##suffix)(x, da, by, out, places, adds);                         \
  }
REWIRE_EXPORT(float, 32)
REWIRE_EXPORT(double, 64)
#undef REWIRE_EXPORT

}  // namespace rewire::kernels
#endif  // HWY_ONCE
