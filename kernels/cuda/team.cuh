// Teams of blocks that wait for one another in the middle of a kernel.
#pragma once

#include "kernels/cuda/block.cuh"
#include "kernels/cuda/stream.h"

namespace rewire::kernels::cuda {

// Of a launch: blocks number * size and on are team `number`.
struct Teams {
  int32_t size;
  unsigned* arrived;  // [teams] zero before the kernel starts
};

struct Team {
  int32_t number;
  int32_t size;
  int32_t share;  // of this block, [0, size)

  __device__ explicit Team(const Teams& teams)
      : number(blockIdx.x / teams.size),
        size(teams.size),
        share(blockIdx.x % teams.size),
        arrived_(teams.arrived + number) {}

  // As __syncthreads(), for all threads of the team.
  __device__ void wait() {
    __syncthreads();
    if (size == 1) return;
    if (threadIdx.x == 0) {
      expected_ += size;
      __threadfence();
      atomicAdd(arrived_, 1u);
      // The count may pass 2^32: it is the difference that is looked at.
      while (static_cast<int>(*static_cast<volatile unsigned*>(arrived_) - expected_) < 0) {
      }
      __threadfence();
    }
    __syncthreads();
  }

 private:
  unsigned* arrived_;
  unsigned expected_ = 0;
};

// Runs kernel(arguments, Teams) in teams of `size` blocks. Those must all be on the device at once:
// there may be no more blocks than it has multiprocessors, unless size is 1.
template <typename Arguments>
void launch_teams(void (*kernel)(Arguments, Teams), int64_t num_teams, int32_t size, int threads,
                  const Stream& stream, const Arguments& arguments) {
  Teams teams{size, nullptr};
  if (size == 1) {
    launch(kernel, num_teams, threads, 0, stream.handle, arguments, teams);
    return;
  }
  const size_t bytes = num_teams * sizeof(unsigned);
  teams.arrived = static_cast<unsigned*>(stream.scratch(bytes));
  zero(teams.arrived, bytes, stream.handle);
  launch_together(kernel, num_teams * size, threads, 0, stream.handle, arguments, teams);
}

}  // namespace rewire::kernels::cuda
