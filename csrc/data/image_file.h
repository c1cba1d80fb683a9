// Image files in and out, and a decoded image as a network's input.
#pragma once

#include <ATen/core/Tensor.h>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "data/description.h"
#include "data/image.h"

namespace rewire::data {

// Larger images are refused when their header has been read, before memory is taken for them.
inline constexpr int64_t kMaxImagePixels = int64_t{64} << 20;

// Decodes a PNG or JPEG file, told apart by content. The result is grey where the file is, else
// RGB: palettes are looked up, 16 bits reduced to 8, an alpha channel dropped, CMYK and YCCK
// converted as Pillow does (Adobe's inverted inks), a rotation in EXIF ignored.
// Throws DataError, "<path>: <cause>", for everything that is no whole image.
Image read_image(const std::filesystem::path& path);

// The same for the bytes of a file; `name` stands in for the path.
Image decode_image(std::string_view bytes, const std::string& name);

// What a file is, by its first kFormatBytes bytes.
constexpr size_t kFormatBytes = 4;
bool is_png_or_jpeg(std::string_view first_bytes);

// A PNG file of width x height pixels; rgb[3 * (y * width + x)] as in graph::Picture.
// Throws std::invalid_argument where rgb is not of 3 * width * height bytes or that is 0.
std::string encode_png(int width, int height, std::span<const uint8_t> rgb);

// Writes that file. Throws DataError where it cannot be written.
void write_png(const std::filesystem::path& path, int width, int height,
               std::span<const uint8_t> rgb);

// `image` itself, or with another number of channels: grey becomes RGB by repetition, RGB grey by
// the luma of ITU-R 601.
Image with_channels(Image image, int64_t channels);

// `image` as a batch of one, [1, channels, size, size] float32, normalised, with_channels. Where
// the data are files of any size it is fit() as in a test. Of others, an image of another size is
// cropped to its central square, which is resized bilinearly with antialiasing. Throws ConfigError
// for a normalisation that does not fit spec.channels.
at::Tensor to_input(const Image& image, const ImageSpec& spec, const Normalization& normalization);

}  // namespace rewire::data
