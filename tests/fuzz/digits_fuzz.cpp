// data::open_digits. Input: the bytes of digits.csv.gz; what does not begin as gzip does is packed
// first, so that the lines inside are reached.
#include <zlib.h>

#include <vector>

#include "data/dataset.h"
#include "error.h"
#include "fuzz/fuzz.h"

namespace {

using namespace rewire;

std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, Z_NO_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

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
  folder.write("digits.csv.gz", input.starts_with("\x1f\x8b") ? std::string(input) : gzip(input));
  for (const auto split : {data::Split::train, data::Split::test}) {
    fuzz::accepts<DataError>([&] { read(folder.path(), split); });
  }
  return 0;
}
