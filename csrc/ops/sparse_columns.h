// How a sparse product on the CPU goes through a batch of maps.
#pragma once

#include <ATen/ops/empty.h>
#include <unistd.h>

#include <optional>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/sparse_product.h"
#include "ops/product.h"

namespace rewire::ops {

// The columns of a batch, and how a product goes through them. Maps of whole vectors are read where
// they lie; others in tiles of columns, across images, that are copied to rows side by side.
struct Columns {
  int64_t batch = 0;
  int64_t places = 0;

  // 64 bytes: a vector that straddles two cache lines takes twice the time to load.
  bool direct(int64_t element_size) const {
    return places >= kernels::kTile && places * element_size % 64 == 0;
  }
  // Elements from one row of a tile to the next.
  int64_t stride(int64_t element_size) const {
    return direct(element_size) ? places : kernels::kTile;
  }
  int64_t count() const { return batch * places; }
  // Tiles of columns: of each image, or across images.
  int64_t tiles_per_image() const { return (places + kernels::kTile - 1) / kernels::kTile; }
  int64_t tiles(int64_t element_size) const {
    return direct(element_size) ? batch * tiles_per_image()
                                : (count() + kernels::kTile - 1) / kernels::kTile;
  }
};

// Whether a product's maps leave nothing of its output in the caches for who reads it next.
inline bool exceed_caches(const at::Tensor& input, const at::Tensor& out) {
  static const int64_t last_cache = [] {
    constexpr int64_t kTypical = int64_t{32} << 20;
    const int64_t size = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return size > 0 ? size : kTypical;
  }();
  return int64_t(input.nbytes() + out.nbytes()) > last_cache;
}

// A buffer that is aligned to cache lines.
template <typename T>
at::Tensor scratch(const at::Tensor& like, int64_t channels) {
  return at::empty({channels * kernels::kTile},
                   like.options().dtype(c10::CppTypeToScalarType<T>::value));
}

// Edges whose weights stand at order[position] of values, or at position.
template <typename T>
kernels::EdgeStream<T> weighted_edges(const kernels::Edges& edges, const at::Tensor& values,
                                      const int32_t* order, int64_t stride) {
  const T* weights = values.const_data_ptr<T>();
  return kernels::stream_edges<T>(
      edges, stride, kernels::panel_bits(edges, stride),
      [&](int64_t, int64_t, int64_t e) { return weights[order ? order[e] : e]; });
}

// The product of maps with the edges of `edges`, whose weights stand at order[position] of values,
// or at position.
at::Tensor multiply_sparse(const kernels::Edges& edges, const at::Tensor& input,
                           const at::Tensor& values, const int32_t* order,
                           const std::optional<at::Tensor>& bias);
ProductGradients backward_sparse(const at::Tensor& grad, const at::Tensor& input,
                                 const at::Tensor& values, const Structure& structure,
                                 bool to_input, bool to_values);

}  // namespace rewire::ops
