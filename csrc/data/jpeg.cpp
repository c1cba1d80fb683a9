// JPEG through libjpeg. Its errors arrive as a call that must not return: it jumps back to the
// function that called the library. Those functions hold nothing that has a destructor.
#include <csetjmp>
#include <cstdio>
#include <stdexcept>
#include <string>

#include <jpeglib.h>

#include <jerror.h>

#include "data/image_decode.h"

namespace rewire::data {
namespace {

struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf failed{};
  char message[JMSG_LENGTH_MAX] = "";
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

[[noreturn]] void fail(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder->message);
  std::longjmp(decoder->failed, 1);
}

// The library warns of damage and goes on with grey pixels. Stray bytes are harmless and found in
// ImageNet; a file that ends early is not an image.
void on_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) fail(info);
}

// Each of the next two is false, with decoder.message set, where the library fails.
bool read_header(Decoder& decoder, const unsigned char* bytes, unsigned long size) {
  decoder.info.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = fail;
  decoder.errors.emit_message = on_message;
  decoder.info.client_data = &decoder;
  if (setjmp(decoder.failed) != 0) return false;
  jpeg_create_decompress(&decoder.info);  // keeps err and client_data
  jpeg_mem_src(&decoder.info, bytes, size);
  jpeg_read_header(&decoder.info, TRUE);
  return true;
}

bool start(Decoder& decoder) {
  if (setjmp(decoder.failed) != 0) return false;
  const int components = decoder.info.num_components;
  decoder.info.out_color_space = components == 1   ? JCS_GRAYSCALE
                                 : components == 4 ? JCS_CMYK
                                                   : JCS_RGB;
  jpeg_start_decompress(&decoder.info);
  return true;
}

bool read_row(Decoder& decoder, unsigned char* row) {
  if (setjmp(decoder.failed) != 0) return false;
  jpeg_read_scanlines(&decoder.info, &row, 1);
  return true;
}

void require(bool done, const Decoder& decoder) {
  if (!done) throw std::runtime_error(std::string("JPEG: ") + decoder.message);
}

// a * b / 255, rounded.
uint8_t scale(uint8_t a, uint8_t b) { return static_cast<uint8_t>((a * b + 127) / 255); }

// Inks stored inverted, as Adobe does: 255 is no ink. The result overwrites the first three.
void cmyk_to_rgb(std::span<uint8_t> row) {
  for (size_t i = 0; i + 3 < row.size(); i += 4) {
    for (size_t ink = 0; ink < 3; ++ink) row[i + ink] = scale(row[i + ink], row[i + 3]);
  }
}

}  // namespace

Image decode_jpeg(std::string_view bytes) {
  Decoder decoder;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  require(read_header(decoder, data, bytes.size()), decoder);
  check_pixels(decoder.info.image_width, decoder.info.image_height);
  require(start(decoder), decoder);

  const int64_t components = decoder.info.output_components;
  Image image;
  image.reshape(components == 1 ? 1 : 3, decoder.info.output_height, decoder.info.output_width);
  std::vector<uint8_t> row(static_cast<size_t>(components * image.width));
  for (int64_t y = 0; y < image.height; ++y) {
    require(read_row(decoder, row.data()), decoder);
    if (components == 4) cmyk_to_rgb(row);
    put_row(row, components, y, image);
  }
  return image;
}

}  // namespace rewire::data
