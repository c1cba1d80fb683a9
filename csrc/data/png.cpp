// PNG through libpng's simplified interface, which keeps its longjmp to itself.
#include <fmt/format.h>
#include <png.h>
#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>

#include "data/image_decode.h"
#include "data/image_file.h"
#include "error.h"

namespace rewire::data {
namespace {

// Frees what libpng allocated on every way out.
struct Control {
  png_image image{};
  Control() { image.version = PNG_IMAGE_VERSION; }
  ~Control() { png_image_free(&image); }
};

// The file without the chunks that tell of its colour space, by which libpng would change the
// pixels' values; Pillow and torchvision read them as they are. What is no chunk stays, for libpng
// to complain of.
std::string without_color_space(std::string_view bytes) {
  constexpr size_t kSignature = 8, kFrame = 12;  // of a chunk: length, type and checksum
  std::string kept(bytes.substr(0, kSignature));
  bytes.remove_prefix(std::min(kSignature, bytes.size()));
  while (bytes.size() >= kFrame) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | uint8_t(bytes[i]);
    if (length > bytes.size() - kFrame) break;
    const std::string_view type = bytes.substr(4, 4);
    const bool is_space = type == "gAMA" || type == "cHRM" || type == "sRGB" || type == "iCCP";
    if (!is_space) kept += bytes.substr(0, kFrame + length);
    bytes.remove_prefix(kFrame + length);
  }
  return kept += bytes;
}

}  // namespace

Image decode_png(std::string_view file) {
  const std::string bytes = without_color_space(file);
  Control control;
  png_image& header = control.image;
  if (!png_image_begin_read_from_memory(&header, bytes.data(), bytes.size())) {
    throw std::runtime_error(fmt::format("PNG: {}", header.message));
  }
  check_pixels(header.width, header.height);
  const bool color = (header.format & PNG_FORMAT_FLAG_COLOR) != 0;
  const bool alpha = (header.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  // 16-bit files are as gamma-encoded as 8-bit ones; libpng would take them for linear.
  header.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  // Alpha is read, to be left out: without it in the format libpng would blend with a background.
  header.format = (color ? PNG_FORMAT_FLAG_COLOR : 0u) | (alpha ? PNG_FORMAT_FLAG_ALPHA : 0u);
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(header));
  if (!png_image_finish_read(&header, nullptr, pixels.data(), 0, nullptr)) {
    throw std::runtime_error(fmt::format("PNG: {}", header.message));
  }

  Image image;
  image.reshape(color ? 3 : 1, header.height, header.width);
  const auto row_bytes = static_cast<size_t>(PNG_IMAGE_ROW_STRIDE(header));
  for (int64_t y = 0; y < image.height; ++y) {
    put_row(std::span(pixels).subspan(y * row_bytes, row_bytes), image.channels + alpha, y, image);
  }
  return image;
}

std::string encode_png(int width, int height, std::span<const uint8_t> rgb) {
  if (width < 1 || height < 1 || rgb.size() != size_t{3} * width * height) {
    throw std::invalid_argument(
        fmt::format("encode_png: {} bytes, expected 3 * width * height of {} x {} pixels",
                    rgb.size(), width, height));
  }
  Control control;
  png_image& header = control.image;
  header.width = static_cast<png_uint_32>(width);
  header.height = static_cast<png_uint_32>(height);
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::string bytes(size, '\0');
  if (!png_image_write_to_memory(&header, bytes.data(), &size, 0, rgb.data(), 0, nullptr)) {
    throw std::runtime_error(fmt::format("encode_png: {}", header.message));
  }
  bytes.resize(size);
  return bytes;
}

void write_png(const std::filesystem::path& path, int width, int height,
               std::span<const uint8_t> rgb) {
  std::ofstream file(path, std::ios::binary);
  file << encode_png(width, height, rgb) << std::flush;
  if (!file) throw DataError(fmt::format("{}: cannot be written", path.string()));
}

}  // namespace rewire::data
