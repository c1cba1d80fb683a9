#include "script/safetensors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

namespace rewire::script {
namespace {

// The header of a file, after checking its length.
nlohmann::ordered_json header_of(const std::string& bytes, std::string* data = nullptr) {
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ((8 + length) % 8, 0u);
  if (data) *data = bytes.substr(8 + length);
  return nlohmann::ordered_json::parse(bytes.substr(8, length));
}

TEST(Safetensors, ASmallFileByteByByte) {
  const std::string bytes = to_safetensors(
      {{"b", at::tensor({1, 258}, at::kInt).view({1, 2})}, {"a", at::tensor({1.0f})}},
      {{"format", "pt"}});
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})";
  const size_t padded = (header.size() + 7) / 8 * 8;
  std::string expected(8, '\0');
  expected[0] = char(padded);
  expected += header + std::string(padded - header.size(), ' ');
  expected += std::string("\x01\0\0\0\x02\x01\0\0", 8);  // 1, 258
  expected += std::string("\0\0\x80\x3F", 4);            // 1.0
  ASSERT_LT(padded, 256u);
  EXPECT_EQ(bytes, expected);
}

TEST(Safetensors, NamesEveryType) {
  for (const auto& [type, name, size] : {std::tuple{at::kFloat, "F32", 4},
                                         {at::kDouble, "F64", 8},
                                         {at::kHalf, "F16", 2},
                                         {at::kBFloat16, "BF16", 2},
                                         {at::kLong, "I64", 8},
                                         {at::kInt, "I32", 4},
                                         {at::kByte, "U8", 1},
                                         {at::kBool, "BOOL", 1}}) {
    const auto entry = header_of(to_safetensors({{"x", at::zeros({3}, type)}}))["x"];
    EXPECT_EQ(entry["dtype"], name);
    EXPECT_EQ(entry["data_offsets"], nlohmann::json({0, 3 * size}));
  }
  EXPECT_THROW(to_safetensors({{"x", at::zeros({3}, at::kComplexFloat)}}), std::invalid_argument);
}

TEST(Safetensors, WritesInOrderOfTheIndices) {
  std::string data;
  const at::Tensor matrix = at::tensor({1, 2, 3, 4}, at::kInt).to(at::kByte).view({2, 2});
  header_of(to_safetensors({{"x", matrix.t()}, {"y", matrix[0].expand({2, 2})}}), &data);
  EXPECT_EQ(data, "\x01\x03\x02\x04\x01\x02\x01\x02");
}

TEST(Safetensors, HoldsScalarsAndEmptyTensors) {
  const auto header =
      header_of(to_safetensors({{"none", at::zeros({0, 3})}, {"one", at::scalar_tensor(2.0)}}));
  EXPECT_EQ(header["none"]["shape"], nlohmann::json({0, 3}));
  EXPECT_EQ(header["none"]["data_offsets"], nlohmann::json({0, 0}));
  EXPECT_EQ(header["one"]["shape"], nlohmann::json::array());
  EXPECT_EQ(header["one"]["data_offsets"], nlohmann::json({0, 4}));
}

TEST(Safetensors, MayHoldNothing) {
  EXPECT_EQ(to_safetensors({}), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
}

}  // namespace
}  // namespace rewire::script
