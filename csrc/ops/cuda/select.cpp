// select on a CUDA device. The number of edges is an argument, so that the host knows every size
// and nothing waits for the device; NaN counts as the largest magnitude. The hint is not used: the
// passes of the cold way are bound by the reading of the weight.
#include "kernels/cuda/select.h"

#include <c10/core/DeviceGuard.h>

#include "ops/cuda/stream.h"
#include "ops/magnitudes.h"
#include "ops/outputs.h"

namespace rewire::ops {
namespace {

using at::Tensor;

SelectOutputs select_cuda(const Tensor& weight, int64_t keep, const std::optional<Tensor>& hint) {
  const c10::DeviceGuard guard(weight.device());
  const Selection out = allocate_select(weight, keep, hint);
  if (keep == 0) {
    fill_empty(out);
    return as_tuple(out);
  }
  const Tensor dense = weight.contiguous();
  with_magnitudes(dense, [&]<typename Bits>(const kernels::Magnitudes<Bits>& magnitudes) {
    kernels::cuda::select(magnitudes,
                          {.num_rows = weight.size(0),
                           .num_columns = weight.size(1),
                           .num_edges = keep,
                           .row_offsets = out.row_offsets.mutable_data_ptr<int32_t>(),
                           .columns = out.columns.mutable_data_ptr<int32_t>(),
                           .column_offsets = out.column_offsets.mutable_data_ptr<int32_t>(),
                           .rows = out.rows.mutable_data_ptr<int32_t>(),
                           .order = out.order.mutable_data_ptr<int32_t>(),
                           .threshold = static_cast<Bits*>(out.threshold.mutable_data_ptr())},
                          stream_of(weight));
  });
  return as_tuple(out);
}

}  // namespace

REWIRE_CUDA_LIBRARY(m) { m.impl("select", select_cuda); }

}  // namespace rewire::ops
