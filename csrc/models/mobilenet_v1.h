// MobileNetV1, plain: see mobilenet_v1.cpp and torchscript/mobilenet_v1.py.
#pragma once

#include "models/model.h"

namespace rewire::models {

Model build_mobilenet_v1(const MobileNetV1Description& description, const data::ImageSpec& spec,
                         at::Generator& generator);

}  // namespace rewire::models
