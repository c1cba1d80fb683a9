#include "data/augment.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "data/resize.h"

namespace rewire::data {

void crop_padded(const Image& image, int64_t padding, int64_t top, int64_t left, Image& out) {
  out.reshape(image.channels, image.height, image.width);
  const int64_t width = image.width, height = image.height;
  // out(y, x) = image(y + dy, x + dx) where that exists.
  const int64_t dy = top - padding, dx = left - padding;
  const int64_t first = std::clamp<int64_t>(-dx, 0, width);
  const int64_t last = std::clamp<int64_t>(width - dx, first, width);
  for (int64_t c = 0; c < image.channels; ++c) {
    for (int64_t y = 0; y < height; ++y) {
      uint8_t* row = out.pixels.data() + (c * height + y) * width;
      if (y + dy < 0 || y + dy >= height) {
        std::fill_n(row, width, uint8_t{0});
        continue;
      }
      const uint8_t* source = image.pixels.data() + (c * height + y + dy) * width;
      std::fill(row, row + first, uint8_t{0});
      std::copy(source + first + dx, source + last + dx, row + first);
      std::fill(row + last, row + width, uint8_t{0});
    }
  }
}

void flip_horizontally(Image& image) {
  for (int64_t row = 0; row < image.channels * image.height; ++row) {
    uint8_t* pixels = image.pixels.data() + row * image.width;
    std::reverse(pixels, pixels + image.width);
  }
}

void augment(std::span<const Augmentation> steps, Random& random, Image& image, Image& scratch) {
  for (const Augmentation& step : steps) {
    if (step.kind == "random_crop") {
      const auto places = static_cast<uint32_t>(2 * step.padding + 1);
      const int64_t top = random.below(places);
      const int64_t left = random.below(places);
      crop_padded(image, step.padding, top, left, scratch);
      std::swap(image, scratch);
    } else if (step.kind == "horizontal_flip") {
      if (random.below(2) == 1) flip_horizontally(image);
    } else if (step.kind == "random_resized_crop") {
      const int64_t size = step.size.value();
      const Window window = random_window(step, random, image.height, image.width);
      resize(image, window, size, size, {0, 0, size, size}, scratch);
      std::swap(image, scratch);
    } else {
      throw std::invalid_argument("data.augment: no augmentation '" + step.kind +
                                  "' (random_crop, horizontal_flip or random_resized_crop)");
    }
  }
}

}  // namespace rewire::data
