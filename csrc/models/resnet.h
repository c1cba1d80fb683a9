// ResNets whose convolutions are wired: see resnet.cpp and torchscript/resnet.py.
#pragma once

#include "models/model.h"

namespace rewire::models {

Model build_resnet(const ResNetDescription& description, const data::ImageSpec& spec,
                   at::Generator& generator);

}  // namespace rewire::models
