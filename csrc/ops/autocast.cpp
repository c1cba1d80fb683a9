// The layers under autocast: as torch's linear and convolution they take floating arguments in the
// type that it names; wired_blocks and wired_ode_step, which normalise and
// add up a state, and neuron_graph, whose sums feed sums, take them in float32.
// What chooses edges falls through: it sees the weights as they are.
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

namespace rewire::ops {
namespace {

enum class Take { kLower, kSingle };

template <at::DeviceType kDevice, Take kTake>
void call_cast(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  namespace autocast = at::autocast;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(
      autocast::get_autocast_dispatch_key_from_device_type(kDevice));
  const at::ScalarType type =
      kTake == Take::kLower ? autocast::get_autocast_dtype(kDevice) : at::kFloat;
  const size_t count = op.schema().arguments().size();
  for (size_t i = 0; i < count; ++i) {
    c10::IValue& argument = torch::jit::peek(*stack, i, count);
    if (argument.isTensor()) {  // one that is no float, or a double, stays
      argument = autocast::cached_cast(type, argument.toTensor(), kDevice);
    }
  }
  op.callBoxed(stack);
}

template <at::DeviceType kDevice>
void register_on(torch::Library& m) {
  using torch::CppFunction;
  for (const char* name :
       {"sparse_linear", "sparse_pointwise", "wired_linear", "wired_pointwise"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&call_cast<kDevice, Take::kLower>>());
  }
  for (const char* name : {"wired_blocks", "wired_ode_step", "neuron_graph"}) {
    m.impl(name, CppFunction::makeFromBoxedFunction<&call_cast<kDevice, Take::kSingle>>());
  }
}

}  // namespace

TORCH_LIBRARY_IMPL(rewire, AutocastCPU, m) { register_on<at::kCPU>(m); }
TORCH_LIBRARY_IMPL(rewire, AutocastCUDA, m) { register_on<at::kCUDA>(m); }

}  // namespace rewire::ops
