#include "kernels/cpu/columns.h"

#include <algorithm>

#include "kernels/cpu/sparse_product.h"

namespace rewire::kernels {
namespace {

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

// out[j][i] = in[i][j]: in blocks, since one side of each step of a transposition is a cache line
// away.
template <typename T>
void transpose(const T* __restrict in, int64_t in_stride, int64_t num_rows, int64_t num_columns,
               T* __restrict out, int64_t out_stride) {
  constexpr int64_t kBlock = 16;
  for (int64_t column = 0; column < num_columns; column += kBlock) {
    const int64_t stop = std::min(num_columns, column + kBlock);
    for (int64_t row = 0; row < num_rows; row += kBlock) {
      const int64_t last = std::min(num_rows, row + kBlock);
      for (int64_t j = column; j < stop; ++j) {
        for (int64_t i = row; i < last; ++i) out[j * out_stride + i] = in[i * in_stride + j];
      }
    }
  }
}

}  // namespace

template <typename T>
void pack(const Maps<const T>& maps, int64_t begin, int64_t end, T* rows) {
  if (maps.places == 1) {
    transpose(maps.data + begin * maps.channels, maps.channels, end - begin, maps.channels, rows,
              kTile);
  } else {
    for_each_image(maps.places, begin, end,
                   [&](int64_t image, int64_t place, int64_t column, int64_t count) {
                     const T* in = maps.data + image * maps.channels * maps.places + place;
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
    transpose(rows, kTile, maps.channels, end - begin, maps.data + begin * maps.channels,
              maps.channels);
    return;
  }
  for_each_image(maps.places, begin, end,
                 [&](int64_t image, int64_t place, int64_t column, int64_t count) {
                   T* out = maps.data + image * maps.channels * maps.places + place;
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
