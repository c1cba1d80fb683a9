// Checks that several ops share. Each throws c10::Error as "op: expected ..., got ...", and works
// on symbolic sizes, so that Meta kernels complain as CPU kernels do.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace rewire::ops {

// tensor is float32, float64, float16 or bfloat16.
void check_floating(const char* op, const char* name, const at::Tensor& tensor);

// value lies in [0, most].
void check_count(const char* op, const char* name, int64_t value, const c10::SymInt& most);

// tensor is a bool tensor of the shape of `like`, on its device.
void check_mask(const char* op, const char* name, const at::Tensor& tensor, const at::Tensor& like);

// tensor has the dtype of `like`.
void check_dtype(const char* op, const char* name, const at::Tensor& tensor,
                 const at::Tensor& like);

// tensor is on the device of `like`.
void check_device(const char* op, const char* name, const at::Tensor& tensor,
                  const at::Tensor& like);

// tensor has the shape of `like` and is on its device.
void check_like(const char* op, const char* name, const at::Tensor& tensor, const at::Tensor& like);

// tensor has those sizes, and the dtype and device of `like`.
void check_shape(const char* op, const char* name, const at::Tensor& tensor,
                 c10::SymIntArrayRef sizes, const at::Tensor& like);

// gradient is `all` or `kept`.
void check_gradient(const char* op, std::string_view gradient);
// Or `candidates`, and then rates are [out] of a weight [out, ...], and there only then.
void check_gradient(const char* op, std::string_view gradient,
                    const std::optional<at::Tensor>& rates, const at::Tensor& weight);

}  // namespace rewire::ops
