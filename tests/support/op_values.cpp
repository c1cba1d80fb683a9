#include "support/op_values.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstring>

#include "support/golden.h"

namespace rewire::test {

using at::Tensor;

std::vector<Tensor> tensors(const Values& values) {
  std::vector<Tensor> found;
  for (const auto& value : values) {
    if (value.isTensor()) found.push_back(value.toTensor());
    if (!value.isTensorList()) continue;
    for (const Tensor& tensor : value.toTensorVector()) found.push_back(tensor);
  }
  return found;
}

Values to(const Values& values, at::ScalarType dtype) {
  return map_tensors(values,
                     [&](const Tensor& t) { return t.is_floating_point() ? t.to(dtype) : t; });
}

Values to(const Values& values, at::Device device) {
  return map_tensors(values, [&](const Tensor& t) { return t.to(device); });
}

namespace {

testing::AssertionResult same_bits(const Tensor& actual, const Tensor& expected) {
  if (actual.sizes() != expected.sizes() || actual.scalar_type() != expected.scalar_type()) {
    return same(actual, expected);
  }
  const Tensor a = actual.contiguous();
  const Tensor b = expected.contiguous();
  if (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "got\n" << actual << "\nexpected the bits of\n" << expected;
}

}  // namespace

void expect_same_bits(const Values& actual, const Values& expected) {
  const auto a = tensors(actual);
  const auto b = tensors(expected);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << "output " << i;
}

Tensor scattered(const Tensor& t) {
  const Tensor transposed = t.dim() < 2 ? t : t.transpose(0, t.dim() - 1);
  std::vector<int64_t> room(transposed.sizes().begin(), transposed.sizes().end());
  if (room.empty()) return at::stack({t, t}).select(0, 1);
  room.back() = 2 * room.back() + 3;
  Tensor memory = at::zeros(room, t.options());
  Tensor part = memory.slice(-1, 3, c10::nullopt, 2);
  part.copy_(transposed);
  return t.dim() < 2 ? part : part.transpose(0, t.dim() - 1);
}

Tensor expanded(const Tensor& t) {
  const bool is_index = t.scalar_type() == at::kInt;  // those of a structure depend on each other
  return is_index || t.dim() == 0 || t.numel() == 0 ? t : t.slice(0, 0, 1).expand(t.sizes());
}

}  // namespace rewire::test
