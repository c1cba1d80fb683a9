// Runs the CUDA kernels of the ops, emulated, on tensors of the CPU.
#pragma once

#include <torch/library.h>

#include "support/cuda/order.h"

namespace rewire::test {

using kernels::cuda::emulation::Order;

// While it lives, every op that has a CUDA kernel uses it, emulated, for tensors of the CPU too.
class OnEmulation {
 public:
  explicit OnEmulation(Order order = Order::kForward, uint64_t seed = 0);

  // Kernels launched since it began.
  int64_t launches() const;

 private:
  torch::Library redirected_;
  int64_t launches_before_;
};

}  // namespace rewire::test
