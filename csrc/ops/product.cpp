#include "ops/product.h"

#include <ATen/Dispatch.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/sparse_product.h"
#include "ops/structure.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using kernels::EdgeStream;
using kernels::kTile;

// The columns of a batch, and how a product goes through them. Maps of whole vectors are read where
// they lie; others in tiles of columns, across images, that are copied to rows side by side.
struct Columns {
  int64_t batch = 0;
  int64_t places = 0;

  // 64 bytes: a vector that straddles two cache lines takes twice the time to load.
  bool direct(int64_t element_size) const {
    return places >= kTile && places * element_size % 64 == 0;
  }
  int64_t count() const { return batch * places; }
  // Units of work: whole images in long maps' tiles, or tiles across images.
  int64_t tiles_per_image() const { return (places + kTile - 1) / kTile; }
};

// A buffer that is aligned to cache lines.
template <typename T>
Tensor scratch(const Tensor& like, int64_t channels) {
  return at::empty({channels * kTile}, like.options().dtype(c10::CppTypeToScalarType<T>::value));
}

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
    for_each_share(columns.batch * tiles, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / tiles, place = i % tiles * kTile;
        const T* from = in + image * sources * places + place;
        T* sums = to + image * targets * places + place;
        kernels::Ahead<T> ahead;
        if (i + 1 < end) ahead = {from + sources * places, sums + targets * places};
        kernels::sparse_product(stream, from, sums, places, std::min(kTile, places - place), start,
                                with, ahead);
      }
    });
    return;
  }
  for_each_share((columns.count() + kTile - 1) / kTile, [&](int64_t first, int64_t last) {
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

int64_t source_stride(const Columns& columns, int64_t element_size) {
  return columns.direct(element_size) ? columns.places : kTile;
}

// The product with the edges of `edges`, whose weights stand at order[position] of values, or at
// position.
Tensor multiply_sparse(const kernels::Edges& edges, const Tensor& input, const Tensor& values,
                       const int32_t* order, const std::optional<Tensor>& bias) {
  const Columns columns{input.size(0), input.size(2)};
  Tensor out = at::empty({columns.batch, edges.num_targets, columns.places}, input.options());
  if (out.numel() == 0) return out;
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "product", [&] {
    const auto* weights = values.const_data_ptr<scalar_t>();
    const int64_t stride = source_stride(columns, sizeof(scalar_t));
    const auto stream = kernels::stream_edges<scalar_t>(
        edges, stride, kernels::panel_bits(edges, stride),
        [&](int64_t, int64_t, int64_t e) { return weights[order ? order[e] : e]; });
    multiply(stream, columns, input, bias, out);
  });
  return out;
}

// The gradient of all edges of a stream, in its order.
template <typename T>
void add_grad_edges(const EdgeStream<T>& stream, const Columns& columns, const Tensor& input,
                    const Tensor& grad_output, int64_t first_target, T* sums) {
  const T* in = input.const_data_ptr<T>();
  const T* grad = grad_output.const_data_ptr<T>();
  const int64_t sources = input.size(1), targets = grad_output.size(1), places = columns.places;
  if (columns.direct(sizeof(T))) {
    for (int64_t image = 0; image < columns.batch; ++image) {
      kernels::sparse_product_grad_edges(stream, in + image * sources * places,
                                         grad + (image * targets + first_target) * places, places,
                                         places, sums);
    }
    return;
  }
  const int64_t own = stream.num_targets;
  const Tensor in_rows = scratch<T>(input, sources), grad_rows = scratch<T>(input, own);
  for (int64_t begin = 0; begin < columns.count(); begin += kTile) {
    const int64_t end = std::min(columns.count(), begin + kTile);
    kernels::pack<T>({in, sources, places, sources * places}, begin, end,
                     in_rows.mutable_data_ptr<T>());
    kernels::pack<T>({grad + first_target * places, own, places, targets * places}, begin, end,
                     grad_rows.mutable_data_ptr<T>());
    kernels::sparse_product_grad_edges(stream, in_rows.const_data_ptr<T>(),
                                       grad_rows.const_data_ptr<T>(), kTile, kTile, sums);
  }
}

// Threads share the outputs, and not the columns: each sums its edges over all columns, in an order
// that does not depend on their number.
Tensor grad_values_sparse(const Tensor& grad, const Tensor& input, const Structure& structure) {
  const Columns columns{input.size(0), input.size(2)};
  Tensor out = at::zeros({structure.columns.numel()}, input.options());
  if (columns.count() == 0 || out.numel() == 0) return out;
  const int64_t targets = grad.size(1);
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "product_grad_values", [&] {
    auto* to = out.mutable_data_ptr<scalar_t>();
    const int64_t stride = source_stride(columns, sizeof(scalar_t));
    const int bits = kernels::panel_bits(by_output(structure), stride);
    for_each_share(targets, [&](int64_t first, int64_t last) {
      kernels::Edges edges = by_output(structure);
      edges.first_target = first;
      edges.num_targets = last - first;
      const auto stream = kernels::stream_edges<scalar_t>(
          edges, stride, bits, [](int64_t, int64_t, int64_t) { return scalar_t{0}; });
      std::vector<scalar_t> sums(stream.edges.size());
      add_grad_edges(stream, columns, input, grad, first, sums.data());
      for (size_t i = 0; i < sums.size(); ++i) to[stream.positions[i]] = sums[i];
    });
  });
  return out;
}

// The dense layer that torch itself is fastest with: weight [out, in]. In the dtype of its
// arguments, as the sparse one is, under autocast too.
Tensor multiply_dense(const Tensor& input, const Tensor& weight,
                      const std::optional<Tensor>& bias) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (input.size(2) == 1) {
    return at::linear(input.squeeze(2), weight, bias.value_or(Tensor())).unsqueeze(2);
  }
  return at::conv2d(input.unsqueeze(3), weight.view({weight.size(0), weight.size(1), 1, 1}),
                    bias.value_or(Tensor()))
      .squeeze(3);
}

// grad [batch, out, places], input [batch, in, places] -> [out, in]
Tensor grad_weight_dense(const Tensor& grad, const Tensor& input) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (input.size(2) == 1) return at::mm(grad.squeeze(2).t(), input.squeeze(2));
  // The weight gradient asks for the weight's shape alone.
  const Tensor weight = at::empty({grad.size(1), input.size(1), 1, 1}, input.options());
  return std::get<1>(at::convolution_backward(grad.unsqueeze(3), input.unsqueeze(3), weight,
                                              at::OptionalIntArrayRef(), {1, 1}, {0, 0}, {1, 1},
                                              false, {0, 0}, 1, {false, true, false}))
      .flatten(1);
}

// What torch's convolutions refuse.
bool is_empty(const Tensor& maps, const Structure& structure) {
  return maps.numel() == 0 || structure.row_offsets.numel() == 1 ||
         structure.column_offsets.numel() == 1;
}

}  // namespace

Tensor product(const Tensor& input, const Tensor& values, const std::optional<Tensor>& bias,
               const Structure& structure, Execution execution) {
  if (execution == Execution::kSparse || is_empty(input, structure)) {
    return multiply_sparse(by_output(structure), input, values, nullptr, bias);
  }
  return multiply_dense(input,
                        edge_matrix(values, structure.row_offsets, structure.columns,
                                    structure.column_offsets.numel() - 1),
                        bias);
}

Tensor product_grad_input(const Tensor& grad, const Tensor& values, const Structure& structure,
                          Execution execution) {
  if (execution == Execution::kSparse || is_empty(grad, structure)) {
    return multiply_sparse(by_input(structure), grad, values,
                           structure.order.const_data_ptr<int32_t>(), std::nullopt);
  }
  return multiply_dense(grad,
                        edge_matrix(values, structure.row_offsets, structure.columns,
                                    structure.column_offsets.numel() - 1)
                            .t()
                            .contiguous(),
                        std::nullopt);
}

Tensor product_grad_values(const Tensor& grad, const Tensor& input, const Structure& structure,
                           Execution execution) {
  if (execution == Execution::kSparse || is_empty(input, structure)) {
    return grad_values_sparse(grad, input, structure);
  }
  return edge_values(grad_weight_dense(grad, input), structure.row_offsets, structure.columns);
}

}  // namespace rewire::ops
