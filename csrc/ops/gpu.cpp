#include "ops/gpu.h"

#include <ATen/Context.h>
#include <dlfcn.h>
#include <unistd.h>

namespace rewire::ops {

bool load_gpu() {
  if (::access("/dev/nvidiactl", F_OK) != 0) return false;
  static void* const cuda = ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  return cuda != nullptr && at::globalContext().hasCUDA();
}

}  // namespace rewire::ops
