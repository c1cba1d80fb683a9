// keep_strongest: the dense effective weight of a selection. Contract: rewire.h.
#include "kernels/cpu/keep_strongest.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/outputs.h"
#include "ops/rewire.h"
#include "ops/strongest.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Tensor& weight, int64_t keep, std::string_view gradient) {
  check_floating("keep_strongest", "weight", weight);
  check_count("keep_strongest", "keep", keep, weight.sym_numel());
  check_gradient("keep_strongest", gradient);
}

Tensor keep_strongest_cpu(const Tensor& weight, int64_t keep, std::string_view gradient) {
  Tensor out = allocate_keep_strongest(weight, keep, gradient);
  const Tensor dense = weight.contiguous();
  with_magnitudes(dense, [&]<typename Bits>(const kernels::Magnitudes<Bits>& magnitudes) {
    const auto cut = find_strongest("keep_strongest", magnitudes, num_rows(weight), keep).cut;
    at::parallel_for(0, weight.numel(), kGrain, [&](int64_t begin, int64_t end) {
      kernels::keep_strongest(magnitudes, cut, begin, end,
                              static_cast<Bits*>(out.mutable_data_ptr()));
    });
  });
  return out;
}

void check_backward(const Tensor& grad_output, const Tensor& mask) {
  check_floating("keep_strongest_backward", "grad_output", grad_output);
  check_mask("keep_strongest_backward", "mask", mask, grad_output);
}

Tensor keep_strongest_backward_meta(const Tensor& grad_output, const Tensor& mask) {
  check_backward(grad_output, mask);
  return at::empty_symint(grad_output.sym_sizes(), grad_output.options());
}

// grad_weight = grad_output where kept, else +0, also where grad_output is not finite. Composed of
// ops that every device has.
Tensor keep_strongest_backward_any(const Tensor& grad_output, const Tensor& mask) {
  check_backward(grad_output, mask);
  return at::where(mask, grad_output, 0).contiguous();
}

Tensor keep_strongest_backward(const Tensor& grad_output, const Tensor& mask) {
  static const auto op =
      find_op<Tensor(const Tensor&, const Tensor&)>("rewire::keep_strongest_backward");
  return op.call(grad_output, mask);
}

// Linear in grad_output, and so its own derivative.
struct KeepStrongestBackward : torch::autograd::Function<KeepStrongestBackward> {
  static Tensor forward(AutogradContext* ctx, const Tensor& grad_output, const Tensor& mask) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    ctx->save_for_backward({mask});
    return keep_strongest_backward(grad_output, mask);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    return {keep_strongest_backward(grads[0], ctx->get_saved_variables()[0]), Tensor()};
  }
};

// `kept` keeps the mask that its backward needs, and so selects once. `all` needs nothing: every
// entry's gradient is the output's, which is handed on as it is.
struct KeepStrongest : torch::autograd::Function<KeepStrongest> {
  static Tensor forward(AutogradContext* ctx, const Tensor& weight, int64_t keep,
                        std::string_view gradient) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    if (gradient != "kept") return keep_strongest(weight, keep, gradient);
    check(weight, keep, gradient);
    const Tensor mask = strongest_mask(weight, keep);
    ctx->save_for_backward({mask});
    return keep_strongest_backward(weight, mask);  // the same masking, of the weight itself
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor grad_weight =
        saved.empty() ? grads[0] : keep_strongest_backward(grads[0], saved[0]);
    return {grad_weight, Tensor(), Tensor()};
  }
};

Tensor keep_strongest_autograd(const Tensor& weight, int64_t keep, std::string_view gradient) {
  return KeepStrongest::apply(weight, keep, gradient);
}

Tensor keep_strongest_backward_autograd(const Tensor& grad_output, const Tensor& mask) {
  return KeepStrongestBackward::apply(grad_output, mask);
}

}  // namespace

Tensor allocate_keep_strongest(const Tensor& weight, int64_t keep, std::string_view gradient) {
  check(weight, keep, gradient);
  return at::empty_symint(weight.sym_sizes(), weight.options());
}

Tensor keep_strongest(const Tensor& weight, int64_t keep, std::string_view gradient) {
  static const auto op =
      find_op<Tensor(const Tensor&, int64_t, std::string_view)>("rewire::keep_strongest");
  return op.call(weight, keep, gradient);
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) { m.impl("keep_strongest", keep_strongest_cpu); }
TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("keep_strongest", allocate_keep_strongest);
  m.impl("keep_strongest_backward", keep_strongest_backward_meta);
}
TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) {
  m.impl("keep_strongest_backward", keep_strongest_backward_any);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) {
  m.impl("keep_strongest", keep_strongest_autograd);
  m.impl("keep_strongest_backward", keep_strongest_backward_autograd);
}

}  // namespace rewire::ops
