// Numbers that several processes add up in place.
#pragma once

#include <string_view>
#include <vector>

namespace rewire::ops {

// As the op of that name; without a group nothing is to be added.
void sum_over_peers(std::vector<double>& values, std::string_view group);

}  // namespace rewire::ops
