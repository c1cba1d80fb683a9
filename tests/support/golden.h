// Reference values of the published code: files in tests/golden, each a flat dict of tensors.
#pragma once

#include <gtest/gtest.h>
#include <torch/script.h>

#include <map>
#include <string>
#include <vector>

namespace rewire::test {

using Golden = std::map<std::string, at::Tensor>;

// Reads tests/golden/<name>.pt.
Golden load_golden(const std::string& name);

// Names of the files in tests/golden that begin with `prefix`, sorted, without folder and ending.
std::vector<std::string> golden_names(const std::string& prefix);

// Success if both have one shape and differ, in float64, by at most `tolerance` times the largest
// magnitude of `expected`. Says where and by how much they differ most.
testing::AssertionResult close(const at::Tensor& actual, const at::Tensor& expected,
                               double tolerance);

// Success if both have one shape and dtype and the same values, NaN equal to NaN.
testing::AssertionResult same(const at::Tensor& actual, const at::Tensor& expected);

}  // namespace rewire::test
