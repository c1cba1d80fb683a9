// What a test may ask of the emulation of CUDA.
#pragma once

#include <cstdint>

namespace rewire::kernels::cuda::emulation {

// The order in which the blocks of a grid, the warps of a block and the lanes of a warp take turns.
enum class Order { kForward, kBackward, kShuffled };

// Holds for the launches of this thread of the host.
void set_order(Order order, uint64_t seed = 0);

// How many kernels this thread of the host has launched.
int64_t launches();

}  // namespace rewire::kernels::cuda::emulation
