#include "ops/structure.h"

#include <c10/util/Exception.h>

#include "ops/check.h"

namespace rewire::ops {
namespace {

void check_indices(const char* op, const char* name, const at::Tensor& tensor,
                   const c10::SymInt& size, const char* size_name, const at::Tensor& like) {
  TORCH_CHECK(tensor.scalar_type() == at::kInt, op, ": expected ", name, " of dtype Int, got ",
              tensor.scalar_type());
  TORCH_CHECK(tensor.dim() == 1 && tensor.sym_size(0) == size, op, ": expected ", name,
              " of shape [", size_name, " = ", size, "], got ", tensor.sym_sizes());
  check_device(op, name, tensor, like);
}

// Offsets and ascending indices of one direction.
void check_direction(const char* op, const char* offsets_name, const at::Tensor& offsets_tensor,
                     const char* indices_name, const at::Tensor& indices_tensor, int64_t most) {
  const auto* offsets = offsets_tensor.const_data_ptr<int32_t>();
  const auto* indices = indices_tensor.const_data_ptr<int32_t>();
  const int64_t num_edges = indices_tensor.numel(), num_lists = offsets_tensor.numel() - 1;
  TORCH_CHECK(offsets[0] == 0, op, ": expected ", offsets_name, "[0] to be 0, got ", offsets[0]);
  TORCH_CHECK(offsets[num_lists] == num_edges, op, ": expected ", offsets_name, "[", num_lists,
              "] to be the number of edges, ", num_edges, ", got ", offsets[num_lists]);
  for (int64_t i = 0; i < num_lists; ++i) {
    TORCH_CHECK(offsets[i] <= offsets[i + 1] && offsets[i + 1] <= num_edges, op, ": expected ",
                offsets_name, " to ascend, got ", offsets[i], " and ", offsets[i + 1], " at ", i);
  }
  in_shares(num_lists, num_edges, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t before = -1;
      for (int32_t e = offsets[i]; e < offsets[i + 1]; ++e) {
        TORCH_CHECK(indices[e] > before && indices[e] < most, op, ": expected ", indices_name,
                    " in [0, ", most, ") and ascending in each list, got ", indices[e], " at ", e);
        before = indices[e];
      }
    }
  });
}

}  // namespace

c10::SymInt check_offsets(const char* op, const char* offsets_name, const char* name,
                          const at::Tensor& offsets, const at::Tensor& like) {
  TORCH_CHECK(offsets.scalar_type() == at::kInt, op, ": expected ", offsets_name,
              " of dtype Int, got ", offsets.scalar_type());
  TORCH_CHECK(offsets.dim() == 1 && offsets.sym_size(0) >= 1, op, ": expected ", offsets_name,
              " of shape [", name, " + 1], got ", offsets.sym_sizes());
  check_device(op, offsets_name, offsets, like);
  return offsets.sym_size(0) - 1;
}

void check_columns(const char* op, const at::Tensor& columns, const at::Tensor& like) {
  TORCH_CHECK(columns.dim() == 1, op, ": expected columns of shape [num_edges], got ",
              columns.sym_sizes());
  check_indices(op, "columns", columns, columns.sym_size(0), "num_edges", like);
}

c10::SymInt check_structure(const char* op, const Structure& s, const c10::SymInt& in,
                            const at::Tensor& like) {
  const c10::SymInt out = check_offsets(op, "row_offsets", "out", s.row_offsets, like);
  check_columns(op, s.columns, like);
  const c10::SymInt num_edges = s.columns.sym_size(0);
  check_indices(op, "column_offsets", s.column_offsets, in + 1, "in + 1", like);
  check_indices(op, "rows", s.rows, num_edges, "num_edges", like);
  check_indices(op, "order", s.order, num_edges, "num_edges", like);
  return out;
}

void check_rows(const char* op, const at::Tensor& row_offsets, const at::Tensor& columns,
                int64_t in) {
  check_direction(op, "row_offsets", row_offsets, "columns", columns, in);
}

void check_edges(const char* op, const Structure& s) {
  const int64_t out = s.row_offsets.numel() - 1, in = s.column_offsets.numel() - 1;
  check_rows(op, s.row_offsets, s.columns, in);
  check_direction(op, "column_offsets", s.column_offsets, "rows", s.rows, out);
  const auto* row_offsets = s.row_offsets.const_data_ptr<int32_t>();
  const auto* columns = s.columns.const_data_ptr<int32_t>();
  const auto* column_offsets = s.column_offsets.const_data_ptr<int32_t>();
  const auto* rows = s.rows.const_data_ptr<int32_t>();
  const auto* order = s.order.const_data_ptr<int32_t>();
  const int32_t num_edges = s.columns.numel();
  in_shares(in, num_edges, [&](int64_t begin, int64_t end) {
    for (int64_t column = begin; column < end; ++column) {
      for (int32_t j = column_offsets[column]; j < column_offsets[column + 1]; ++j) {
        const int32_t e = order[j];
        TORCH_CHECK(e >= 0 && e < num_edges && columns[e] == column && row_offsets[rows[j]] <= e &&
                        e < row_offsets[rows[j] + 1],
                    op, ": expected order[", j, "] to be the position of the edge from ", column,
                    " to ", rows[j], ", got ", e);
      }
    }
  });
}

Structure contiguous(const Structure& s) {
  return {s.row_offsets.contiguous(), s.columns.contiguous(), s.column_offsets.contiguous(),
          s.rows.contiguous(), s.order.contiguous()};
}

kernels::Edges by_output(const Structure& s) {
  return {.offsets = s.row_offsets.const_data_ptr<int32_t>(),
          .sources = s.columns.const_data_ptr<int32_t>(),
          .num_targets = s.row_offsets.numel() - 1,
          .num_sources = s.column_offsets.numel() - 1};
}

kernels::Edges by_input(const Structure& s) {
  return {.offsets = s.column_offsets.const_data_ptr<int32_t>(),
          .sources = s.rows.const_data_ptr<int32_t>(),
          .num_targets = s.column_offsets.numel() - 1,
          .num_sources = s.row_offsets.numel() - 1};
}

}  // namespace rewire::ops
