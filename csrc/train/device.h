// The device that models run on, by its name.
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace rewire::train {

// auto: the first GPU where there are one and kernels for it, else the CPU; cpu; cuda, the first
// GPU; cuda:N. A GPU is set to compute the same bits each time where LibTorch has a way to, which
// warns of the others. Called before anything else asks LibTorch about CUDA. Throws ConfigError,
// "--device ...", for another name and for a GPU that cannot be used.
at::Device device_named(const std::string& name);

}  // namespace rewire::train
