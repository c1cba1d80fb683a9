// sparse_pointwise and its derivative on a CUDA device. The structure is trusted, and nothing waits
// for the device.
#include "kernels/cuda/sparse_product.h"

#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include "ops/cuda/stream.h"
#include "ops/pointwise.h"
#include "ops/product.h"
#include "ops/structure.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using kernels::cuda::Edges;
using Bias = std::optional<Tensor>;

// Density below which a sparse product should be the faster one: an estimate for an H200, where
// everything but dense float32 is bound by memory. Measuring would wait for the device.
double crossover(at::ScalarType dtype) {
  if (dtype == at::kHalf || dtype == at::kBFloat16) return 0.02;
  if (dtype == at::kFloat && at::globalContext().allowTF32CuBLAS()) return 0.035;
  return 0.22;
}

bool is_sparse(std::string_view execution, const Structure& s, at::ScalarType dtype) {
  if (execution != "auto") return execution == "sparse";
  const double candidates =
      double(s.row_offsets.numel() - 1) * double(s.column_offsets.numel() - 1);
  return double(s.columns.numel()) < crossover(dtype) * candidates;
}

// Maps in which lanes find neighbouring places: [batch, channels, places], or, where maps are
// smaller than a warp, [1, channels, batch * places].
constexpr int64_t kWarp = 32;

Tensor laid_out(const Tensor& tensor) {
  const Tensor maps = maps_of(tensor);
  if (maps.size(2) >= kWarp) return maps;
  return maps.transpose(0, 1).reshape({1, maps.size(1), maps.size(0) * maps.size(2)}).contiguous();
}

// The other way round, like `like` but for its channels.
Tensor as_laid_out(const Tensor& maps, const Tensor& like) {
  const int64_t batch = like.size(0), channels = maps.size(1);
  if (maps.size(0) == batch && batch != 1) return as_output(maps, like);
  const int64_t places = maps.numel() / std::max<int64_t>(1, batch * channels);
  return as_output(maps.view({channels, batch, places}).transpose(0, 1).contiguous(), like);
}

// By output, or turned around: by input, as the gradient of an input needs them.
template <typename T>
Edges<T> edges_of(const Structure& s, const Tensor& values, bool turned) {
  const Tensor &offsets = turned ? s.column_offsets : s.row_offsets,
               &sources = turned ? s.rows : s.columns;
  return {.num_targets = offsets.numel() - 1,
          .num_sources = (turned ? s.row_offsets : s.column_offsets).numel() - 1,
          .offsets = offsets.const_data_ptr<int32_t>(),
          .sources = sources.const_data_ptr<int32_t>(),
          .order = turned ? s.order.const_data_ptr<int32_t>() : nullptr,
          .values = values.const_data_ptr<T>()};
}

Tensor multiply(const Tensor& input, const Tensor& values, const Bias& bias, const Structure& s,
                bool turned) {
  const Tensor maps = laid_out(input), weights = summable(values);
  const Bias with = bias ? Bias(summable(*bias)) : Bias();
  const int64_t targets = (turned ? s.column_offsets : s.row_offsets).numel() - 1;
  const Tensor out = at::empty({maps.size(0), targets, maps.size(2)}, maps.options());
  if (out.numel() > 0) {
    AT_DISPATCH_FLOATING_TYPES(maps.scalar_type(), "sparse_pointwise", [&] {
      kernels::cuda::sparse_product<scalar_t>(
          edges_of<scalar_t>(s, weights, turned), {maps.size(0), maps.size(2)},
          maps.const_data_ptr<scalar_t>(), with ? with->const_data_ptr<scalar_t>() : nullptr,
          out.mutable_data_ptr<scalar_t>(), stream_of(input));
    });
  }
  return as_laid_out(out, input);
}

Tensor grad_values(const Tensor& grad_output, const Tensor& input, const Tensor& values,
                   const Structure& s) {
  const Tensor grad = laid_out(grad_output), maps = laid_out(input);
  const Tensor out = at::empty(values.sizes(), maps.options());
  if (out.numel() > 0) {
    AT_DISPATCH_FLOATING_TYPES(maps.scalar_type(), "sparse_pointwise_backward", [&] {
      kernels::cuda::sparse_product_grad_edges<scalar_t>(
          edges_of<scalar_t>(s, out, false), {maps.size(0), maps.size(2)},
          maps.const_data_ptr<scalar_t>(), grad.const_data_ptr<scalar_t>(),
          out.mutable_data_ptr<scalar_t>(), stream_of(input));
    });
  }
  return out.to(values.scalar_type());
}

Tensor forward_cuda(const Tensor& input, const Tensor& values, const Bias& bias,
                    const Tensor& row_offsets, const Tensor& columns, const Tensor& column_offsets,
                    const Tensor& rows, const Tensor& order, std::string_view execution) {
  const Structure s{row_offsets, columns, column_offsets, rows, order};
  check_pointwise("sparse_pointwise", input, values, bias, s, execution);
  const c10::DeviceGuard guard(input.device());
  if (!is_sparse(execution, s, input.scalar_type())) return composed(input, values, bias, s);
  return multiply(input, values, bias, contiguous(s), false);
}

std::tuple<Tensor, Tensor> backward_cuda(const Tensor& grad_output, const Tensor& input,
                                         const Tensor& values, const Tensor& row_offsets,
                                         const Tensor& columns, const Tensor& column_offsets,
                                         const Tensor& rows, const Tensor& order, bool to_input,
                                         bool to_values, std::string_view execution) {
  const Structure s{row_offsets, columns, column_offsets, rows, order};
  check_pointwise_backward(grad_output, input, values, s, execution);
  const c10::DeviceGuard guard(input.device());
  if (!is_sparse(execution, s, input.scalar_type())) {
    return composed_backward(grad_output, input, values, s, to_input, to_values);
  }
  const Structure edges = contiguous(s);
  return {to_input ? multiply(grad_output, values, std::nullopt, edges, true)
                   : at::empty({0}, input.options()),
          to_values ? grad_values(grad_output, input, values, edges)
                    : at::empty({0}, values.options())};
}

}  // namespace

REWIRE_CUDA_LIBRARY(m) {
  m.impl("sparse_pointwise", forward_cuda);
  m.impl("sparse_pointwise_backward", backward_cuda);
}

}  // namespace rewire::ops
