#include "ops/pointwise.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/Exception.h>

#include "ops/check.h"
#include "ops/product.h"
#include "ops/structure.h"

namespace rewire::ops {

using at::Tensor;

namespace {

void check_vector(const char* op, const char* name, const Tensor& tensor, const c10::SymInt& size,
                  const char* size_name, const Tensor& like) {
  check_dtype(op, name, tensor, like);
  TORCH_CHECK(tensor.dim() == 1 && tensor.sym_size(0) == size, op, ": expected ", name,
              " of shape [", size_name, " = ", size, "], got ", tensor.sym_sizes());
  check_device(op, name, tensor, like);
}

// What does not depend on where the weights are.
void check_layer(const char* op, const Tensor& input, const std::optional<Tensor>& bias,
                 const Structure& structure, std::string_view execution) {
  check_floating(op, "input", input);
  TORCH_CHECK(input.dim() >= 2, op, ": expected input of shape [batch, in, ...], got ",
              input.sym_sizes());
  const c10::SymInt out = check_structure(op, structure, input.sym_size(1), input);
  if (bias) check_vector(op, "bias", *bias, out, "out", input);
  check_execution(op, execution);
}

}  // namespace

void check_pointwise(const char* op, const Tensor& input, const Tensor& values,
                     const std::optional<Tensor>& bias, const Structure& structure,
                     std::string_view execution) {
  check_layer(op, input, bias, structure, execution);
  check_vector(op, "values", values, structure.columns.sym_size(0), "num_edges", input);
}

void check_wired(const char* op, const Tensor& input, const Tensor& weight,
                 const std::optional<Tensor>& bias, const Structure& structure,
                 std::string_view gradient, std::string_view execution,
                 const std::optional<Tensor>& gradient_rates) {
  check_layer(op, input, bias, structure, execution);
  check_dtype(op, "weight", weight, input);
  check_device(op, "weight", weight, input);
  check_candidates(op, weight, structure.row_offsets, input.sym_size(1));
  check_gradient(op, gradient, gradient_rates, weight);
}

void check_pointwise_backward(const Tensor& grad_output, const Tensor& input, const Tensor& values,
                              const Structure& structure, std::string_view execution) {
  constexpr const char* op = "sparse_pointwise_backward";
  check_pointwise(op, input, values, std::nullopt, structure, execution);
  check_dtype(op, "grad_output", grad_output, input);
  const auto sizes = output_sizes(input, structure);
  TORCH_CHECK(grad_output.sym_sizes().equals(sizes), op, ": expected grad_output of shape ",
              c10::SymIntArrayRef(sizes), ", got ", grad_output.sym_sizes());
  check_device(op, "grad_output", grad_output, input);
}

void check_candidates(const char* op, const Tensor& weight, const Tensor& row_offsets,
                      const c10::SymInt& in) {
  check_floating(op, "weight", weight);
  const c10::SymInt out = check_offsets(op, "row_offsets", "out", row_offsets, weight);
  const auto sizes = weight.sym_sizes();
  const bool is_matrix = sizes.size() == 2 || (sizes.size() == 4 && sizes[2] == 1 && sizes[3] == 1);
  TORCH_CHECK(is_matrix && sizes[0] == out && sizes[1] == in, op,
              ": expected weight of shape [out = ", out, ", in = ", in, "], got ", sizes);
}

std::vector<c10::SymInt> output_sizes(const Tensor& input, const Structure& structure) {
  std::vector<c10::SymInt> sizes = input.sym_sizes().vec();
  sizes[1] = structure.row_offsets.sym_size(0) - 1;
  return sizes;
}

Tensor summable(const Tensor& tensor) {
  const bool half = tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16;
  return (half ? tensor.to(at::kFloat) : tensor).contiguous();
}

Tensor in_maps(const Tensor& tensor) {
  int64_t places = 1;
  for (const int64_t size : tensor.sizes().slice(2)) places *= size;
  return tensor.reshape({tensor.size(0), tensor.size(1), places}).contiguous();
}

Tensor maps_of(const Tensor& tensor) { return in_maps(summable(tensor)); }

Tensor as_output(const Tensor& maps, const Tensor& like) {
  std::vector<int64_t> sizes = like.sizes().vec();
  sizes[1] = maps.size(1);
  return maps.to(like.scalar_type()).view(sizes);
}

Tensor grad_of_bias(const Tensor& grad_output) {
  std::vector<int64_t> others;
  for (int64_t dim = 0; dim < grad_output.dim(); ++dim) {
    if (dim != 1) others.push_back(dim);
  }
  return grad_output.sum(others);
}

Tensor grad_of_candidates(const Tensor& grad_output, const Tensor& input) {
  // Contiguous, as maps are.
  const auto by_channel = [](const Tensor& tensor) {
    return tensor.transpose(0, 1).flatten(1).contiguous();
  };
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  return at::matmul(by_channel(grad_output), by_channel(input).t());
}

Tensor composed(const Tensor& input, const Tensor& values, const std::optional<Tensor>& bias,
                const Structure& s) {
  const Tensor weight = edge_matrix(values, s.row_offsets, s.columns, input.size(1));
  Tensor out = at::matmul(weight, in_maps(input));
  if (bias) out = out + bias->unsqueeze(1);
  return as_output(out, input);
}

std::tuple<Tensor, Tensor> composed_backward(const Tensor& grad_output, const Tensor& input,
                                             const Tensor& values, const Structure& s,
                                             bool to_input, bool to_values) {
  Tensor grad_input = at::empty({0}, input.options());
  Tensor grad_values = at::empty({0}, values.options());
  if (to_input) {
    const Tensor weight = edge_matrix(values, s.row_offsets, s.columns, input.size(1));
    grad_input = as_output(at::matmul(weight.t(), in_maps(grad_output)), input);
  }
  if (to_values) {
    grad_values = edge_values(grad_of_candidates(grad_output, input), s.row_offsets, s.columns);
  }
  return {grad_input, grad_values};
}

Tensor as_maps(const char* op, const Tensor& input, const Tensor& column_offsets) {
  const auto sizes = input.sym_sizes();
  const c10::SymInt in = check_offsets(op, "column_offsets", "in", column_offsets, input);
  TORCH_CHECK(!sizes.empty() && sizes.back() == in, op, ": expected input of shape [..., in = ", in,
              "], got ", sizes);
  c10::SymInt batch = 1;
  for (const auto& size : sizes.slice(0, sizes.size() - 1)) batch *= size;
  return input.reshape_symint({batch, in, 1});
}

Tensor as_lines(const Tensor& output, const Tensor& input) {
  std::vector<c10::SymInt> sizes = input.sym_sizes().vec();
  sizes.back() = output.sym_size(1);
  return output.reshape_symint(sizes);
}

}  // namespace rewire::ops
