#include <ATen/core/dispatch/Dispatcher.h>

#include "support/cuda/on_emulation.h"

namespace rewire::test {
namespace {

// librewire_emulated registers its kernels for this device, on which no tensor is.
constexpr auto kEmulated = c10::DispatchKey::PrivateUse1;

void to_emulation(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  op.redispatchBoxed(c10::DispatchKeySet(kEmulated), stack);
}

// Registering a kernel where there is one is what this is for; torch warns of it.
struct Silent : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

}  // namespace

OnEmulation::OnEmulation(Order order, uint64_t seed)
    : redirected_(torch::Library::IMPL, "rewire", c10::DispatchKey::CPU, __FILE__, __LINE__),
      launches_before_(kernels::cuda::emulation::launches()) {
  Silent silent;
  const c10::WarningUtils::WarningHandlerGuard guard(&silent);
  kernels::cuda::emulation::set_order(order, seed);
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    const auto op = c10::Dispatcher::singleton().findOp(name);
    // Ops composed of torch's for any device but the CPU are among them.
    if (name.name.starts_with("rewire::") && op->hasComputedKernelForDispatchKey(kEmulated)) {
      redirected_.impl(name.name.c_str(),
                       torch::CppFunction::makeFromBoxedFunction<&to_emulation>());
    }
  }
}

int64_t OnEmulation::launches() const {
  return kernels::cuda::emulation::launches() - launches_before_;
}

}  // namespace rewire::test
