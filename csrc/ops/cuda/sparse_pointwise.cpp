// sparse_pointwise and its derivative on a CUDA device. The structure is trusted, and nothing waits
// for the device.
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>

#include "ops/cuda/product.h"
#include "ops/cuda/stream.h"
#include "ops/pointwise.h"
#include "ops/structure.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using Bias = std::optional<Tensor>;

bool is_sparse(std::string_view execution, const Structure& s, const Tensor& input) {
  const cuda::Part part = cuda::whole(s);
  const double candidates = double(part.num_rows) * double(part.num_columns);
  const double density = double(s.columns.numel()) / std::max(1.0, candidates);
  return resolve_execution(execution, density, input.device(), input.scalar_type()) ==
         Execution::kSparse;
}

// Maps in which lanes find neighbouring places: [batch, channels, places], or, where those are
// fewer than the lanes of a warp, [1, channels, batch * places].
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

Tensor multiply(const Tensor& input, const Tensor& values, const Bias& bias, const Structure& s,
                bool transposed) {
  const Tensor maps = laid_out(input), weights = summable(values);
  const cuda::Part part = cuda::whole(s);
  const Tensor out = at::empty(
      {maps.size(0), transposed ? part.num_columns : part.num_rows, maps.size(2)}, maps.options());
  cuda::multiply({s, weights, part, transposed}, maps, bias ? Bias(summable(*bias)) : Bias(), false,
                 out);
  return as_laid_out(out, input);
}

Tensor grad_values(const Tensor& grad_output, const Tensor& input, const Tensor& values,
                   const Structure& s) {
  const Tensor maps = laid_out(input), out = at::empty(values.sizes(), maps.options());
  cuda::grad_edges(s, cuda::whole(s), maps, laid_out(grad_output), out);
  return out.to(values.scalar_type());
}

Tensor forward_cuda(const Tensor& input, const Tensor& values, const Bias& bias,
                    const Tensor& row_offsets, const Tensor& columns, const Tensor& column_offsets,
                    const Tensor& rows, const Tensor& order, std::string_view execution) {
  const Structure s{row_offsets, columns, column_offsets, rows, order};
  check_pointwise("sparse_pointwise", input, values, bias, s, execution);
  const c10::DeviceGuard guard(input.device());
  if (!is_sparse(execution, s, input)) return composed(input, values, bias, s);
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
  if (!is_sparse(execution, s, input)) {
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
