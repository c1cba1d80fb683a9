// Dense products on every instruction set that this machine has, against plain loops in float64.
#include "kernels/cpu/dense_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "every_target.h"

namespace {

using namespace rewire::kernels;
using namespace rewire::test;

constexpr int64_t kGap = 3;  // of numbers between rows, which no product reads or writes

// Rows that NaN lies between.
template <typename T>
std::vector<T> spread(const std::vector<double>& numbers, int64_t rows, int64_t columns) {
  std::vector<T> out(rows * (columns + kGap), T(NAN));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[i * (columns + kGap) + j] = numbers[i * columns + j];
  }
  return out;
}

template <typename T>
void check_products(int64_t m, int64_t n, int64_t k) {
  SCOPED_TRACE(testing::Message() << m << " x " << n << ", " << k << " products each");
  const auto a = numbers(m * k, 1), b = numbers(k * n, 2), there = numbers(m * n, 3);
  const auto bias = numbers(m, 4);
  std::vector<double> product(m * n), b_transposed(n * k);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t p = 0; p < k; ++p) {
      for (int64_t j = 0; j < n; ++j) product[i * n + j] += a[i * k + p] * b[p * n + j];
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t j = 0; j < n; ++j) b_transposed[j * k + p] = b[p * n + j];
  }
  const auto rows = spread<T>(a, m, k), right = spread<T>(b, k, n);
  const auto turned = spread<T>(b_transposed, n, k);
  const Matrix<const T> left{rows.data(), k + kGap};
  const auto biases = in_type<T>(bias);
  const auto check = [&](Start start, const std::vector<double>& before, auto&& multiply) {
    std::vector<double> expected = product;
    for (int64_t i = 0; i < m * n; ++i) {
      expected[i] += start == Start::kBias ? bias[i / n] : start == Start::kTarget ? before[i] : 0;
    }
    auto out = spread<T>(before, m, n);
    multiply(Matrix<T>{out.data(), n + kGap});
    std::vector<T> sums;
    for (int64_t i = 0; i < m; ++i) {
      const T* row = out.data() + i * (n + kGap);
      sums.insert(sums.end(), row, row + n);
      for (int64_t j = n; j < n + kGap; ++j) ASSERT_TRUE(std::isnan(row[j])) << i << ", " << j;
    }
    expect_close(sums, expected);
  };
  const std::vector<double> unwritten(m * n, NAN);
  for (const Start start : {Start::kZero, Start::kBias, Start::kTarget}) {
    check(start, start == Start::kTarget ? there : unwritten, [&](Matrix<T> out) {
      dense_product<T>(left, {right.data(), n + kGap}, out, m, n, k, start, biases.data());
    });
  }
  check(Start::kTarget, there, [&](Matrix<T> out) {
    add_product_transposed<T>(left, {turned.data(), k + kGap}, out, m, n, k);
  });
}

using DenseProduct = EveryTarget;

TEST_P(DenseProduct, SumsProducts) {
  // Of no row, column or product; around the sizes of tiles and panels of every type and target.
  for (const int64_t m : {0, 1, 6, 7, 13, 15, 29}) {
    for (const int64_t n : {0, 1, 4, 5, 16, 17, 31, 33, 70}) {
      for (const int64_t k : {0, 1, 16, 37}) {
        check_products<float>(m, n, k);
        check_products<double>(m, n, k);
      }
    }
  }
  check_products<float>(5, 9, 3100);
  check_products<double>(20, 40, 1600);
  // Of more panels than are copied at once.
  check_products<float>(15, 150, 500);
  check_products<double>(15, 75, 500);
}

template <typename T>
void check_parts() {
  constexpr int64_t kRows = 31, kColumns = 77, kProducts = 500;
  const auto a = in_type<T>(numbers(kRows * kProducts, 1));
  const auto b = in_type<T>(numbers(kColumns * kProducts, 2));
  const auto bias = in_type<T>(numbers(kRows, 3));
  const auto in_parts = [&](int64_t rows, int64_t columns, auto&& multiply) {
    std::vector<T> out(kRows * kColumns);
    for (int64_t i = 0; i < kRows; i += rows) {
      for (int64_t j = 0; j < kColumns; j += columns) {
        multiply(Matrix<const T>{a.data() + i * kProducts, kProducts}, j,
                 Matrix<T>{out.data() + i * kColumns + j, kColumns}, std::min(rows, kRows - i),
                 std::min(columns, kColumns - j), bias.data() + i);
      }
    }
    return out;
  };
  const auto transposed = [&](auto left, int64_t j, auto out, int64_t m, int64_t n, const T*) {
    add_product_transposed<T>(left, {b.data() + j * kProducts, kProducts}, out, m, n, kProducts);
  };
  EXPECT_EQ(in_parts(4, 7, transposed), in_parts(kRows, kColumns, transposed));
  for (const Start start : {Start::kZero, Start::kBias, Start::kTarget}) {
    const auto as_it_lies = [&](auto left, int64_t j, auto out, int64_t m, int64_t n,
                                const T* biases) {
      dense_product<T>(left, {b.data() + j, kColumns}, out, m, n, kProducts, start, biases);
    };
    EXPECT_EQ(in_parts(4, 7, as_it_lies), in_parts(kRows, kColumns, as_it_lies));
  }
}

// So that a result does not depend on how it is split over threads.
TEST_P(DenseProduct, HasTheSameBitsInAnyPart) {
  check_parts<float>();
  check_parts<double>();
}

INSTANTIATE_TEST_SUITE_P(Kernels, DenseProduct, testing::ValuesIn(targets()), target_name);

}  // namespace
