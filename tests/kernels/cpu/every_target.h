// Tests of vector kernels on every instruction set that this machine has.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace rewire::test {

inline std::vector<int64_t> targets() {
  std::vector<int64_t> found;
  const int64_t supported = hwy::SupportedTargets() & HWY_TARGETS;  // compiled, too
  for (int64_t rest = supported; rest != 0; rest &= rest - 1) found.push_back(rest & -rest);
  return found;
}

class EveryTarget : public testing::TestWithParam<int64_t> {
 protected:
  EveryTarget() { choose(GetParam()); }
  ~EveryTarget() override { choose(0); }  // 0: as the processor has them

 private:
  static void choose(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

inline std::string target_name(const testing::TestParamInfo<int64_t>& info) {
  return hwy::TargetName(info.param);
}

// Numbers in [-1, 1] of which no two are alike.
inline std::vector<double> numbers(int64_t count, double seed) {
  std::vector<double> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = std::sin(double(i) * 1.7 + seed);
  return values;
}

template <typename T>
std::vector<T> in_type(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// Relative to the largest; `error`: of what is expected.
template <typename T>
void expect_close(const std::vector<T>& actual, const std::vector<double>& expected,
                  double error = 0) {
  ASSERT_EQ(actual.size(), expected.size());
  double largest = 1;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  const double tolerance = (100 * std::numeric_limits<T>::epsilon() + error) * largest;
  for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance) << i;
}

}  // namespace rewire::test
