// wired_blocks: the blocks of a wired network that share one state. Contract: rewire.h.
#include "ops/wired_blocks.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "kernels/cpu/sparse_product.h"
#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/pointwise.h"
#include "ops/structure.h"

namespace rewire::ops {

StateLayout::StateLayout(int64_t batch, int64_t height, int64_t width)
    : batch(batch), height(height), width(width) {
  const int64_t one = std::max<int64_t>(1, places());
  images = std::max<int64_t>(1, kernels::kTile / one);
  const int64_t whole = kernels::kFewestColumns;
  stride = (images * one + whole - 1) / whole * whole;
  chunks = (batch + images - 1) / images;
}

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Given = std::optional<Tensor>;
using Outputs = std::tuple<Tensor, Tensor, Tensor, Tensor>;
using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

constexpr const char* kOp = "wired_blocks";
constexpr const char* kBackward = "wired_blocks_backward";

void check_blocks(const char* op, const Tensor& weight, at::IntArrayRef ends,
                  at::IntArrayRef targets) {
  TORCH_CHECK(!ends.empty() && ends.size() == targets.size(), op,
              ": expected as many targets as ends, at least one, got ", targets.size(), " and ",
              ends.size());
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

void check_vector(const char* op, const char* name, const Tensor& tensor, c10::SymIntArrayRef sizes,
                  const Tensor& like) {
  check_dtype(op, name, tensor, like);
  TORCH_CHECK(tensor.sym_sizes().equals(sizes), op, ": expected ", name, " of shape ", sizes,
              ", got ", tensor.sym_sizes());
  check_device(op, name, tensor, like);
}

// What forward and backward both get.
void check_common(const char* op, const Tensor& weight, at::TensorList structure,
                  const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                  at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm,
                  std::string_view gradient, std::string_view execution) {
  check_floating(op, "weight", weight);
  const auto sizes = weight.sym_sizes();
  TORCH_CHECK(sizes.size() == 2 || (sizes.size() == 4 && sizes[2] == 1 && sizes[3] == 1), op,
              ": expected weight of shape [channels, columns], got ", sizes);
  check_blocks(op, weight, ends, targets);
  check_structures(op, weight, structure);
  const c10::SymInt own = ends.back();
  check_vector(op, "depthwise", depthwise, {own, 1, 3, 3}, weight);
  check_vector(op, "norm_weight", norm_weight, {own}, weight);
  check_vector(op, "norm_bias", norm_bias, {own}, weight);
  TORCH_CHECK(norm == "instance" || norm == "batch" || norm == "given", op,
              ": expected norm `instance`, `batch` or `given`, got `", norm, "`");
  check_gradient(op, gradient);
  check_execution(op, execution);
}

void check_forward(const Tensor& input, const Tensor& weight, at::TensorList structure,
                   const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                   const Given& mean, const Given& variance, at::IntArrayRef ends,
                   at::IntArrayRef targets, std::string_view norm, std::string_view gradient,
                   std::string_view execution) {
  check_common(kOp, weight, structure, depthwise, norm_weight, norm_bias, ends, targets, norm,
               gradient, execution);
  check_dtype(kOp, "input", input, weight);
  check_device(kOp, "input", input, weight);
  TORCH_CHECK(input.dim() == 4 && weight.sym_size(0) >= input.sym_size(1), kOp,
              ": expected input of shape [batch, at most ", weight.sym_size(0),
              ", height, width], got ", input.sym_sizes());
  const c10::SymInt own = ends.back();
  const bool given = norm == "given";
  TORCH_CHECK(mean.has_value() == given && variance.has_value() == given, kOp,
              ": expected mean and variance if norm is `given`, and only then, got norm `", norm,
              "`");
  if (!given) return;
  check_vector(kOp, "mean", *mean, {own}, weight);
  check_vector(kOp, "variance", *variance, {own}, weight);
}

// Of the candidates that the blocks read.
double density(const BlocksCall& call) {
  double edges = 0, readable = 0;
  for (int64_t i = 0; i < call.num_blocks(); ++i) {
    const kernels::Edges block = call.edges_of(i);
    block.for_each([&](int64_t, int64_t, int64_t) { ++edges; });
    readable += double(block.num_targets) * double(block.num_sources);
  }
  return edges / readable;
}

BlocksCall call_of(const Tensor& weight, at::TensorList structure, const Tensor& depthwise,
                   const Tensor& norm_weight, const Tensor& norm_bias, at::IntArrayRef ends,
                   at::IntArrayRef targets, std::string_view norm, double eps,
                   std::string_view execution, const char* op) {
  BlocksCall call{.weight = summable(weight).flatten(1).detach(),
                  .structure = std::nullopt,
                  .depthwise = summable(depthwise).flatten(1),
                  .norm_weight = summable(norm_weight),
                  .norm_bias = summable(norm_bias),
                  .ends = ends.vec(),
                  .targets = targets.vec(),
                  .statistics = norm == "instance" ? Statistics::kInstance
                                : norm == "batch"  ? Statistics::kBatch
                                                   : Statistics::kGiven,
                  .eps = eps,
                  .execution = Execution::kDense};
  if (structure.empty()) return call;  // every candidate: there is nothing to leave out
  call.structure =
      contiguous({structure[0], structure[1], structure[2], structure[3], structure[4]});
  check_edges(op, *call.structure);
  call.execution = resolve_execution(execution, density(call));
  return call;
}

Outputs forward_cpu(const Tensor& input, const Tensor& weight, at::TensorList structure,
                    const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                    const Given& mean, const Given& variance, at::IntArrayRef ends,
                    at::IntArrayRef targets, std::string_view norm, double eps,
                    std::string_view gradient, std::string_view execution) {
  check_forward(input, weight, structure, depthwise, norm_weight, norm_bias, mean, variance, ends,
                targets, norm, gradient, execution);
  const BlocksCall call = call_of(weight, structure, depthwise, norm_weight, norm_bias, ends,
                                  targets, norm, eps, execution, kOp);
  const BlocksOutput results =
      wired_blocks_forward(call, summable(input), mean ? summable(*mean) : Tensor(),
                           variance ? summable(*variance) : Tensor());
  // Given statistics are an argument: no output may be one.
  const bool given = norm == "given";
  const Tensor none = at::empty({0}, results.state.options());
  return {results.output.to(input.scalar_type()), given ? none : results.mean,
          given ? none.clone() : results.variance, results.state};
}

at::ScalarType summing_dtype(const Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

Outputs forward_meta(const Tensor& input, const Tensor& weight, at::TensorList structure,
                     const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                     const Given& mean, const Given& variance, at::IntArrayRef ends,
                     at::IntArrayRef targets, std::string_view norm, double,
                     std::string_view gradient, std::string_view execution) {
  check_forward(input, weight, structure, depthwise, norm_weight, norm_bias, mean, variance, ends,
                targets, norm, gradient, execution);
  const auto options = input.options().dtype(summing_dtype(input));
  const auto sizes = input.sym_sizes();
  // Maps are small, and of one size in a model: their layout is not symbolic.
  const StateLayout layout(1, sizes[2].guard_int(__FILE__, __LINE__),
                           sizes[3].guard_int(__FILE__, __LINE__));
  std::vector<c10::SymInt> moments{ends.back()};
  if (norm == "instance") moments.insert(moments.begin(), sizes[0]);
  if (norm == "given") moments = {0};
  return {at::empty_symint({sizes[0], weight.sym_size(0) - targets.back(), sizes[2], sizes[3]},
                           input.options()),
          at::empty_symint(moments, options), at::empty_symint(moments, options),
          at::empty_symint(
              {(sizes[0] + (layout.images - 1)) / layout.images, weight.sym_size(0), layout.stride},
              options)};
}

void check_backward(const Tensor& grad_output, const Tensor& weight, int64_t in_channels,
                    at::IntArrayRef targets) {
  check_dtype(kBackward, "grad_output", grad_output, weight);
  check_device(kBackward, "grad_output", grad_output, weight);
  const c10::SymInt outputs = weight.sym_size(0) - targets.back();
  TORCH_CHECK(grad_output.dim() == 4 && grad_output.sym_size(1) == outputs, kBackward,
              ": expected grad_output of shape [batch, ", outputs, ", height, width], got ",
              grad_output.sym_sizes());
  check_count(kBackward, "in_channels", in_channels, weight.sym_size(0));
}

// mean, variance and state are those that forward returned, or was given.
Gradients backward_cpu(const Tensor& grad_output, const Tensor& weight, at::TensorList structure,
                       const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                       const Tensor& mean, const Tensor& variance, const Tensor& state,
                       int64_t in_channels, at::IntArrayRef ends, at::IntArrayRef targets,
                       std::string_view norm, double eps, std::string_view gradient,
                       std::string_view execution) {
  check_common(kBackward, weight, structure, depthwise, norm_weight, norm_bias, ends, targets, norm,
               gradient, execution);
  check_backward(grad_output, weight, in_channels, targets);
  const BlocksCall call = call_of(weight, structure, depthwise, norm_weight, norm_bias, ends,
                                  targets, norm, eps, execution, kBackward);
  const StateLayout layout(grad_output.size(0), grad_output.size(2), grad_output.size(3));
  const Tensor like = at::empty({0}, weight.options().dtype(summing_dtype(weight)));
  check_vector(kBackward, "state", state, {layout.chunks, call.channels(), layout.stride}, like);
  std::vector<c10::SymInt> moments{call.own()};
  if (norm == "instance") moments.insert(moments.begin(), layout.batch);
  check_vector(kBackward, "mean", summable(mean), moments, like);
  check_vector(kBackward, "variance", summable(variance), moments, like);
  const BlocksGradients grads =
      wired_blocks_gradients(call, summable(grad_output), in_channels, summable(mean),
                             summable(variance), state.contiguous(), gradient);
  const auto dtype = weight.scalar_type();
  return {grads.input.to(dtype), grads.weight.to(dtype).view(weight.sizes()),
          grads.depthwise.to(dtype).view(depthwise.sizes()), grads.norm_weight.to(dtype),
          grads.norm_bias.to(dtype)};
}

Gradients backward_meta(const Tensor& grad_output, const Tensor& weight, at::TensorList structure,
                        const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                        const Tensor&, const Tensor&, const Tensor&, int64_t in_channels,
                        at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm,
                        double, std::string_view gradient, std::string_view execution) {
  check_common(kBackward, weight, structure, depthwise, norm_weight, norm_bias, ends, targets, norm,
               gradient, execution);
  check_backward(grad_output, weight, in_channels, targets);
  const auto sizes = grad_output.sym_sizes();
  return {at::empty_symint({sizes[0], in_channels, sizes[2], sizes[3]}, grad_output.options()),
          at::empty_symint(weight.sym_sizes(), weight.options()),
          at::empty_symint(depthwise.sym_sizes(), weight.options()),
          at::empty_symint(norm_weight.sym_sizes(), weight.options()),
          at::empty_symint(norm_bias.sym_sizes(), weight.options())};
}

Gradients call_backward(const Tensor& grad_output, const Tensor& weight, at::TensorList structure,
                        const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                        const Tensor& mean, const Tensor& variance, const Tensor& state,
                        int64_t in_channels, at::IntArrayRef ends, at::IntArrayRef targets,
                        std::string_view norm, double eps, std::string_view gradient,
                        std::string_view execution) {
  static const auto op = find_op<decltype(backward_cpu)>("rewire::wired_blocks_backward");
  return op.call(grad_output, weight, structure, depthwise, norm_weight, norm_bias, mean, variance,
                 state, in_channels, ends, targets, norm, eps, gradient, execution);
}

struct Blocks : torch::autograd::Function<Blocks> {
  static variable_list forward(AutogradContext* ctx, const Tensor& input, const Tensor& weight,
                               const std::vector<Tensor>& structure, const Tensor& depthwise,
                               const Tensor& norm_weight, const Tensor& norm_bias,
                               const Given& mean, const Given& variance,
                               const std::vector<int64_t>& ends,
                               const std::vector<int64_t>& targets, std::string_view norm,
                               double eps, std::string_view gradient, std::string_view execution) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [output, own_mean, own_variance, state] =
        wired_blocks(input, weight, structure, depthwise, norm_weight, norm_bias, mean, variance,
                     ends, targets, norm, eps, gradient, execution);
    variable_list saved{weight,
                        depthwise,
                        norm_weight,
                        norm_bias,
                        mean.value_or(own_mean),
                        variance.value_or(own_variance),
                        state};
    saved.insert(saved.end(), structure.begin(), structure.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["in_channels"] = input.size(1);
    ctx->saved_data["ends"] = ends;
    ctx->saved_data["targets"] = targets;
    ctx->saved_data["norm"] = std::string(norm);
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["gradient"] = std::string(gradient);
    ctx->saved_data["execution"] = std::string(execution);
    ctx->mark_non_differentiable({own_mean, own_variance, state});
    ctx->set_materialize_grads(false);  // the state is large, and has no gradient
    return {output, own_mean, own_variance, state};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return variable_list(14);
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<Tensor> structure(saved.begin() + 7, saved.end());
    auto& data = ctx->saved_data;
    const auto [input, weight, depthwise, norm_weight, norm_bias] = call_backward(
        grads[0], saved[0], structure, saved[1], saved[2], saved[3], saved[4], saved[5], saved[6],
        data["in_channels"].toInt(), data["ends"].toIntVector(), data["targets"].toIntVector(),
        data["norm"].toStringRef(), data["eps"].toDouble(), data["gradient"].toStringRef(),
        data["execution"].toStringRef());
    return {input,    weight,   Tensor(), depthwise, norm_weight, norm_bias, Tensor(),
            Tensor(), Tensor(), Tensor(), Tensor(),  Tensor(),    Tensor(),  Tensor()};
  }
};

Outputs forward_autograd(const Tensor& input, const Tensor& weight, at::TensorList structure,
                         const Tensor& depthwise, const Tensor& norm_weight,
                         const Tensor& norm_bias, const Given& mean, const Given& variance,
                         at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm,
                         double eps, std::string_view gradient, std::string_view execution) {
  const auto out =
      Blocks::apply(input, weight, structure.vec(), depthwise, norm_weight, norm_bias, mean,
                    variance, ends.vec(), targets.vec(), norm, eps, gradient, execution);
  return {out[0], out[1], out[2], out[3]};
}

// Its derivative is not there: better no answer than 0.
struct BlocksBackward : torch::autograd::Function<BlocksBackward> {
  template <typename... Arguments>
  static variable_list forward(AutogradContext*, const Tensor& grad_output,
                               const Arguments&... arguments) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto grads = call_backward(grad_output, arguments...);
    return {std::get<0>(grads), std::get<1>(grads), std::get<2>(grads), std::get<3>(grads),
            std::get<4>(grads)};
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK(false, "wired_blocks_backward: has no derivative: wired_blocks can be ",
                "differentiated once");
  }
};

Gradients backward_autograd(const Tensor& grad_output, const Tensor& weight,
                            at::TensorList structure, const Tensor& depthwise,
                            const Tensor& norm_weight, const Tensor& norm_bias, const Tensor& mean,
                            const Tensor& variance, const Tensor& state, int64_t in_channels,
                            at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm,
                            double eps, std::string_view gradient, std::string_view execution) {
  const auto grads = BlocksBackward::apply(grad_output, weight, structure, depthwise, norm_weight,
                                           norm_bias, mean, variance, state, in_channels, ends,
                                           targets, norm, eps, gradient, execution);
  return {grads[0], grads[1], grads[2], grads[3], grads[4]};
}

void refuse(const c10::OperatorHandle& op, torch::jit::Stack*) {
  TORCH_CHECK(false, op.operator_name().name.substr(sizeof("rewire::") - 1),
              ": expected tensors on the CPU, got CUDA: it has no CUDA kernels in this version");
}

}  // namespace

Outputs wired_blocks(const Tensor& input, const Tensor& weight, at::TensorList structure,
                     const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                     const Given& mean, const Given& variance, at::IntArrayRef ends,
                     at::IntArrayRef targets, std::string_view norm, double eps,
                     std::string_view gradient, std::string_view execution) {
  static const auto op = find_op<decltype(forward_cpu)>("rewire::wired_blocks");
  return op.call(input, weight, structure, depthwise, norm_weight, norm_bias, mean, variance, ends,
                 targets, norm, eps, gradient, execution);
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) {
  m.impl("wired_blocks", forward_cpu);
  m.impl("wired_blocks_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(rewire, CUDA, m) {
  m.impl("wired_blocks", torch::CppFunction::makeFromBoxedFunction<&refuse>());
  m.impl("wired_blocks_backward", torch::CppFunction::makeFromBoxedFunction<&refuse>());
}
TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("wired_blocks", forward_meta);
  m.impl("wired_blocks_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) {
  m.impl("wired_blocks", forward_autograd);
  m.impl("wired_blocks_backward", backward_autograd);
}

}  // namespace rewire::ops
