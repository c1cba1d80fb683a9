// data::decode_image. Input: the bytes of a PNG or JPEG file of no more than a million pixels: a
// few bytes may tell of 64 million, which are accepted and cost seconds each.
#include "data/image_file.h"
#include "error.h"
#include "fuzz/fuzz.h"

namespace {

using namespace rewire;

constexpr uint64_t kMaxPixels = 1 << 20;

// The big-endian number of `size` bytes at `at`, 0 beyond the end.
uint64_t number(std::string_view bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = at; i < at + size; ++i) {
    value = value << 8 | (i < bytes.size() ? uint8_t(bytes[i]) : 0);
  }
  return value;
}

// Whether the PNG header, or anything that looks like a JPEG frame header, tells of a larger image.
bool is_large(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) {
    return number(bytes, 16, 4) * number(bytes, 20, 4) > kMaxPixels;
  }
  for (size_t at = bytes.find('\xff'); at != bytes.npos; at = bytes.find('\xff', at + 1)) {
    const bool is_frame = (number(bytes, at + 1, 1) & 0xf0) == 0xc0;
    if (is_frame && number(bytes, at + 5, 2) * number(bytes, at + 7, 2) > kMaxPixels) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  if (is_large(bytes)) return 0;
  fuzz::accepts<DataError>([&] {
    const data::Image image = data::decode_image(bytes, "x");
    fuzz::require(image.channels == 1 || image.channels == 3, "an image is grey or RGB");
    fuzz::require(int64_t(image.pixels.size()) == image.channels * image.height * image.width,
                  "an image is whole");
  });
  return 0;
}
