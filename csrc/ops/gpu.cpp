#include "ops/gpu.h"

#include <ATen/Context.h>
#include <dlfcn.h>
#include <unistd.h>

namespace rewire::ops {
namespace {

std::string loading() {
  if (::access("/dev/nvidiactl", F_OK) != 0) return "no GPU here";
  if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) return ::dlerror();
  return at::globalContext().hasCUDA() ? "" : "torch can use no GPU here";
}

}  // namespace

std::string load_gpu() {
  static const std::string problem = loading();
  return problem;
}

}  // namespace rewire::ops
