// One decoder a format, behind image_file.h. Each throws std::runtime_error with the bare cause.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "data/image.h"

namespace rewire::data {

Image decode_png(std::string_view bytes);
Image decode_jpeg(std::string_view bytes);

// Throws where width * height exceeds kMaxImagePixels.
void check_pixels(int64_t width, int64_t height);

// Copies a row of interleaved pixels, `stride` bytes apart, into row `y` of the image's planes; the
// bytes beyond the image's channels are left out.
void put_row(std::span<const uint8_t> interleaved, int64_t stride, int64_t y, Image& image);

}  // namespace rewire::data
