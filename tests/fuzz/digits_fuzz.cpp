// data::open_digits. Input: the bytes of digits.csv.gz; what does not begin as gzip does is packed
// first, so that the lines inside are reached.
#include "data/dataset.h"
#include "error.h"
#include "fuzz/fuzz.h"
#include "support/gzip.h"

namespace {

using namespace rewire;

void read(const std::filesystem::path& folder, data::Split split) {
  const data::Dataset dataset = data::open_digits(folder, split);
  fuzz::require(dataset.size() > 0, "a data set has images");
  data::Image image;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    fuzz::require(dataset.labels[i] >= 0 && dataset.labels[i] < 10, "labels are in range");
    dataset.read(i, image);
    for (const uint8_t pixel : image.pixels) fuzz::require(pixel <= 16, "pixels are in range");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Folder folder;
  const std::string_view input = fuzz::text_of(data, size);
  folder.write("digits.csv.gz",
               input.starts_with("\x1f\x8b") ? std::string(input) : test::gzip(input));
  for (const auto split : {data::Split::train, data::Split::test}) {
    fuzz::accepts<DataError>([&] { read(folder.path(), split); });
  }
  return 0;
}
