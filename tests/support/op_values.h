// Arguments and results of ops whose signatures are not known: what is done to all their tensors.
#pragma once

#include <ATen/core/ivalue.h>
#include <ATen/core/Tensor.h>

#include <vector>

namespace rewire::test {

using Values = std::vector<c10::IValue>;  // the arguments of a call, or its results

// The values with f(tensor) in the place of each tensor.
template <typename F>
Values map_tensors(const Values& values, F&& f) {
  Values mapped = values;
  for (auto& value : mapped) {
    if (value.isTensor()) value = f(value.toTensor());
    if (!value.isTensorList()) continue;
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(f(tensor));
    value = list;
  }
  return mapped;
}

// The tensors alone, those of lists too.
std::vector<at::Tensor> tensors(const Values& values);

// With all floating tensors of one dtype, or all tensors on one device.
Values to(const Values& values, at::ScalarType dtype);
Values to(const Values& values, at::Device device);

// Fails the test unless the tensors have the same bytes: of NaN too, and of the sign of zero.
void expect_same_bits(const Values& actual, const Values& expected);

// The values of a tensor in other memory: every second element, from an offset on, of the
// transpose.
at::Tensor scattered(const at::Tensor& tensor);

// The first row of a tensor in the place of all, by a stride of 0; int32 tensors as they are.
at::Tensor expanded(const at::Tensor& tensor);

}  // namespace rewire::test
