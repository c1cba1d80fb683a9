#include "data/image_file.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include "error.h"
#include "support/files.h"

namespace rewire::data {
namespace {

using test::message_of;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// A PNG file of any kind libpng can write. `rows`: packed as the file wants them.
std::string png_file(uint32_t width, uint32_t height, int depth, int color_type,
                     std::vector<uint8_t> rows, std::vector<png_color> palette = {}) {
  std::string out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  const auto append = [](png_structp writer, png_bytep bytes, size_t size) {
    static_cast<std::string*>(png_get_io_ptr(writer))
        ->append(reinterpret_cast<const char*>(bytes), size);
  };
  png_set_write_fn(png, &out, append, nullptr);
  png_set_IHDR(png, info, width, height, depth, color_type, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  png_write_info(png, info);
  const size_t row_bytes = rows.size() / height;
  for (uint32_t y = 0; y < height; ++y) png_write_row(png, rows.data() + y * row_bytes);
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return out;
}

// A JPEG file whose `components` are each of one value everywhere, at full quality.
std::string jpeg_file(int side, std::vector<uint8_t> components, J_COLOR_SPACE from,
                      J_COLOR_SPACE to) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_width = info.image_height = side;
  info.input_components = static_cast<int>(components.size());
  info.in_color_space = from;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, to);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  std::vector<uint8_t> row;
  for (int x = 0; x < side; ++x) row.insert(row.end(), components.begin(), components.end());
  unsigned char* pixels = row.data();
  for (int y = 0; y < side; ++y) jpeg_write_scanlines(&info, &pixels, 1);
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string file(reinterpret_cast<char*>(bytes), size);
  std::free(bytes);
  return file;
}

std::string error_of(std::string_view bytes) {
  return message_of<DataError>([&] { decode_image(bytes, "x"); });
}

// The value of each channel of an image that is of one colour, up to JPEG's rounding.
void expect_color(const Image& image, const std::vector<int>& color) {
  ASSERT_EQ(image.channels, static_cast<int64_t>(color.size()));
  for (int64_t c = 0; c < image.channels; ++c) {
    for (int64_t i = 0; i < image.height * image.width; ++i) {
      ASSERT_NEAR(image.pixels[c * image.height * image.width + i], color[c], 2) << "channel " << c;
    }
  }
}

TEST(DecodePng, RgbBecomesPlanes) {
  const Image image = decode_image(png_file(2, 1, 8, PNG_COLOR_TYPE_RGB, {1, 2, 3, 4, 5, 6}), "x");
  EXPECT_EQ(image.channels, 3);
  EXPECT_EQ(image.height, 1);
  EXPECT_EQ(image.width, 2);
  EXPECT_THAT(image.pixels, ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST(DecodePng, GreyStaysGrey) {
  const Image image = decode_image(png_file(2, 2, 8, PNG_COLOR_TYPE_GRAY, {1, 2, 3, 4}), "x");
  EXPECT_EQ(image.channels, 1);
  EXPECT_THAT(image.pixels, ElementsAre(1, 2, 3, 4));
}

TEST(DecodePng, OneBitGreyIsBlackAndWhite) {
  const Image image = decode_image(png_file(3, 1, 1, PNG_COLOR_TYPE_GRAY, {0b10100000}), "x");
  EXPECT_THAT(image.pixels, ElementsAre(255, 0, 255));
}

TEST(DecodePng, AlphaIsDropped) {
  const auto rgba = png_file(2, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, {1, 2, 3, 0, 4, 5, 6, 128});
  EXPECT_THAT(decode_image(rgba, "x").pixels, ElementsAre(1, 4, 2, 5, 3, 6));
  const auto grey = png_file(2, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {7, 0, 9, 255});
  EXPECT_THAT(decode_image(grey, "x").pixels, ElementsAre(7, 9));
}

TEST(DecodePng, SixteenBitsBecomeEight) {
  const auto grey = png_file(3, 1, 16, PNG_COLOR_TYPE_GRAY, {0x00, 0x00, 0x80, 0x80, 0xFF, 0xFF});
  EXPECT_THAT(decode_image(grey, "x").pixels, ElementsAre(0, 0x80, 255));
  const auto rgb = png_file(1, 1, 16, PNG_COLOR_TYPE_RGB, {0x10, 0x10, 0x20, 0x20, 0x30, 0x30});
  EXPECT_THAT(decode_image(rgb, "x").pixels, ElementsAre(0x10, 0x20, 0x30));
}

TEST(DecodePng, PalettesAreLookedUp) {
  const auto file =
      png_file(3, 1, 8, PNG_COLOR_TYPE_PALETTE, {1, 0, 1}, {{10, 20, 30}, {40, 50, 60}});
  EXPECT_THAT(decode_image(file, "x").pixels, ElementsAre(40, 10, 40, 50, 20, 50, 60, 30, 60));
}

TEST(DecodePng, AColourSpaceChangesNothing) {
  const std::string plain = png_file(3, 1, 8, PNG_COLOR_TYPE_GRAY, {10, 100, 200});
  constexpr size_t kHeader = 8 + 25;  // signature and IHDR
  for (const std::string& chunk : {std::string("gAMA\0\1\x86\xa0", 8), std::string("sRGB\0", 5)}) {
    const uint32_t crc = crc32(0, reinterpret_cast<const unsigned char*>(chunk.data()),
                               static_cast<unsigned>(chunk.size()));
    std::string framed = std::string("\0\0\0", 3) + static_cast<char>(chunk.size() - 4) + chunk;
    for (int shift = 24; shift >= 0; shift -= 8) framed.push_back(static_cast<char>(crc >> shift));
    std::string file = plain;
    file.insert(kHeader, framed);
    EXPECT_THAT(decode_image(file, "x").pixels, ElementsAre(10, 100, 200)) << chunk.substr(0, 4);
  }
}

TEST(DecodePng, RefusesEveryTruncation) {
  const std::string file = png_file(4, 4, 8, PNG_COLOR_TYPE_GRAY, std::vector<uint8_t>(16, 9));
  const size_t end_of_pixels = file.size() - 12;  // before the IEND chunk, which may be missing
  for (size_t size = 4; size < end_of_pixels; ++size) {
    EXPECT_THAT(error_of(file.substr(0, size)), StartsWith("x: PNG: ")) << size << " bytes";
  }
}

TEST(DecodePng, RefusesDamage) {
  std::string file = png_file(4, 4, 8, PNG_COLOR_TYPE_GRAY, std::vector<uint8_t>(16, 9));
  file[file.find("IDAT") + 6] ^= 0x55;
  EXPECT_THAT(error_of(file), StartsWith("x: PNG: "));
}

TEST(DecodePng, RefusesAHugeHeaderBeforeTakingMemory) {
  // Signature and header alone: 1,000,000 x 1,000,000 grey pixels, with that header's checksum.
  const std::string file("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x0f\x42\x40\0\x0f\x42\x40\x08\0\0\0\0",
                         29);
  const uint32_t crc = crc32(0, reinterpret_cast<const unsigned char*>(file.data()) + 12, 17);
  std::string whole = file;
  for (int shift = 24; shift >= 0; shift -= 8) whole.push_back(static_cast<char>(crc >> shift));
  whole += std::string("\0\0\0\0IDAT", 8);
  EXPECT_EQ(error_of(whole), "x: 1000000x1000000 pixels, expected at most 67108864 in all");
}

TEST(DecodeJpeg, Rgb) {
  expect_color(decode_image(jpeg_file(16, {200, 100, 50}, JCS_RGB, JCS_YCbCr), "x"),
               {200, 100, 50});
}

TEST(DecodeJpeg, GreyStaysGrey) {
  const Image image = decode_image(jpeg_file(9, {77}, JCS_GRAYSCALE, JCS_GRAYSCALE), "x");
  EXPECT_EQ(image.height, 9);
  EXPECT_EQ(image.width, 9);
  expect_color(image, {77});
}

TEST(DecodeJpeg, CmykAndYcckBecomeRgb) {
  // Inverted inks: 255 is none. Red = cyan * black / 255, and so on.
  const std::vector<uint8_t> inks = {255, 128, 0, 200};
  for (const J_COLOR_SPACE space : {JCS_CMYK, JCS_YCCK}) {
    expect_color(decode_image(jpeg_file(16, inks, JCS_CMYK, space), "x"), {200, 100, 0});
  }
}

TEST(DecodeJpeg, RefusesATruncatedFile) {
  const std::string file = jpeg_file(64, {200, 100, 50}, JCS_RGB, JCS_YCbCr);
  for (const size_t size : {size_t{2}, size_t{30}, size_t{200}, file.size() * 3 / 4}) {
    EXPECT_THAT(error_of(file.substr(0, size)), StartsWith("x: JPEG: ")) << size << " bytes";
  }
  EXPECT_EQ(error_of(file.substr(0, file.size() * 3 / 4)), "x: JPEG: Premature end of JPEG file");
}

TEST(DecodeJpeg, RefusesAHugeHeaderBeforeTakingMemory) {
  std::string file = jpeg_file(16, {200, 100, 50}, JCS_RGB, JCS_YCbCr);
  const size_t frame = file.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  file.replace(frame + 5, 4, "\xFF\xDC\xFF\xDC");  // 65500, the most that JPEG allows
  EXPECT_EQ(error_of(file), "x: 65500x65500 pixels, expected at most 67108864 in all");
}

TEST(DecodeImage, RefusesWhatIsNoImage) {
  EXPECT_EQ(error_of(""), "x: empty");
  EXPECT_EQ(error_of("hello, world"), "x: neither PNG nor JPEG");
  EXPECT_THAT(error_of("\xFF\xD8 and then text"), StartsWith("x: JPEG: "));
  EXPECT_THAT(error_of("\x89PNG and then text"), StartsWith("x: PNG: "));
}

TEST(ReadImage, GoesByContentNotName) {
  const TempFolder folder;
  const auto path = folder.write("a.JPEG", png_file(1, 1, 8, PNG_COLOR_TYPE_GRAY, {5}));
  EXPECT_THAT(read_image(path).pixels, ElementsAre(5));
}

TEST(ReadImage, ErrorsNameThePath) {
  const TempFolder folder;
  const auto text = folder.write("a.png", "text");
  EXPECT_EQ(message_of<DataError>([&] { read_image(text); }),
            text.string() + ": neither PNG nor JPEG");
  const auto absent = folder.path() / "absent.png";
  EXPECT_EQ(message_of<DataError>([&] { read_image(absent); }), absent.string() + ": no such file");
}

TEST(EncodePng, IsDecodedToTheSamePixels) {
  const std::vector<uint8_t> rgb = {1, 2, 3, 4, 5, 6};
  const Image image = decode_image(encode_png(1, 2, rgb), "x");
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.width, 1);
  EXPECT_THAT(image.pixels, ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST(EncodePng, RefusesAWrongNumberOfBytes) {
  const std::vector<uint8_t> rgb(5);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { encode_png(1, 2, rgb); }),
            "encode_png: 5 bytes, expected 3 * width * height of 1 x 2 pixels");
}

TEST(WritePng, WritesTheFileOrSaysWhyNot) {
  const TempFolder folder;
  const std::vector<uint8_t> rgb = {1, 2, 3};
  write_png(folder.path() / "a.png", 1, 1, rgb);
  EXPECT_THAT(read_image(folder.path() / "a.png").pixels, ElementsAre(1, 2, 3));
  const auto nowhere = folder.path() / "absent" / "a.png";
  EXPECT_EQ(message_of<DataError>([&] { write_png(nowhere, 1, 1, rgb); }),
            nowhere.string() + ": cannot be written");
}

std::vector<float> values(const at::Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<float>();
  return {data, data + tensor.numel()};
}

TEST(ToInput, AnImageThatFitsIsNormalized) {
  const Image image{3, 1, 1, {255, 51, 0}};
  const at::Tensor input = to_input(image, {3, 1, {}}, {{0.5, 0.0, 0.25}, {0.5, 1.0, 0.5}});
  EXPECT_EQ(input.sizes(), (std::vector<int64_t>{1, 3, 1, 1}));
  EXPECT_THAT(values(input), ElementsAre(1.0f, 0.2f, -0.5f));
}

TEST(ToInput, GreyIsRepeated) {
  EXPECT_THAT(values(to_input({1, 1, 1, {51}}, {3, 1, {}}, {})), ElementsAre(0.2f, 0.2f, 0.2f));
}

TEST(ToInput, ColorBecomesLuma) {
  const auto luma = [](uint8_t red, uint8_t green, uint8_t blue) {
    return values(to_input({3, 1, 1, {red, green, blue}}, {1, 1, {}}, {})).at(0) * 255;
  };
  EXPECT_NEAR(luma(255, 0, 0), 76, 1e-4);
  EXPECT_NEAR(luma(0, 255, 0), 150, 1e-4);
  EXPECT_NEAR(luma(0, 0, 255), 29, 1e-4);
  EXPECT_NEAR(luma(255, 255, 255), 255, 1e-4);
}

TEST(ToInput, CropsTheCentralSquare) {
  // 9 | 51 102 | 9    the middle two columns of each row
  // 9 | 153 204 | 9
  const Image image{1, 2, 4, {9, 51, 102, 9, 9, 153, 204, 9}};
  EXPECT_THAT(values(to_input(image, {1, 2, {}}, {})), ElementsAre(0.2f, 0.4f, 0.6f, 0.8f));
}

TEST(ToInput, AveragesWhenItShrinks) {
  // Halving 4 pixels: antialiased bilinear weights 1/8 3/8 3/8 1/8, cut off at the border.
  const Image image{1, 4, 4, {0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255}};
  const auto input = values(to_input(image, {1, 2, {}}, {}));
  EXPECT_NEAR(input[0], 0.0, 1e-6);
  EXPECT_NEAR(input[1], 3.0 / 7, 1e-6);
  EXPECT_NEAR(input[2], 0.0, 1e-6);
  EXPECT_NEAR(input[3], 3.0 / 7, 1e-6);
}

}  // namespace
}  // namespace rewire::data
