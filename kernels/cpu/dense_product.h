// Products of dense matrices, which the gradient of all candidates needs, and a layer of which most
// edges are in use. On one thread.
#pragma once

#include <cstdint>

#include "kernels/cpu/start.h"

namespace rewire::kernels {

// Rows of `count` numbers each are `stride` elements apart.
template <typename T>
struct Matrix {
  T* data;
  int64_t stride;
};

// out[m][n] = start + sum over k of a[m][k] * b[k][n], for a [m, k], b [k, n]; bias [m]. A sum has
// the same order whatever m and n are.
template <typename T>
void dense_product(Matrix<const T> a, Matrix<const T> b, Matrix<T> out, int64_t m, int64_t n,
                   int64_t k, Start start, const T* bias = nullptr);

// The same for b [n, k], added: out[m][n] += sum over k of a[m][k] * b[n][k].
template <typename T>
void add_product_transposed(Matrix<const T> a, Matrix<const T> b, Matrix<T> out, int64_t m,
                            int64_t n, int64_t k);

}  // namespace rewire::kernels
