// From pixel bytes to the numbers that a network reads.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/description.h"
#include "data/image.h"

namespace rewire::data {

// table[c][x] = (x / max_value - mean[c]) / std[c], computed in float32 as torchvision does. An
// empty mean counts as zeros, an empty std as ones.
class NormalizationTable {
 public:
  // Throws ConfigError where mean or std is neither empty nor of `channels` values, and for a std
  // that is not above 0.
  NormalizationTable(const Normalization& normalization, int64_t channels, float max_value);

  // Writes the image's normalised values to out[channels * height * width], in the order of its
  // pixels. The image has the table's channels.
  void apply(const Image& image, float* out) const;

 private:
  std::vector<std::array<float, 256>> table_;
};

}  // namespace rewire::data
