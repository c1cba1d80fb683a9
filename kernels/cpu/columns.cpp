#include "kernels/cpu/columns.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/columns.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/sparse_product.h"

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A square of vectors of 128 bits.
#if HWY_TARGET == HWY_SCALAR
template <typename T>
constexpr int64_t kSide = 1;

template <typename T>
HWY_INLINE void transpose_square(const T* in, int64_t, T* out, int64_t) {
  *out = *in;
}
#else
template <typename T>
constexpr int64_t kSide = 16 / sizeof(T);

HWY_INLINE void transpose_square(const float* in, int64_t in_stride, float* out,
                                 int64_t out_stride) {
  const hn::FixedTag<float, 4> d;
  const auto a = hn::LoadU(d, in), b = hn::LoadU(d, in + in_stride);
  const auto c = hn::LoadU(d, in + 2 * in_stride), e = hn::LoadU(d, in + 3 * in_stride);
  const auto ab01 = hn::InterleaveLower(d, a, b), ab23 = hn::InterleaveUpper(d, a, b);
  const auto ce01 = hn::InterleaveLower(d, c, e), ce23 = hn::InterleaveUpper(d, c, e);
  hn::StoreU(hn::ConcatLowerLower(d, ce01, ab01), d, out);
  hn::StoreU(hn::ConcatUpperUpper(d, ce01, ab01), d, out + out_stride);
  hn::StoreU(hn::ConcatLowerLower(d, ce23, ab23), d, out + 2 * out_stride);
  hn::StoreU(hn::ConcatUpperUpper(d, ce23, ab23), d, out + 3 * out_stride);
}

HWY_INLINE void transpose_square(const double* in, int64_t in_stride, double* out,
                                 int64_t out_stride) {
  const hn::FixedTag<double, 2> d;
  const auto a = hn::LoadU(d, in), b = hn::LoadU(d, in + in_stride);
  hn::StoreU(hn::InterleaveLower(d, a, b), d, out);
  hn::StoreU(hn::InterleaveUpper(d, a, b), d, out + out_stride);
}
#endif

// out[j][i] = in[i][j]: in blocks, since one side of each step of a transposition is a cache line
// away.
template <typename T>
void transpose(const T* HWY_RESTRICT in, int64_t in_stride, int64_t num_rows, int64_t num_columns,
               T* HWY_RESTRICT out, int64_t out_stride) {
  constexpr int64_t kBlock = 16;
  for (int64_t column = 0; column < num_columns; column += kBlock) {
    const int64_t stop = std::min(num_columns, column + kBlock);
    for (int64_t row = 0; row < num_rows; row += kBlock) {
      const int64_t last = std::min(num_rows, row + kBlock);
      if (stop - column < kBlock || last - row < kBlock) {
        for (int64_t j = column; j < stop; ++j) {
          for (int64_t i = row; i < last; ++i) out[j * out_stride + i] = in[i * in_stride + j];
        }
        continue;
      }
      for (int64_t j = column; j < stop; j += kSide<T>) {
        for (int64_t i = row; i < last; i += kSide<T>) {
          transpose_square(in + i * in_stride + j, in_stride, out + j * out_stride + i, out_stride);
        }
      }
    }
  }
}

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
