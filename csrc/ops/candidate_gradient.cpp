// candidate_gradient: the gradient of a layer's candidates, of some of its outputs. Contract:
// rewire.h.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/check.h"
#include "ops/dense_product.h"
#include "ops/dispatch.h"
#include "ops/pointwise.h"
#include "ops/rewire.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kCandidateGradient = "candidate_gradient";

using Rates = std::optional<Tensor>;

void check(const Tensor& grad_output, const Tensor& input, const Rates& rates) {
  check_floating(kCandidateGradient, "grad_output", grad_output);
  check_dtype(kCandidateGradient, "input", input, grad_output);
  check_device(kCandidateGradient, "input", input, grad_output);
  const auto of_output = grad_output.sym_sizes(), of_input = input.sym_sizes();
  TORCH_CHECK(of_output.size() >= 2 && of_input.size() == of_output.size() &&
                  of_input[0] == of_output[0] && of_input.slice(2).equals(of_output.slice(2)),
              kCandidateGradient,
              ": expected grad_output [batch, out, ...] and input [batch, in, ...] that differ ",
              "in their channels alone, got ", of_output, " and ", of_input);
  if (rates) check_shape(kCandidateGradient, "rates", *rates, {of_output[1]}, grad_output);
}

Tensor gradient_of_all(const Tensor& grad_output, const Tensor& input) {
  return grad_weight_dense(maps_of(grad_output), maps_of(input)).to(input.scalar_type());
}

// Outputs of rate 0 cost nothing.
Tensor gradient_cpu(const Tensor& grad_output, const Tensor& input, const Rates& rates) {
  check(grad_output, input, rates);
  if (!rates) return gradient_of_all(grad_output, input);
  const Tensor chosen = rates->nonzero().squeeze(1);
  Tensor out = at::zeros({grad_output.size(1), input.size(1)}, grad_output.options());
  if (chosen.numel() == 0) return out;
  const Tensor part = gradient_of_all(grad_output.index_select(1, chosen), input);
  return out.index_copy_(0, chosen, part.mul_(rates->index_select(0, chosen).unsqueeze(1)));
}

// Elsewhere nothing waits for the rates.
Tensor gradient_any(const Tensor& grad_output, const Tensor& input, const Rates& rates) {
  check(grad_output, input, rates);
  const Tensor all = grad_of_candidates(grad_output, input);
  if (!rates) return all;
  const Tensor of_output = rates->unsqueeze(1);
  return (all * of_output).masked_fill_(of_output == 0, 0);
}

Tensor gradient_meta(const Tensor& grad_output, const Tensor& input, const Rates& rates) {
  check(grad_output, input, rates);
  return at::empty_symint({grad_output.sym_size(1), input.sym_size(1)}, grad_output.options());
}

// Bilinear. Rates are constants.
struct CandidateGradient : torch::autograd::Function<CandidateGradient> {
  static Tensor forward(AutogradContext* ctx, const Tensor& grad_output, const Tensor& input,
                        const Rates& rates) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    ctx->save_for_backward({grad_output, input, rates.value_or(Tensor())});
    return candidate_gradient(grad_output, input, rates);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor& rates = saved[2];
    const Tensor matrix = rates.defined() ? grads[0] * rates.unsqueeze(1) : grads[0];
    // Outputs of rate 0 take no part, be their numbers finite or not.
    const auto of_outputs_in_use = [&](const Tensor& maps) {
      if (!rates.defined()) return maps;
      return in_maps(maps).masked_fill((rates == 0).unsqueeze(1), 0).reshape_as(maps);
    };
    const auto times = [](const Tensor& matrix, const Tensor& maps, const Tensor& like) {
      const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
      return at::matmul(matrix, in_maps(maps)).reshape_as(like);
    };
    return {
        ctx->needs_input_grad(0) ? of_outputs_in_use(times(matrix, saved[1], saved[0])) : Tensor(),
        ctx->needs_input_grad(1) ? times(matrix.t(), of_outputs_in_use(saved[0]), saved[1])
                                 : Tensor(),
        Tensor()};
  }
};

Tensor gradient_autograd(const Tensor& grad_output, const Tensor& input, const Rates& rates) {
  return CandidateGradient::apply(grad_output, input, rates);
}

}  // namespace

Tensor candidate_gradient(const Tensor& grad_output, const Tensor& input, const Rates& rates) {
  static const auto op = find_op<decltype(gradient_cpu)>("rewire::candidate_gradient");
  return op.call(grad_output, input, rates);
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) { m.impl("candidate_gradient", gradient_cpu); }
TORCH_LIBRARY_IMPL(rewire, Meta, m) { m.impl("candidate_gradient", gradient_meta); }
TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) {
  m.impl("candidate_gradient", gradient_any);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) { m.impl("candidate_gradient", gradient_autograd); }

}  // namespace rewire::ops
