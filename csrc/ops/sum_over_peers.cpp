// sum_over_peers: a sum over processes, with its gradient. Contract: rewire.h.
//
// Composed of torch's functional collectives, on every device: they know the groups by their names.
#include "ops/sum_over_peers.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <string>

#include "ops/dispatch.h"
#include "ops/rewire.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Tensor& x, std::string_view group) {
  TORCH_CHECK(x.is_floating_point() || x.scalar_type() == at::kLong,
              "sum_over_peers: expected x floating or int64, got ", x.scalar_type());
  TORCH_CHECK(!group.empty(), "sum_over_peers: expected the name of a group, got none");
}

// Called with values in boxes: the types of their arguments differ between versions of torch.
c10::OperatorHandle collective(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
}

Tensor sum_any(const Tensor& x, std::string_view group) {
  check(x, group);
  static const auto start = collective("_c10d_functional::all_reduce");
  static const auto wait = collective("_c10d_functional::wait_tensor");
  torch::jit::Stack stack{x.contiguous(), "sum", std::string(group)};
  start.callBoxed(stack);
  wait.callBoxed(stack);
  return stack[0].toTensor();
}

Tensor sum_meta(const Tensor& x, std::string_view group) {
  check(x, group);
  return at::empty_symint(x.sym_sizes(), x.options());
}

struct Sum : torch::autograd::Function<Sum> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, std::string_view group) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    ctx->saved_data["group"] = std::string(group);
    return sum_over_peers(x, group);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    return {sum_over_peers(grads[0], ctx->saved_data["group"].toStringRef()), Tensor()};
  }
};

Tensor sum_autograd(const Tensor& x, std::string_view group) { return Sum::apply(x, group); }

}  // namespace

Tensor sum_over_peers(const Tensor& x, std::string_view group) {
  static const auto op = find_op<Tensor(const Tensor&, std::string_view)>("rewire::sum_over_peers");
  return op.call(x, group);
}

void sum_over_peers(std::vector<double>& values, std::string_view group) {
  if (group.empty()) return;
  const Tensor own = at::from_blob(values.data(), {int64_t(values.size())}, at::kDouble);
  const Tensor all = sum_over_peers(own, group);
  std::copy_n(all.const_data_ptr<double>(), values.size(), values.begin());
}

TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) { m.impl("sum_over_peers", sum_any); }
TORCH_LIBRARY_IMPL(rewire, Meta, m) { m.impl("sum_over_peers", sum_meta); }
TORCH_LIBRARY_IMPL(rewire, Autograd, m) { m.impl("sum_over_peers", sum_autograd); }

}  // namespace rewire::ops
