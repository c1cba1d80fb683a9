// Transposes rectangles of numbers. Included once for each instruction set.
#if defined(REWIRE_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REWIRE_TRANSPOSE_INL_H_
#undef REWIRE_TRANSPOSE_INL_H_
#else
#define REWIRE_TRANSPOSE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

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

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // REWIRE_TRANSPOSE_INL_H_, once a target
