// edge_values and edge_matrix: from candidates to the edges in use, and back; each the gradient of
// the other. Contract: rewire.h.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/pointwise.h"
#include "ops/rewire.h"
#include "ops/structure.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_values(const Tensor& weight, const Tensor& row_offsets, const Tensor& columns) {
  TORCH_CHECK(weight.dim() >= 2, "edge_values: expected weight of shape [out, in], got ",
              weight.sym_sizes());
  check_candidates("edge_values", weight, row_offsets, weight.sym_size(1));
  check_columns("edge_values", columns, weight);
}

void check_matrix(const Tensor& values, const Tensor& row_offsets, const Tensor& columns,
                  const c10::SymInt& in) {
  check_floating("edge_matrix", "values", values);
  check_offsets("edge_matrix", "row_offsets", "out", row_offsets, values);
  check_columns("edge_matrix", columns, values);
  TORCH_CHECK(values.dim() == 1 && values.sym_size(0) == columns.sym_size(0),
              "edge_matrix: expected values of shape [num_edges = ", columns.sym_size(0), "], got ",
              values.sym_sizes());
  TORCH_CHECK(in >= 0, "edge_matrix: expected in_channels of at least 0, got ", in);
}

// Calls f(place in the matrix, edge) for each edge, on several threads where there are many.
template <typename F>
void for_each_edge(const Tensor& row_offsets, const Tensor& columns, int64_t in, F&& f) {
  in_shares(row_offsets.numel() - 1, columns.numel(), [&](int64_t begin, int64_t end) {
    const kernels::Edges edges{.offsets = row_offsets.const_data_ptr<int32_t>(),
                               .sources = columns.const_data_ptr<int32_t>(),
                               .first_target = begin,
                               .num_targets = end - begin,
                               .num_sources = in};
    edges.for_each(
        [&](int64_t row, int64_t column, int64_t e) { f((begin + row) * in + column, e); });
  });
}

Tensor values_cpu(const Tensor& weight, const Tensor& row_offsets, const Tensor& columns) {
  check_values(weight, row_offsets, columns);
  const Tensor dense = weight.contiguous(), offsets = row_offsets.contiguous();
  const Tensor sources = columns.contiguous();
  check_rows("edge_values", offsets, sources, weight.size(1));
  Tensor values = at::empty({sources.numel()}, weight.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, weight.scalar_type(), "edge_values", [&] {
        const auto* from = dense.const_data_ptr<scalar_t>();
        auto* to = values.mutable_data_ptr<scalar_t>();
        for_each_edge(offsets, sources, weight.size(1),
                      [&](int64_t place, int64_t e) { to[e] = from[place]; });
      });
  return values;
}

Tensor matrix_cpu(const Tensor& values, const Tensor& row_offsets, const Tensor& columns,
                  int64_t in) {
  check_matrix(values, row_offsets, columns, in);
  const Tensor edges = values.contiguous(), offsets = row_offsets.contiguous();
  const Tensor sources = columns.contiguous();
  check_rows("edge_matrix", offsets, sources, in);
  Tensor weight = at::zeros({offsets.numel() - 1, in}, values.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, values.scalar_type(), "edge_matrix", [&] {
        const auto* from = edges.const_data_ptr<scalar_t>();
        auto* to = weight.mutable_data_ptr<scalar_t>();
        for_each_edge(offsets, sources, in, [&](int64_t place, int64_t e) { to[place] = from[e]; });
      });
  return weight;
}

// On other devices: the output of each edge, [edges]. The number of edges is known, so that nothing
// waits for the device.
Tensor rows_of(const Tensor& row_offsets, const Tensor& columns) {
  const std::optional<int64_t> num_edges = columns.size(0);
  return at::repeat_interleave(row_offsets.diff().to(at::kLong), num_edges);
}

Tensor values_any(const Tensor& weight, const Tensor& row_offsets, const Tensor& columns) {
  check_values(weight, row_offsets, columns);
  return weight.flatten(1).index({rows_of(row_offsets, columns), columns.to(at::kLong)});
}

Tensor matrix_any(const Tensor& values, const Tensor& row_offsets, const Tensor& columns,
                  int64_t in) {
  check_matrix(values, row_offsets, columns, in);
  return at::zeros({row_offsets.size(0) - 1, in}, values.options())
      .index_put_({rows_of(row_offsets, columns), columns.to(at::kLong)}, values);
}

Tensor values_meta(const Tensor& weight, const Tensor& row_offsets, const Tensor& columns) {
  check_values(weight, row_offsets, columns);
  return at::empty_symint({columns.sym_size(0)}, weight.options());
}

Tensor matrix_meta(const Tensor& values, const Tensor& row_offsets, const Tensor& columns,
                   c10::SymInt in) {
  check_matrix(values, row_offsets, columns, in);
  return at::empty_symint({row_offsets.sym_size(0) - 1, in}, values.options());
}

struct EdgeValues : torch::autograd::Function<EdgeValues> {
  static Tensor forward(AutogradContext* ctx, const Tensor& weight, const Tensor& row_offsets,
                        const Tensor& columns) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    ctx->save_for_backward({row_offsets, columns});
    ctx->saved_data["sizes"] = weight.sym_sizes().vec();
    return edge_values(weight, row_offsets, columns);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto sizes = ctx->saved_data["sizes"].toSymIntVector();
    return {edge_matrix(grads[0], saved[0], saved[1], sizes[1]).view_symint(sizes), Tensor(),
            Tensor()};
  }
};

struct EdgeMatrix : torch::autograd::Function<EdgeMatrix> {
  static Tensor forward(AutogradContext* ctx, const Tensor& values, const Tensor& row_offsets,
                        const Tensor& columns, c10::SymInt in) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    ctx->save_for_backward({row_offsets, columns});
    return edge_matrix(values, row_offsets, columns, in);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    return {edge_values(grads[0], saved[0], saved[1]), Tensor(), Tensor(), Tensor()};
  }
};

Tensor values_autograd(const Tensor& weight, const Tensor& row_offsets, const Tensor& columns) {
  return EdgeValues::apply(weight, row_offsets, columns);
}

Tensor matrix_autograd(const Tensor& values, const Tensor& row_offsets, const Tensor& columns,
                       c10::SymInt in) {
  return EdgeMatrix::apply(values, row_offsets, columns, in);
}

}  // namespace

Tensor edge_values(const Tensor& weight, const Tensor& row_offsets, const Tensor& columns) {
  static const auto op = find_op<decltype(values_cpu)>("rewire::edge_values");
  return op.call(weight, row_offsets, columns);
}

Tensor edge_matrix(const Tensor& values, const Tensor& row_offsets, const Tensor& columns,
                   const c10::SymInt& in) {
  static const auto op = find_op<Tensor(const Tensor&, const Tensor&, const Tensor&, c10::SymInt)>(
      "rewire::edge_matrix");
  return op.call(values, row_offsets, columns, in);
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) {
  m.impl("edge_values", values_cpu);
  m.impl("edge_matrix", matrix_cpu);
}
TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("edge_values", values_meta);
  m.impl("edge_matrix", matrix_meta);
}
TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) {
  m.impl("edge_values", values_any);
  m.impl("edge_matrix", matrix_any);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) {
  m.impl("edge_values", values_autograd);
  m.impl("edge_matrix", matrix_autograd);
}

}  // namespace rewire::ops
