// Resizing as Pillow computes it for images of bytes, and what torchvision cuts out with it.
#pragma once

#include <cstdint>

#include "data/description.h"
#include "data/image.h"
#include "data/random.h"

namespace rewire::data {

// A rectangle of pixels.
struct Window {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;
};

// Of `part` of the image, resized bilinearly and with antialiasing to height x width, the pixels in
// `window`: the same as if all were computed and these cut out. Both windows lie inside, and
// nothing is empty. The result has the bits of Pillow's crop(part).resize((width, height),
// BILINEAR): first the rows, then the columns, rounded to bytes in between, by coefficients of 22
// bits. (From version 13 on Pillow takes the columns first where they shrink and the rows do not:
// that differs by a grey level.)
// Source: Pillow 12, src/libImaging/Resample.c.
void resize(const Image& image, const Window& part, int64_t height, int64_t width,
            const Window& window, Image& out);

// A test image of any size as the network sees it: its short side becomes spec.resize, the long one
// in proportion, rounded down, and the square of spec.size in the middle is cut out. Half of an odd
// margin is rounded to the even neighbour. So torchvision's Resize and CenterCrop have it. Nothing
// is done where spec.resize is 0.
void fit(const ImageSpec& spec, Image& image, Image& scratch);

// What torchvision's RandomResizedCrop cuts out: ten times a part of the area, uniform in
// step.scale, and a width over height whose logarithm is uniform in that of step.ratio are drawn;
// the first that fits lies anywhere, each place equally likely. If none does, the middle, of the
// nearest ratio.
Window random_window(const Augmentation& step, Random& random, int64_t height, int64_t width);

}  // namespace rewire::data
