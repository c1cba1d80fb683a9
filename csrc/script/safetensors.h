// Tensors in the safetensors format: a JSON header with names, types, shapes and offsets, then
// bytes.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace rewire::script {

// The bytes of a safetensors file holding `tensors` in this order, with `metadata` as its
// __metadata__. Throws std::invalid_argument for a type that the format lacks.
// Source: the format's description in the safetensors project, version 0.4.
std::string to_safetensors(const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                           const std::vector<std::pair<std::string, std::string>>& metadata = {});

}  // namespace rewire::script
