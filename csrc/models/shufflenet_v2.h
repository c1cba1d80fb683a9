// ShuffleNetV2: see shufflenet_v2.cpp and torchscript/shufflenet_v2.py.
#pragma once

#include "models/model.h"

namespace rewire::models {

// Throws std::invalid_argument for a width that nobody has published.
Model build_shufflenet_v2(const ShuffleNetV2Description& description, const data::ImageSpec& spec,
                          at::Generator& generator);

}  // namespace rewire::models
