// select: the edges that a layer uses, chosen from its weight. Contract: rewire.h.
//
// Nothing is sorted. A bound (from the hint, else from a sample) leaves few candidates, the exact
// cut is found among those, and what remains is counted into CSR and its transpose.
#include "kernels/cpu/select.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cstring>
#include <limits>
#include <vector>

#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/outputs.h"
#include "ops/rewire.h"
#include "ops/strongest.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using Signature = SelectOutputs(const Tensor&, int64_t, const std::optional<Tensor>&);

constexpr int64_t kMostEdges = std::numeric_limits<int32_t>::max();

void check_select(const Tensor& weight, int64_t keep, const std::optional<Tensor>& hint) {
  check_floating("select", "weight", weight);
  const auto sizes = weight.sym_sizes();
  TORCH_CHECK(sizes.size() == 2 || (sizes.size() == 4 && sizes[2] == 1 && sizes[3] == 1),
              "select: expected weight of shape [out, in] or [out, in, 1, 1], got ", sizes);
  TORCH_CHECK(sizes[0] <= kMostEdges && sizes[1] <= kMostEdges,
              "select: expected at most 2147483647 channels, got weight of shape ", sizes);
  check_count("select", "keep", keep, weight.sym_numel());
  TORCH_CHECK(keep <= kMostEdges, "select: expected keep of at most 2147483647 edges, got ", keep);
  if (!hint) return;
  TORCH_CHECK(hint->dim() == 0, "select: expected hint of shape [], got ", hint->sym_sizes());
  TORCH_CHECK(hint->scalar_type() == weight.scalar_type(), "select: expected hint of dtype ",
              weight.scalar_type(), ", got ", hint->scalar_type());
  TORCH_CHECK(hint->device() == weight.device(), "select: expected hint on ", weight.device(),
              ", got ", hint->device());
}

// Calls f(i) for each chunk, in parallel.
template <typename F>
void for_each_chunk(int64_t num_chunks, F&& f) {
  at::parallel_for(0, num_chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

// The edges of each chunk, once the candidates that the cut excludes are dropped.
template <typename Key>
std::vector<kernels::EdgeRange> edge_ranges(Strongest<Key>& strongest, int64_t in_channels) {
  auto& chunks = strongest.chunks;
  for_each_chunk(chunks.size(),
                 [&](int64_t i) { kernels::drop_excluded(strongest.cut, chunks[i]); });
  std::vector<kernels::EdgeRange> ranges;
  int64_t first_edge = 0;
  for (const auto& chunk : chunks) {
    ranges.push_back(
        {chunk.begin, chunk.end, in_channels, chunk.offsets.get(), chunk.count, first_edge});
    first_edge += chunk.count;
  }
  return ranges;
}

void write_structure(const std::vector<kernels::EdgeRange>& ranges, const Selection& out) {
  const int64_t num_ranges = ranges.size();
  const int64_t out_channels = out.row_offsets.numel() - 1;
  const int64_t in_channels = out.column_offsets.numel() - 1;
  auto* row_offsets = out.row_offsets.mutable_data_ptr<int32_t>();
  std::vector<int32_t> in_column(num_ranges * in_channels);

  for_each_chunk(num_ranges, [&](int64_t i) {
    kernels::fill_rows(ranges[i], row_offsets, out.columns.mutable_data_ptr<int32_t>(),
                       in_column.data() + i * in_channels);
  });
  row_offsets[out_channels] = out.columns.numel();
  kernels::start_columns(num_ranges, in_channels, in_column.data(),
                         out.column_offsets.mutable_data_ptr<int32_t>());
  for_each_chunk(num_ranges, [&](int64_t i) {
    kernels::fill_columns(ranges[i], in_column.data() + i * in_channels,
                          out.rows.mutable_data_ptr<int32_t>(),
                          out.order.mutable_data_ptr<int32_t>());
  });
}

SelectOutputs select_cpu(const Tensor& weight, int64_t keep, const std::optional<Tensor>& hint) {
  const Selection out = allocate_select(weight, keep, hint);
  if (weight.numel() == 0) {
    fill_empty(out);
    return as_tuple(out);
  }
  const Tensor dense = weight.contiguous();
  with_magnitudes(dense, [&]<typename Bits>(const kernels::Magnitudes<Bits>& magnitudes) {
    std::optional<kernels::KeyOf<Bits>> hint_key;
    if (hint) {
      const auto* bits = static_cast<const Bits*>(hint->const_data_ptr());
      hint_key = kernels::Magnitudes<Bits>{bits, 1, magnitudes.infinity}.key(0);
    }
    auto strongest = find_strongest("select", magnitudes, weight.size(0), keep, hint_key);
    write_structure(edge_ranges(strongest, weight.size(1)), out);
    const Bits threshold = strongest.cut.key;
    std::memcpy(out.threshold.mutable_data_ptr(), &threshold, sizeof(threshold));
  });
  return as_tuple(out);
}

SelectOutputs select_meta(const Tensor& weight, int64_t keep, const std::optional<Tensor>& hint) {
  return as_tuple(allocate_select(weight, keep, hint));
}

SelectOutputs call(const Tensor& weight, int64_t keep, const std::optional<Tensor>& hint) {
  static const auto op = find_op<Signature>("rewire::select");
  return op.call(weight, keep, hint);
}

SelectOutputs select_autograd(const Tensor& weight, int64_t keep,
                              const std::optional<Tensor>& hint) {
  at::AutoDispatchBelowADInplaceOrView no_gradient;
  return call(weight, keep, hint);
}

}  // namespace

Selection allocate_select(const Tensor& weight, int64_t keep, const std::optional<Tensor>& hint) {
  check_select(weight, keep, hint);
  const auto sizes = weight.sym_sizes();
  const auto indices = weight.options().dtype(at::kInt);
  return {at::empty_symint({sizes[0] + 1}, indices),
          at::empty({keep}, indices),
          at::empty_symint({sizes[1] + 1}, indices),
          at::empty({keep}, indices),
          at::empty({keep}, indices),
          at::empty({}, weight.options())};
}

void fill_empty(const Selection& out) {
  out.row_offsets.zero_();
  out.column_offsets.zero_();
  out.threshold.fill_(std::numeric_limits<double>::infinity());
}

SelectOutputs as_tuple(const Selection& s) {
  return {s.row_offsets, s.columns, s.column_offsets, s.rows, s.order, s.threshold};
}

Selection select(const Tensor& weight, int64_t keep, const std::optional<Tensor>& hint) {
  auto [row_offsets, columns, column_offsets, rows, order, threshold] = call(weight, keep, hint);
  return {row_offsets, columns, column_offsets, rows, order, threshold};
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) { m.impl("select", select_cpu); }
TORCH_LIBRARY_IMPL(rewire, Meta, m) { m.impl("select", select_meta); }
TORCH_LIBRARY_IMPL(rewire, Autograd, m) { m.impl("select", select_autograd); }

}  // namespace rewire::ops
