// MobileNetV1, plain: see mobilenet_v1.cpp and torchscript/mobilenet_v1.py.
#pragma once

#include "models/model.h"

namespace rewire::models {

// Up to this size of an image the first convolution does not stride; of the wired one too.
inline constexpr int64_t kSmallImage = 64;

Model build_mobilenet_v1(const MobileNetV1Description& description, const data::ImageSpec& spec,
                         at::Generator& generator);

}  // namespace rewire::models
