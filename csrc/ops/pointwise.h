// What the pointwise ops do alike around a product: shapes, checks, dtypes.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "ops/rewire.h"

namespace rewire::ops {

// input [batch, in, *places], values [edges], bias [out], with a structure of `in` to `out`
// channels; `out` is what the structure says.
void check_pointwise(const char* op, const at::Tensor& input, const at::Tensor& values,
                     const std::optional<at::Tensor>& bias, const Structure& structure,
                     std::string_view execution);

// The same of candidates [out, in] or [out, in, 1, 1] in the place of values.
void check_wired(const char* op, const at::Tensor& input, const at::Tensor& weight,
                 const std::optional<at::Tensor>& bias, const Structure& structure,
                 std::string_view gradient, std::string_view execution,
                 const std::optional<at::Tensor>& gradient_rates);

// The same in the name of sparse_pointwise_backward, with a grad_output that is as the output would
// be.
void check_pointwise_backward(const at::Tensor& grad_output, const at::Tensor& input,
                              const at::Tensor& values, const Structure& structure,
                              std::string_view execution);

// weight is [out, in] or [out, in, 1, 1], floating, and on the device of the offsets.
void check_candidates(const char* op, const at::Tensor& weight, const at::Tensor& row_offsets,
                      const c10::SymInt& in);

// [batch, out, *places]
std::vector<c10::SymInt> output_sizes(const at::Tensor& input, const Structure& structure);

// As [batch, channels, places], contiguous: how torch's products sum depends on the layout.
at::Tensor in_maps(const at::Tensor& tensor);
// The dtype that sums of a tensor are in: half types in float32.
inline at::ScalarType summing_dtype(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}
// Contiguous, in the dtype that the CPU's products sum in. maps_of: in maps.
at::Tensor summable(const at::Tensor& tensor);
at::Tensor maps_of(const at::Tensor& tensor);
// [batch, channels, places] with the places and the dtype of `like`, contiguous.
at::Tensor as_output(const at::Tensor& maps, const at::Tensor& like);

// The bias's gradient: the sum over all but the channels.
at::Tensor grad_of_bias(const at::Tensor& grad_output);

// The gradient of every candidate, [out, in]:
//   grad_weight[v, u] = sum over batch and places of grad_output[., v, .] input[., u, .]
at::Tensor grad_of_candidates(const at::Tensor& grad_output, const at::Tensor& input);

// [*, in] as maps of one place each, which a pointwise op takes; and its output as [*, out].
at::Tensor as_maps(const char* op, const at::Tensor& input, const at::Tensor& column_offsets);
at::Tensor as_lines(const at::Tensor& output, const at::Tensor& input);

// sparse_pointwise and its derivative as dense products of torch's own ops, for any device: nothing
// waits for it, and the structure is trusted.
at::Tensor composed(const at::Tensor& input, const at::Tensor& values,
                    const std::optional<at::Tensor>& bias, const Structure& structure);
std::tuple<at::Tensor, at::Tensor> composed_backward(const at::Tensor& grad_output,
                                                     const at::Tensor& input,
                                                     const at::Tensor& values,
                                                     const Structure& structure, bool to_input,
                                                     bool to_values);

// sparse_pointwise's derivative: to input and values. One that is not asked for is empty.
std::tuple<at::Tensor, at::Tensor> sparse_pointwise_backward(
    const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& values,
    const Structure& structure, bool to_input, bool to_values, std::string_view execution);

}  // namespace rewire::ops
