#include "ops/dense_product.h"

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>

#include "kernels/cpu/dense_product.h"
#include "ops/sparse_columns.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using kernels::kTile;

template <typename T>
void multiply(const Tensor& input, const Tensor& weight, const T* bias, Tensor& out) {
  const Columns columns{input.size(0), input.size(2)};
  const int64_t sources = input.size(1), targets = out.size(1), places = columns.places;
  const kernels::Matrix<const T> by{weight.const_data_ptr<T>(), sources};
  const T* in = input.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  const auto start = bias ? kernels::Start::kBias : kernels::Start::kZero;
  const bool direct = columns.direct(sizeof(T));
  at::parallel_for(0, columns.tiles(sizeof(T)), 1, [&](int64_t first, int64_t last) {
    const Tensor in_rows = scratch<T>(input, direct ? 0 : sources);
    const Tensor out_rows = scratch<T>(input, direct ? 0 : targets);
    T *from = in_rows.mutable_data_ptr<T>(), *sums = out_rows.mutable_data_ptr<T>();
    for (int64_t tile = first; tile < last; ++tile) {
      if (direct) {
        const int64_t image = tile / columns.tiles_per_image();
        const int64_t place = tile % columns.tiles_per_image() * kTile;
        const int64_t count = std::min(kTile, places - place);
        T* part = to + image * targets * places + place;
        kernels::dense_product<T>(by, {in + image * sources * places + place, places},
                                  {part, places}, targets, count, sources, start, bias);
        continue;
      }
      const int64_t begin = tile * kTile, end = std::min(columns.count(), begin + kTile);
      kernels::pack<T>({in, sources, places, sources * places}, begin, end, from);
      kernels::dense_product<T>(by, {from, kTile}, {sums, kTile}, targets, kTile, sources, start,
                                bias);
      kernels::unpack<T>(sums, begin, end, {to, targets, places, targets * places});
    }
  });
}

// Rows of channels, whatever the image. Rows a power of two apart would share a cache's places.
Tensor by_channel(const Tensor& maps) {
  constexpr int64_t kGap = 16;
  const int64_t batch = maps.size(0), places = maps.size(2), columns = batch * places;
  const Tensor rows =
      at::empty({maps.size(1), columns + kGap}, maps.options()).narrow(1, 0, columns);
  rows.unflatten(1, {batch, places}).copy_(maps.transpose(0, 1));
  return rows;
}

}  // namespace

Tensor multiply_dense(const Tensor& input, const Tensor& weight,
                      const std::optional<Tensor>& bias) {
  if (input.size(2) == 1) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    return at::linear(input.squeeze(2), weight, bias.value_or(Tensor())).unsqueeze(2);
  }
  Tensor out = at::empty({input.size(0), weight.size(0), input.size(2)}, input.options());
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "multiply_dense", [&] {
    multiply<scalar_t>(input, weight, bias ? bias->const_data_ptr<scalar_t>() : nullptr, out);
  });
  return out;
}

Tensor grad_weight_dense(const Tensor& grad, const Tensor& input) {
  const bool lines = input.size(2) == 1;  // which are the right side as they lie
  const Tensor left = by_channel(grad), right = lines ? input : by_channel(input);
  const int64_t m = grad.size(1), n = input.size(1), k = left.size(1);
  Tensor out = at::zeros({m, n}, grad.options());
  AT_DISPATCH_FLOATING_TYPES(grad.scalar_type(), "grad_weight_dense", [&] {
    // A number of the result is one thread's, so that it does not depend on how many there are.
    constexpr int64_t kGrain = 32;
    at::parallel_for(0, std::max(m, n), kGrain, [&](int64_t begin, int64_t end) {
      const bool by_row = m >= n;
      const int64_t row = by_row ? begin : 0, rows = by_row ? end - begin : m;
      const int64_t column = by_row ? 0 : begin, columns = by_row ? n : end - begin;
      const int64_t a_stride = left.stride(0), b_stride = right.stride(0);
      const kernels::Matrix<const scalar_t> a{left.const_data_ptr<scalar_t>() + row * a_stride,
                                              a_stride};
      const scalar_t* b = right.const_data_ptr<scalar_t>() + column * (lines ? 1 : b_stride);
      const kernels::Matrix<scalar_t> to{out.mutable_data_ptr<scalar_t>() + row * n + column, n};
      if (lines) {
        kernels::dense_product(a, {b, b_stride}, to, rows, columns, k, kernels::Start::kTarget);
      } else {
        kernels::add_product_transposed(a, {b, b_stride}, to, rows, columns, k);
      }
    });
  });
  return out;
}

}  // namespace rewire::ops
