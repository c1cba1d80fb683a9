#include "kernels/cpu/columns.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/columns.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/sparse_product.h"
#include "kernels/cpu/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void transpose32(const float* in, int64_t in_stride, int64_t num_rows, int64_t num_columns,
                 float* out, int64_t out_stride) {
  transpose(in, in_stride, num_rows, num_columns, out, out_stride);
}
void transpose64(const double* in, int64_t in_stride, int64_t num_rows, int64_t num_columns,
                 double* out, int64_t out_stride) {
  transpose(in, in_stride, num_rows, num_columns, out, out_stride);
}

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rewire::kernels {
namespace {

HWY_EXPORT(transpose32);
HWY_EXPORT(transpose64);

void transpose(const float* in, int64_t in_stride, int64_t num_rows, int64_t num_columns,
               float* out, int64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(transpose32)(in, in_stride, num_rows, num_columns, out, out_stride);
}
void transpose(const double* in, int64_t in_stride, int64_t num_rows, int64_t num_columns,
               double* out, int64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(transpose64)(in, in_stride, num_rows, num_columns, out, out_stride);
}

// Calls f(image, its first place, column in the tile, number of places) for each image's share.
template <typename F>
void for_each_image(int64_t places, int64_t begin, int64_t end, F&& f) {
  for (int64_t column = begin; column < end;) {
    const int64_t image = column / places;
    const int64_t stop = std::min(end, (image + 1) * places);
    f(image, column - image * places, column - begin, stop - column);
    column = stop;
  }
}

}  // namespace

template <typename T>
void pack(const Maps<const T>& maps, int64_t begin, int64_t end, T* rows) {
  if (maps.places == 1) {
    transpose(maps.data + begin * maps.stride, maps.stride, end - begin, maps.channels, rows,
              kTile);
  } else {
    for_each_image(maps.places, begin, end,
                   [&](int64_t image, int64_t place, int64_t column, int64_t count) {
                     const T* in = maps.data + image * maps.stride + place;
                     for (int64_t c = 0; c < maps.channels; ++c) {
                       std::copy_n(in + c * maps.places, count, rows + c * kTile + column);
                     }
                   });
  }
  const int64_t missing = kTile - (end - begin);
  if (missing == 0) return;
  for (int64_t c = 0; c < maps.channels; ++c) {
    std::fill_n(rows + c * kTile + (end - begin), missing, T{0});
  }
}

template <typename T>
void unpack(const T* rows, int64_t begin, int64_t end, const Maps<T>& maps) {
  if (maps.places == 1) {
    transpose(rows, kTile, maps.channels, end - begin, maps.data + begin * maps.stride,
              maps.stride);
    return;
  }
  for_each_image(maps.places, begin, end,
                 [&](int64_t image, int64_t place, int64_t column, int64_t count) {
                   T* out = maps.data + image * maps.stride + place;
                   for (int64_t c = 0; c < maps.channels; ++c) {
                     std::copy_n(rows + c * kTile + column, count, out + c * maps.places);
                   }
                 });
}

template void pack(const Maps<const float>&, int64_t, int64_t, float*);
template void pack(const Maps<const double>&, int64_t, int64_t, double*);
template void unpack(const float*, int64_t, int64_t, const Maps<float>&);
template void unpack(const double*, int64_t, int64_t, const Maps<double>&);

}  // namespace rewire::kernels
#endif  // HWY_ONCE
