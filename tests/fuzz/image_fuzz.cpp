// data::decode_image. Input: the bytes of a PNG or JPEG file.
#include "data/image_file.h"
#include "error.h"
#include "fuzz/fuzz.h"

using namespace rewire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts<DataError>([&] {
    const data::Image image = data::decode_image(fuzz::text_of(data, size), "x");
    fuzz::require(image.channels == 1 || image.channels == 3, "an image is grey or RGB");
    fuzz::require(int64_t(image.pixels.size()) == image.channels * image.height * image.width,
                  "an image is whole");
  });
  return 0;
}
