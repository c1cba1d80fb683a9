// What the ops with CUDA kernels say of a CUDA tensor where the library was built without them.
#include <c10/util/Exception.h>
#include <torch/library.h>

#include "ops/gpu.h"

namespace rewire::ops {
namespace {

void refuse(const c10::OperatorHandle& op, torch::jit::Stack*) {
  TORCH_CHECK(false, op.operator_name().name.substr(sizeof("rewire::") - 1),
              ": expected tensors on the CPU, got CUDA: this librewire.so was built without CUDA "
              "kernels; build it with CUDA=on");
}

}  // namespace

bool has_cuda_kernels() { return false; }

TORCH_LIBRARY_IMPL(rewire, CUDA, m) {
  for (const char* op :
       {"select", "strongest_mask", "keep_strongest", "targeted_dropout_mask", "wired_blocks",
        "wired_blocks_backward", "neuron_graph", "neuron_graph_backward"}) {
    m.impl(op, torch::CppFunction::makeFromBoxedFunction<&refuse>());
  }
}

}  // namespace rewire::ops
