// Through c10's device-independent interface: librewire needs no CUDA header and no symbol of
// torch's CUDA libraries. Of CUDA it needs the runtime alone, to load too.
#include "ops/cuda/stream.h"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/core/Stream.h>

#include <memory>
#include <vector>

namespace rewire::ops {

kernels::cuda::Stream stream_of(const at::Tensor& tensor) {
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  const c10::Stream stream = device.getStream(tensor.device());
  // Freed with the Stream: the allocator hands memory out again in the order of the stream.
  const auto held = std::make_shared<std::vector<at::Tensor>>();
  const auto options = tensor.options().dtype(at::kByte);
  return {static_cast<cudaStream_t>(stream.native_handle()), [held, options](size_t bytes) {
            held->push_back(at::empty({static_cast<int64_t>(bytes)}, options));
            return held->back().mutable_data_ptr();
          }};
}

}  // namespace rewire::ops
