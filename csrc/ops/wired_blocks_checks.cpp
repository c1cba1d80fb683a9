// What wired_blocks refuses, and a call as a device takes it.
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <limits>

#include "kernels/cpu/sparse_product.h"
#include "ops/check.h"
#include "ops/pointwise.h"
#include "ops/structure.h"
#include "ops/wired_blocks.h"

namespace rewire::ops {
namespace {

using at::Tensor;

constexpr std::string_view kBatchOf = "batch:";  // and the name of a group

void check_blocks(const char* op, const Tensor& weight, at::IntArrayRef ends,
                  at::IntArrayRef targets, bool has_entry) {
  TORCH_CHECK(ends.size() == targets.size() && (has_entry || !ends.empty()), op,
              ": expected as many targets as ends, at least one without an entry, got ",
              targets.size(), " and ", ends.size());
  int64_t begin = 0;
  for (size_t i = 0; i < ends.size(); ++i) {
    TORCH_CHECK(ends[i] > begin && weight.sym_size(0) >= ends[i] && weight.sym_size(1) >= ends[i],
                op, ": expected ends to ascend from 0 to the weight's channels, got ", ends,
                " for weight of shape ", weight.sym_sizes());
    // Only the last block may send to its own channels: nothing reads them any more.
    const int64_t least = i + 1 < ends.size() ? ends[i] : begin;
    TORCH_CHECK(targets[i] >= least && weight.sym_size(0) > targets[i], op, ": expected targets[",
                i, "] in [", least, ", ", weight.sym_size(0), "), got ", targets[i]);
    begin = ends[i];
  }
  for (const int64_t target : targets) {
    TORCH_CHECK(target <= targets.back(), op, ": expected no target above the last, got ", targets);
  }
}

// What forward and backward both get.
void check_common(const char* op, const BlocksArguments& a, const Tensor& input) {
  check_dtype(op, "input", input, a.weight);
  check_device(op, "input", input, a.weight);
  TORCH_CHECK(input.dim() == 4, op,
              ": expected input of shape [batch, channels, height, width], got ",
              input.sym_sizes());
  const c10::SymInt in_channels = input.sym_size(1);
  check_floating(op, "weight", a.weight);
  const auto sizes = a.weight.sym_sizes();
  TORCH_CHECK(sizes.size() == 2 || (sizes.size() == 4 && sizes[2] == 1 && sizes[3] == 1), op,
              ": expected weight of shape [channels, columns], got ", sizes);
  TORCH_CHECK(a.entry_stride >= 0, op, ": expected entry_stride of at least 0, got ",
              a.entry_stride);
  check_blocks(op, a.weight, a.ends, a.targets, a.entry_stride > 0);
  check_structures(op, a.weight, a.structure);
  TORCH_CHECK(a.entry_stride == 0 || in_channels > 0, op,
              ": expected an entry to have channels, got input of none");
  const c10::SymInt count = num_parameters(a, in_channels);
  TORCH_CHECK(sizes[1] >= count, op, ": expected a column of weight for each of ", count,
              " channels that send, got weight of shape ", sizes);
  check_shape(op, "depthwise", a.depthwise, {count, 1, 3, 3}, a.weight);
  check_shape(op, "norm_weight", a.norm_weight, {count}, a.weight);
  check_shape(op, "norm_bias", a.norm_bias, {count}, a.weight);
  const bool of_group = a.norm.starts_with(kBatchOf) && a.norm.size() > kBatchOf.size();
  TORCH_CHECK(a.norm == "instance" || a.norm == "batch" || a.norm == "given" || of_group, op,
              ": expected norm `instance`, `batch`, `batch:<group>` or `given`, got `", a.norm,
              "`");
  check_gradient(op, a.gradient, a.gradient_rates, a.weight);
  check_execution(op, a.execution);
  TORCH_CHECK(a.entry_stride > 0 || a.weight.sym_size(0) >= in_channels, op,
              ": expected input of shape [batch, at most ", a.weight.sym_size(0),
              ", height, width], got ", input.sym_sizes());
}

}  // namespace

void check_structures(const char* op, const Tensor& weight, at::TensorList structure) {
  TORCH_CHECK(structure.empty() || structure.size() == 5, op,
              ": expected structure of 5 tensors, or of none, got ", structure.size());
  if (structure.empty()) return;
  const Structure s{structure[0], structure[1], structure[2], structure[3], structure[4]};
  const c10::SymInt out = check_structure(op, s, weight.sym_size(1), weight);
  TORCH_CHECK(out == weight.sym_size(0), op,
              ": expected row_offsets of shape [out + 1 = ", weight.sym_size(0) + 1, "], got ",
              s.row_offsets.sym_sizes());
}

StateLayout::StateLayout(int64_t batch, int64_t height, int64_t width)
    : batch(batch), height(height), width(width) {
  const int64_t one = std::max<int64_t>(1, places());
  images = std::max<int64_t>(1, kernels::kTile / one);
  const int64_t whole = kernels::kFewestColumns;
  stride = (images * one + whole - 1) / whole * whole;
  chunks = (batch + images - 1) / images;
}

StateLayout::StateLayout(const BlocksCall& call, const Tensor& input)
    : StateLayout(input.size(0), strided(input.size(2), std::max<int64_t>(1, call.entry_stride)),
                  strided(input.size(3), std::max<int64_t>(1, call.entry_stride))) {}

void check_wired_blocks(const BlocksArguments& a, const Tensor& input,
                        const std::optional<Tensor>& mean, const std::optional<Tensor>& variance) {
  const char* op = kWiredBlocks;
  check_common(op, a, input);
  const bool given = a.norm == "given";
  TORCH_CHECK(mean.has_value() == given && variance.has_value() == given, op,
              ": expected mean and variance if norm is `given`, and only then, got norm `", a.norm,
              "`");
  if (!given) return;
  check_shape(op, "mean", *mean, a.norm_weight.sym_sizes(), a.weight);
  check_shape(op, "variance", *variance, a.norm_weight.sym_sizes(), a.weight);
}

void check_wired_blocks_backward(const BlocksArguments& a, const Tensor& grad_output,
                                 const Tensor& input) {
  const char* op = kWiredBlocksBackward;
  check_common(op, a, input);
  check_shape(op, "grad_output", grad_output, output_sizes(a, input), a.weight);
}

std::vector<c10::SymInt> output_sizes(const BlocksArguments& a, const Tensor& input) {
  const int64_t stride = std::max<int64_t>(1, a.entry_stride);
  return {input.sym_size(0), a.weight.sym_size(0) - (a.targets.empty() ? 0 : a.targets.back()),
          strided(input.sym_size(2), stride), strided(input.sym_size(3), stride)};
}

c10::SymInt num_parameters(const BlocksArguments& a, const c10::SymInt& in_channels) {
  const c10::SymInt own = a.ends.empty() ? 0 : a.ends.back();
  return a.entry_stride > 0 ? in_channels + own : own;
}

int64_t BlocksCall::largest_block() const {
  int64_t largest = 0;
  for (const Block& block : blocks) largest = std::max(largest, block.size);
  return largest;
}

Tensor BlocksCall::used() const {
  if (!structure) return weight;
  const auto& [row_offsets, columns, column_offsets, rows, order] = *structure;
  return edge_matrix(edge_values(weight, row_offsets, columns), row_offsets, columns,
                     weight.size(1));
}

BlocksCall call_of(const BlocksArguments& a, int64_t in_channels) {
  BlocksCall call{
      .weight = summable(a.weight).flatten(1).detach(),
      .structure = std::nullopt,
      .depthwise = summable(a.depthwise).flatten(1),
      .norm_weight = summable(a.norm_weight),
      .norm_bias = summable(a.norm_bias),
      .blocks = {},
      .entry_stride = a.entry_stride,
      .statistics = a.norm == "instance" ? Statistics::kInstance
                    : a.norm == "given"  ? Statistics::kGiven
                                         : Statistics::kBatch,
      .group = std::string(a.norm.starts_with(kBatchOf) ? a.norm.substr(kBatchOf.size()) : ""),
      .eps = a.eps,
      .execution = Execution::kDense,
      .gradient_rates = std::nullopt};
  const int64_t unread = call.weight.size(1) - call.parameters();
  const int64_t entry = a.entry_stride > 0 ? in_channels : 0;
  if (a.entry_stride > 0) call.blocks.push_back({.size = entry, .column = unread});
  for (size_t i = 0; i < a.ends.size(); ++i) {
    const int64_t begin = i == 0 ? 0 : a.ends[i - 1];
    call.blocks.push_back({.channel = begin,
                           .size = a.ends[i] - begin,
                           .target = a.targets[i],
                           .parameter = entry + begin,
                           .column = unread + entry + begin});
  }
  if (a.structure.empty()) return call;  // every candidate: there is nothing to leave out
  call.structure =
      contiguous({a.structure[0], a.structure[1], a.structure[2], a.structure[3], a.structure[4]});
  if (a.gradient_rates) call.gradient_rates = summable(*a.gradient_rates);
  if (a.gradient == "kept") {
    call.edges_alone = true;
    call.gradient_rates = at::zeros({call.channels()}, call.weight.options());
  }
  return call;
}

std::vector<int64_t> moments_of(const BlocksCall& call, int64_t batch) {
  if (call.statistics == Statistics::kInstance) return {batch, call.parameters()};
  return {call.parameters()};
}

BlocksOutput empty_output(const BlocksCall& call, const Tensor& input) {
  constexpr double kNoMean =
      std::numeric_limits<double>::quiet_NaN();  // of nothing, as torch has it
  const StateLayout layout(call, input);
  const auto options = call.weight.options();
  const auto moments = at::full(moments_of(call, layout.batch), kNoMean, options);
  return {at::empty({layout.batch, call.outputs(), layout.height, layout.width}, options), moments,
          moments.clone(),
          at::zeros({layout.chunks, call.kept_channels(), layout.stride}, options)};
}

BlocksGradients zero_gradients(const BlocksCall& call, const Tensor& input,
                               const Tensor& grad_output) {
  return {at::zeros(input.sizes(), grad_output.options()), at::zeros_like(call.weight),
          at::zeros_like(call.depthwise), at::zeros_like(call.norm_weight),
          at::zeros_like(call.norm_bias)};
}

}  // namespace rewire::ops
