#include "ops/check.h"

#include <c10/util/Exception.h>

namespace rewire::ops {

void check_floating(const char* op, const char* name, const at::Tensor& tensor) {
  const auto dtype = tensor.scalar_type();
  TORCH_CHECK(
      dtype == at::kFloat || dtype == at::kDouble || dtype == at::kHalf || dtype == at::kBFloat16,
      op, ": expected ", name, " of dtype Float, Double, Half or BFloat16, got ", dtype);
}

void check_count(const char* op, const char* name, int64_t value, const c10::SymInt& most) {
  TORCH_CHECK(value >= 0 && most >= value, op, ": expected ", name, " in [0, ", most, "], got ",
              value);
}

void check_mask(const char* op, const char* name, const at::Tensor& tensor,
                const at::Tensor& like) {
  TORCH_CHECK(tensor.scalar_type() == at::kBool, op, ": expected ", name, " of dtype Bool, got ",
              tensor.scalar_type());
  check_like(op, name, tensor, like);
}

void check_dtype(const char* op, const char* name, const at::Tensor& tensor,
                 const at::Tensor& like) {
  TORCH_CHECK(tensor.scalar_type() == like.scalar_type(), op, ": expected ", name, " of dtype ",
              like.scalar_type(), ", got ", tensor.scalar_type());
}

void check_like(const char* op, const char* name, const at::Tensor& tensor,
                const at::Tensor& like) {
  TORCH_CHECK(tensor.sym_sizes().equals(like.sym_sizes()), op, ": expected ", name, " of shape ",
              like.sym_sizes(), ", got ", tensor.sym_sizes());
  check_device(op, name, tensor, like);
}

void check_device(const char* op, const char* name, const at::Tensor& tensor,
                  const at::Tensor& like) {
  TORCH_CHECK(tensor.device() == like.device(), op, ": expected ", name, " on ", like.device(),
              ", got ", tensor.device());
}

void check_shape(const char* op, const char* name, const at::Tensor& tensor,
                 c10::SymIntArrayRef sizes, const at::Tensor& like) {
  check_dtype(op, name, tensor, like);
  TORCH_CHECK(tensor.sym_sizes().equals(sizes), op, ": expected ", name, " of shape ", sizes,
              ", got ", tensor.sym_sizes());
  check_device(op, name, tensor, like);
}

void check_gradient(const char* op, std::string_view gradient) {
  TORCH_CHECK(gradient == "all" || gradient == "kept", op,
              ": expected gradient `all` or `kept`, got `", gradient, "`");
}

void check_gradient(const char* op, std::string_view gradient,
                    const std::optional<at::Tensor>& rates, const at::Tensor& weight) {
  const bool sampled = gradient == "candidates";
  TORCH_CHECK(sampled || gradient == "all" || gradient == "kept", op,
              ": expected gradient `all`, `kept` or `candidates`, got `", gradient, "`");
  TORCH_CHECK(
      rates.has_value() == sampled, op,
      ": expected gradient_rates if gradient is `candidates`, and only then, got gradient `",
      gradient, "`");
  if (sampled) check_shape(op, "gradient_rates", *rates, {weight.sym_size(0)}, weight);
}

}  // namespace rewire::ops
