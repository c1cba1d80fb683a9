// A tile of out, some rows by two vectors, stays in registers while k goes by: each step loads two
// vectors of b and takes one number of each row of a, as an operand in memory that is broadcast. A
// panel of b, two vectors wide, is copied to where it lies in the first cache for all rows of a,
// which need no copy: they are read along k.
#include "kernels/cpu/dense_product.h"

#include <algorithm>
#include <array>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dense_product.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
using Tag = hn::ScalableTag<T>;

// Of 32 registers, or of 16: two for each row of a tile, two for b.
constexpr int kMostRows = HWY_MAX_BYTES >= 64 ? 14 : 6;

// A panel of b in bytes: three quarters of a first cache of 32 KB, the rest is for the rows of a.
constexpr int64_t kPanelBytes = 24 << 10;

// A panel's rows are of vectors whose size is known here.
static_assert(!HWY_HAVE_SCALABLE);

template <typename T>
constexpr int64_t kWidth = 2 * hn::MaxLanes(Tag<T>());

// Of those, so many are copied at once: memory is read in longer runs.
constexpr int64_t kPanels = 4;

template <typename T>
constexpr int64_t kDepth = kPanelBytes / int64_t(sizeof(T)) / kWidth<T>;

// out = start + a * panel, for kRows rows and the first `width` columns of the panel.
template <typename T, int kRows>
void product_tile(Matrix<const T> a, const T* HWY_RESTRICT panel, int64_t depth, Matrix<T> out,
                  int64_t width, Start start, const T* bias) {
  const Tag<T> d;
  const int64_t lanes = hn::Lanes(d);
  hn::Vec<Tag<T>> left[kRows], right[kRows];
  for (int row = 0; row < kRows; ++row) {
    left[row] = right[row] = hn::Set(d, start == Start::kBias ? bias[row] : T{0});
    constexpr int kWritten = 1;
    __builtin_prefetch(out.data + row * out.stride, kWritten);
    __builtin_prefetch(out.data + row * out.stride + std::min(lanes, width - 1), kWritten);
  }
  // A base for three rows, which an address reaches by 0, 1 and 2 strides.
  constexpr int kBases = (kRows + 2) / 3;
  const T* base[kBases];
  for (int i = 0; i < kBases; ++i) base[i] = a.data + 3 * i * a.stride;
  for (int64_t k = 0; k < depth; ++k, panel += kWidth<T>) {
    const auto b0 = hn::Load(d, panel), b1 = hn::Load(d, panel + lanes);
    HWY_UNROLL(14)
    for (int row = 0; row < kRows; ++row) {
      const auto factor = hn::Set(d, base[row / 3][k + row % 3 * a.stride]);
      left[row] = hn::MulAdd(factor, b0, left[row]);
      right[row] = hn::MulAdd(factor, b1, right[row]);
    }
  }
  const bool adds = start == Start::kTarget;
  const auto store = [&](auto sum, T* to, int64_t count) HWY_ATTR {
    if (count >= lanes) {
      hn::StoreU(adds ? hn::Add(hn::LoadU(d, to), sum) : sum, d, to);
    } else if (count > 0) {  // what lies behind these is another's
      HWY_ALIGN T sums[kWidth<T>];
      hn::Store(sum, d, sums);
      for (int64_t i = 0; i < count; ++i) to[i] = adds ? to[i] + sums[i] : sums[i];
    }
  };
  for (int row = 0; row < kRows; ++row) {
    store(left[row], out.data + row * out.stride, width);
    store(right[row], out.data + row * out.stride + lanes, width - lanes);
  }
}

template <typename T>
using Tile = void (*)(Matrix<const T>, const T*, int64_t, Matrix<T>, int64_t, Start, const T*);

// That of 1 row, of 2, and so on.
template <typename T, int... kRows>
constexpr std::array<Tile<T>, kMostRows> tiles(std::integer_sequence<int, kRows...>) {
  return {product_tile<T, kRows + 1>...};
}

enum class Right { kAsItLies, kTransposed };

// Where b is narrower than its panels, the last has zeros.
template <typename T, Right kRight>
void copy_panels(Matrix<const T> b, int64_t columns, int64_t depth,
                 T (*panels)[kDepth<T> * kWidth<T>]) {
  const int64_t whole = columns / kWidth<T>, rest = columns % kWidth<T>;
  if (rest > 0) std::fill_n(panels[whole], depth * kWidth<T>, T{0});
  if constexpr (kRight == Right::kTransposed) {
    for (int64_t column = 0; column < columns; column += kWidth<T>) {
      transpose(b.data + column * b.stride, b.stride, std::min(kWidth<T>, columns - column), depth,
                panels[column / kWidth<T>], kWidth<T>);
    }
  } else {
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t column = 0; column < columns; column += kWidth<T>) {
        std::copy_n(b.data + k * b.stride + column, std::min(kWidth<T>, columns - column),
                    panels[column / kWidth<T>] + k * kWidth<T>);
      }
    }
  }
}

template <typename T, Right kRight>
void product(Matrix<const T> a, Matrix<const T> b, Matrix<T> out, int64_t m, int64_t n, int64_t k,
             Start start, const T* bias) {
  static constexpr auto kTiles = tiles<T>(std::make_integer_sequence<int, kMostRows>());
  HWY_ALIGN T panels[kPanels][kDepth<T> * kWidth<T>];
  const int64_t slices = std::max<int64_t>(1, (k + kDepth<T> - 1) / kDepth<T>);
  const int64_t tiles = (m + kMostRows - 1) / kMostRows;
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t first = k * i / slices, depth = k * (i + 1) / slices - first;
    for (int64_t group = 0; group < n; group += kPanels * kWidth<T>) {
      const int64_t end = std::min(n, group + kPanels * kWidth<T>);
      copy_panels<T, kRight>(kRight == Right::kTransposed
                                 ? Matrix<const T>{b.data + group * b.stride + first, b.stride}
                                 : Matrix<const T>{b.data + first * b.stride + group, b.stride},
                             end - group, depth, panels);
      for (int64_t column = group; column < end; column += kWidth<T>) {
        const T* panel = panels[(column - group) / kWidth<T>];
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int64_t row = m * tile / tiles, rows = m * (tile + 1) / tiles - row;
          kTiles[rows - 1]({a.data + row * a.stride + first, a.stride}, panel, depth,
                           {out.data + row * out.stride + column, out.stride}, end - column,
                           i == 0 ? start : Start::kTarget, bias ? bias + row : nullptr);
        }
      }
    }
  }
}

void product32(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, int64_t m,
               int64_t n, int64_t k, Start start, const float* bias) {
  product<float, Right::kAsItLies>(a, b, out, m, n, k, start, bias);
}

void product64(Matrix<const double> a, Matrix<const double> b, Matrix<double> out, int64_t m,
               int64_t n, int64_t k, Start start, const double* bias) {
  product<double, Right::kAsItLies>(a, b, out, m, n, k, start, bias);
}

void product_transposed32(Matrix<const float> a, Matrix<const float> b, Matrix<float> out,
                          int64_t m, int64_t n, int64_t k) {
  product<float, Right::kTransposed>(a, b, out, m, n, k, Start::kTarget, nullptr);
}

void product_transposed64(Matrix<const double> a, Matrix<const double> b, Matrix<double> out,
                          int64_t m, int64_t n, int64_t k) {
  product<double, Right::kTransposed>(a, b, out, m, n, k, Start::kTarget, nullptr);
}

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rewire::kernels {

HWY_EXPORT(product32);
HWY_EXPORT(product64);
HWY_EXPORT(product_transposed32);
HWY_EXPORT(product_transposed64);

template <>
void dense_product(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, int64_t m,
                   int64_t n, int64_t k, Start start, const float* bias) {
  HWY_DYNAMIC_DISPATCH(product32)(a, b, out, m, n, k, start, bias);
}

template <>
void dense_product(Matrix<const double> a, Matrix<const double> b, Matrix<double> out, int64_t m,
                   int64_t n, int64_t k, Start start, const double* bias) {
  HWY_DYNAMIC_DISPATCH(product64)(a, b, out, m, n, k, start, bias);
}

template <>
void add_product_transposed(Matrix<const float> a, Matrix<const float> b, Matrix<float> out,
                            int64_t m, int64_t n, int64_t k) {
  HWY_DYNAMIC_DISPATCH(product_transposed32)(a, b, out, m, n, k);
}

template <>
void add_product_transposed(Matrix<const double> a, Matrix<const double> b, Matrix<double> out,
                            int64_t m, int64_t n, int64_t k) {
  HWY_DYNAMIC_DISPATCH(product_transposed64)(a, b, out, m, n, k);
}

}  // namespace rewire::kernels
#endif  // HWY_ONCE
