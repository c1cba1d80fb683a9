// A decoded image: what a dataset hands out and augmentation works on.
#pragma once

#include <cstdint>
#include <vector>

namespace rewire::data {

// pixels[(c * height + y) * width + x], channels 1 (grey) or 3 (red, green, blue), row 0 on top.
struct Image {
  int64_t channels = 0;
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;

  // Sets the shape; the pixels' values are unspecified. Keeps the memory where it suffices.
  void reshape(int64_t new_channels, int64_t new_height, int64_t new_width) {
    channels = new_channels;
    height = new_height;
    width = new_width;
    pixels.resize(static_cast<size_t>(channels * height * width));
  }
};

}  // namespace rewire::data
