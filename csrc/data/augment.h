// Augmentation of training images, on bytes and before normalisation, as torchvision does it.
#pragma once

#include <cstdint>
#include <span>

#include "data/description.h"
#include "data/image.h"
#include "data/random.h"

namespace rewire::data {

// Applies `steps` to `image` in order. All but the last kind keep its shape.
//   random_crop      draws the top, then the left edge, each uniform in [0, 2 * padding]
//   horizontal_flip  draws below(2) and flips where that is 1
//   random_resized_crop  random_window of resize.h, resized to a square of step.size, which is set
// `scratch` is working memory, kept by the caller for the next image.
// Throws std::invalid_argument for an unknown kind.
void augment(std::span<const Augmentation> steps, Random& random, Image& image, Image& scratch);

// The window of `image`'s own size whose corner is at row `top`, column `left` of the image padded
// with `padding` zero (black) pixels on each side. top, left in [0, 2 * padding].
void crop_padded(const Image& image, int64_t padding, int64_t top, int64_t left, Image& out);

// Mirrors left and right, in place.
void flip_horizontally(Image& image);

}  // namespace rewire::data
