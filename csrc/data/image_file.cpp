#include "data/image_file.h"

#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <algorithm>
#include <stdexcept>

#include "data/file.h"
#include "data/image_decode.h"
#include "data/normalize.h"
#include "data/resize.h"
#include "error.h"

namespace rewire::data {
namespace {

// Room for an image of kMaxImagePixels that compresses to nothing less than its RGB bytes.
constexpr int64_t kMaxFile = 4 * kMaxImagePixels;

Image center_square(const Image& image) {
  Image out;
  const int64_t side = std::min(image.height, image.width);
  const int64_t top = (image.height - side) / 2, left = (image.width - side) / 2;
  out.reshape(image.channels, side, side);
  for (int64_t c = 0; c < image.channels; ++c) {
    for (int64_t y = 0; y < side; ++y) {
      const uint8_t* row = image.pixels.data() + (c * image.height + top + y) * image.width + left;
      std::copy_n(row, side, out.pixels.data() + (c * side + y) * side);
    }
  }
  return out;
}

// ITU-R 601 luma in 16-bit fixed point, the numbers of Pillow's mode L.
uint8_t luma(uint32_t red, uint32_t green, uint32_t blue) {
  return static_cast<uint8_t>((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
}

bool is_png(std::string_view bytes) { return bytes.starts_with("\x89PNG"); }
bool is_jpeg(std::string_view bytes) { return bytes.starts_with("\xFF\xD8"); }

}  // namespace

Image with_channels(Image image, int64_t channels) {
  if (image.channels == channels) return image;
  Image out;
  out.reshape(channels, image.height, image.width);
  const int64_t plane = image.height * image.width;
  const uint8_t* from = image.pixels.data();
  if (image.channels == 1) {
    for (int64_t c = 0; c < channels; ++c) {
      std::copy_n(from, plane, out.pixels.data() + c * plane);
    }
    return out;
  }
  for (int64_t i = 0; i < plane; ++i) {
    out.pixels[i] = luma(from[i], from[plane + i], from[2 * plane + i]);
  }
  return out;
}

void check_pixels(int64_t width, int64_t height) {
  if (width * height > kMaxImagePixels) {
    throw std::runtime_error(
        fmt::format("{}x{} pixels, expected at most {} in all", width, height, kMaxImagePixels));
  }
}

void put_row(std::span<const uint8_t> interleaved, int64_t stride, int64_t y, Image& image) {
  for (int64_t c = 0; c < image.channels; ++c) {
    uint8_t* row = image.pixels.data() + (c * image.height + y) * image.width;
    for (int64_t x = 0; x < image.width; ++x) row[x] = interleaved[x * stride + c];
  }
}

bool is_png_or_jpeg(std::string_view first_bytes) {
  return is_png(first_bytes) || is_jpeg(first_bytes);
}

Image decode_image(std::string_view bytes, const std::string& name) {
  try {
    if (is_png(bytes)) return decode_png(bytes);
    if (is_jpeg(bytes)) return decode_jpeg(bytes);
  } catch (const std::runtime_error& error) {
    throw DataError(fmt::format("{}: {}", name, error.what()));
  }
  throw DataError(fmt::format("{}: {}", name, bytes.empty() ? "empty" : "neither PNG nor JPEG"));
}

Image read_image(const std::filesystem::path& path) {
  return decode_image(read_file(path, kMaxFile), path.string());
}

at::Tensor to_input(const Image& image, const ImageSpec& spec, const Normalization& normalization) {
  const NormalizationTable table(normalization, spec.channels, 255);
  Image square = with_channels(image, spec.channels), scratch;
  fit(spec, square, scratch);
  const bool fits = square.height == spec.size && square.width == spec.size;
  if (!fits) square = center_square(square);
  // Normalising before resizing: the two commute, and the pixels of an image that fits come out
  // with the loader's own bits.
  const at::Tensor input = at::empty({1, spec.channels, square.height, square.width}, at::kFloat);
  table.apply(square, input.mutable_data_ptr<float>());
  if (fits) return input;
  return at::_upsample_bilinear2d_aa(input, {spec.size, spec.size}, /*align_corners=*/false);
}

}  // namespace rewire::data
