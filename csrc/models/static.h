// The static small classifier: see static.cpp and torchscript/static.py.
#pragma once

#include "models/model.h"

namespace rewire::models {

Model build_static(const StaticDescription& description, const data::ImageSpec& spec,
                   at::Generator& generator);

}  // namespace rewire::models
