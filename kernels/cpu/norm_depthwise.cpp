#include "kernels/cpu/norm_depthwise.h"

#include <algorithm>
#include <cstring>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm_depthwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

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
void moments(const Rows<const T>& x, MapScratch<T>& scratch, T* mean, T* deviation) {
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
  const hn::ScalableTag<T> d;
  for (int64_t c = 0; c < x.count; ++c) {
    load_row(d, x.data + c * x.stride, scratch, scratch.x);
    activate(d, norm.scale[c], norm.shift[c], scratch);
    convolve<false>(d, scratch.y, taps + c * kTaps, scratch);
    store_row(d, scratch.out, scratch, z.data + c * z.stride);
  }
}

// sums[tap] += sum over places of dz times what the tap multiplies with.
template <typename D, typename T>
HWY_INLINE void add_tap_sums(D d, const MapScratch<T>& scratch, T* sums) {
  using V = hn::Vec<D>;
  V parts[kTaps];
  for (int tap = 0; tap < kTaps; ++tap) parts[tap] = hn::Zero(d);
  for (int64_t p = 0; p < scratch.padded; p += hn::Lanes(d)) {
    const V dz = hn::Load(d, scratch.grad_z.all + p);
    for (int tap = 0; tap < kTaps; ++tap) {
      parts[tap] = hn::MulAdd(
          dz, tapped<D, T>(d, scratch.y, scratch.width, tap / 3 - 1, tap % 3 - 1, p), parts[tap]);
    }
  }
  for (int tap = 0; tap < kTaps; ++tap) sums[tap] += hn::GetLane(hn::SumOfLanes(d, parts[tap]));
}

template <typename T>
void backward(const Rows<const T>& x, const Norm<T>& norm, const T* taps, MapScratch<T>& scratch,
              const Rows<T>& z, const Rows<T>& grad, const NormDepthwiseSums<T>& sums) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t c = 0; c < x.count; ++c) {
    load_row(d, x.data + c * x.stride, scratch, scratch.x);
    activate(d, norm.scale[c], norm.shift[c], scratch);
    convolve<false>(d, scratch.y, taps + c * kTaps, scratch);
    store_row(d, scratch.out, scratch, z.data + c * z.stride);

    load_row(d, grad.data + c * grad.stride, scratch, scratch.out);
    for (int64_t p = 0; p < scratch.padded; p += lanes) {
      store_copies(d, hn::Load(d, scratch.out + p), p, scratch, scratch.grad_z);
    }
    add_tap_sums(d, scratch, sums.taps + c * kTaps);
    convolve<true>(d, scratch.grad_z, taps + c * kTaps, scratch);
    const auto center = hn::Set(d, norm.mean[c]);
    auto sum = hn::Zero(d), scaled = hn::Zero(d);
    for (int64_t p = 0; p < scratch.padded; p += lanes) {
      const auto passes = hn::Gt(hn::Load(d, scratch.y.all + p), hn::Zero(d));
      const auto da = hn::IfThenElseZero(passes, hn::Load(d, scratch.out + p));
      hn::Store(da, d, scratch.out + p);
      sum = hn::Add(sum, da);
      scaled = hn::MulAdd(da, hn::Sub(hn::Load(d, scratch.x + p), center), scaled);
    }
    store_row(d, scratch.out, scratch, grad.data + c * grad.stride);
    sums.shift[c] += hn::GetLane(hn::SumOfLanes(d, sum));
    sums.scaled[c] += hn::GetLane(hn::SumOfLanes(d, scaled));
  }
}

template <typename T>
void add_backward(const Rows<const T>& x, const Rows<const T>& grad, const NormBackward<T>* by,
                  const Rows<T>& out, int64_t places) {
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
      hn::StoreU(hn::Add(hn::LoadU(d, to + p), more), d, to + p);
    }
    for (; p < places; ++p) {
      to[p] += da[p] * by[c].of_grad + ((from[p] - by[c].mean) * by[c].of_x + by[c].plus);
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
                         MapScratch<T>& scratch, const Rows<T>& z, const Rows<T>& grad,          \
                         const NormDepthwiseSums<T>& sums) {                                     \
    backward(x, norm, taps, scratch, z, grad, sums);                                             \
  }                                                                                              \
  void add_backward_##suffix(const Rows<const T>& x, const Rows<const T>& grad,                  \
                             const NormBackward<T>* by, const Rows<T>& out, int64_t places) {    \
    add_backward(x, grad, by, out, places);                                                      \
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
MapScratch<T>::MapScratch(int64_t height, int64_t width)
    : width(width), places(height * width), padded(whole_vectors(places)) {
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

#define REWIRE_EXPORT(T, suffix)                                                              \
  HWY_EXPORT(moments_##suffix);                                                               \
  HWY_EXPORT(forward_##suffix);                                                               \
  HWY_EXPORT(backward_##suffix);                                                              \
  HWY_EXPORT(add_backward_##suffix);                                                          \
  template <>                                                                                 \
  void row_moments(const Rows<const T>& x, MapScratch<T>& scratch, T* mean, T* deviation) {   \
    HWY_DYNAMIC_DISPATCH(moments_##suffix)(x, scratch, mean, deviation);                      \
  }                                                                                           \
  template <>                                                                                 \
  void norm_depthwise(const Rows<const T>& x, const Norm<T>& norm, const T* taps,             \
                      MapScratch<T>& scratch, const Rows<T>& z) {                             \
    HWY_DYNAMIC_DISPATCH(forward_##suffix)(x, norm, taps, scratch, z);                        \
  }                                                                                           \
  template <>                                                                                 \
  void norm_depthwise_backward(const Rows<const T>& x, const Norm<T>& norm, const T* taps,    \
                               MapScratch<T>& scratch, const Rows<T>& z, const Rows<T>& grad, \
                               const NormDepthwiseSums<T>& sums) {                            \
    HWY_DYNAMIC_DISPATCH(backward_##suffix)(x, norm, taps, scratch, z, grad, sums);           \
  }                                                                                           \
  template <>                                                                                 \
  void add_norm_backward(const Rows<const T>& x, const Rows<const T>& grad,                   \
                         const NormBackward<T>* by, const Rows<T>& out, int64_t places) {     \
    HWY_DYNAMIC_DISPATCH(add_backward_##suffix)(x, grad, by, out, places);                    \
  }
REWIRE_EXPORT(float, 32)
REWIRE_EXPORT(double, 64)
#undef REWIRE_EXPORT

}  // namespace rewire::kernels
#endif  // HWY_ONCE
