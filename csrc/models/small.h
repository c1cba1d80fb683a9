// The small classifiers: see small.cpp and torchscript/{static,discrete,continuous}.py.
#pragma once

#include "models/model.h"

namespace rewire::models {

Model build_small(const SmallDescription& description, const data::ImageSpec& spec,
                  at::Generator& generator);

}  // namespace rewire::models
