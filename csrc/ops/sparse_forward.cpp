// The sparse product on the CPU, forward.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "ops/sparse_columns.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using kernels::EdgeStream;
using kernels::kTile;

// Calls f(begin, end) with shares of `count`, one a thread.
template <typename F>
void for_each_share(int64_t count, F&& f) {
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) { f(begin, end); });
}

template <typename T>
void multiply(const EdgeStream<T>& stream, const Columns& columns, const Tensor& input,
              const std::optional<Tensor>& bias, Tensor& out) {
  const T* in = input.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  const T* with = bias ? bias->const_data_ptr<T>() : nullptr;
  const auto start = bias ? kernels::Start::kBias : kernels::Start::kZero;
  const int64_t sources = input.size(1), targets = out.size(1), places = columns.places;
  if (columns.direct(sizeof(T))) {
    const int64_t tiles = columns.tiles_per_image();
    const bool past_caches = exceed_caches(input, out);
    for_each_share(columns.tiles(sizeof(T)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / tiles, place = i % tiles * kTile;
        const T* from = in + image * sources * places + place;
        T* sums = to + image * targets * places + place;
        kernels::Traffic<T> traffic{.past_caches = past_caches};
        if (i + 1 < end) {
          traffic.next_source = from + sources * places;
          if (!past_caches || stream.num_panels > 1) traffic.next_target = sums + targets * places;
        }
        kernels::sparse_product(stream, from, sums, places, std::min(kTile, places - place), start,
                                with, traffic);
      }
    });
    return;
  }
  for_each_share(columns.tiles(sizeof(T)), [&](int64_t first, int64_t last) {
    const Tensor in_rows = scratch<T>(input, sources), out_rows = scratch<T>(input, targets);
    T* from = in_rows.mutable_data_ptr<T>();
    T* sums = out_rows.mutable_data_ptr<T>();
    for (int64_t tile = first; tile < last; ++tile) {
      const int64_t begin = tile * kTile, end = std::min(columns.count(), begin + kTile);
      kernels::pack<T>({in, sources, places, sources * places}, begin, end, from);
      kernels::sparse_product(stream, from, sums, kTile, kTile, start, with);
      kernels::unpack<T>(sums, begin, end, {to, targets, places, targets * places});
    }
  });
}

}  // namespace

Tensor multiply_sparse(const kernels::Edges& edges, const Tensor& input, const Tensor& values,
                       const int32_t* order, const std::optional<Tensor>& bias) {
  const Columns columns{input.size(0), input.size(2)};
  Tensor out = at::empty({columns.batch, edges.num_targets, columns.places}, input.options());
  if (out.numel() == 0) return out;
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "product", [&] {
    const int64_t stride = columns.stride(sizeof(scalar_t));
    multiply(weighted_edges<scalar_t>(edges, values, order, stride), columns, input, bias, out);
  });
  return out;
}

}  // namespace rewire::ops
