// data::open_mnist. Input: the bytes of a file of labels, where it begins as one, beside one image;
// else those of a file of images, compressed or not, beside one label.
#include "data/dataset.h"
#include "error.h"
#include "fuzz/fuzz.h"

namespace {

using namespace rewire;

constexpr std::string_view kLabels("\0\0\x08\x01\0\0\0\x01\x03", 9);
constexpr std::string_view kImages("\0\0\x08\x03\0\0\0\x01\0\0\0\x1c\0\0\0\x1c", 16);

void read(const std::filesystem::path& folder) {
  const data::Dataset dataset = data::open_mnist(folder, folder, data::Split::test);
  fuzz::require(dataset.size() == 1, "as many images as labels");
  fuzz::require(dataset.labels[0] >= 0 && dataset.labels[0] < 10, "labels are in range");
  data::Image image;
  dataset.read(0, image);
  fuzz::require(image.pixels.size() == 784, "an image has 28x28 pixels");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Folder folder;
  const std::string_view text = fuzz::text_of(data, size);
  const bool labels = text.starts_with(kLabels.substr(0, 4));
  const bool packed = text.starts_with("\x1f\x8b");
  std::filesystem::remove(folder.path() / "t10k-images-idx3-ubyte.gz");
  folder.write(packed ? "t10k-images-idx3-ubyte.gz" : "t10k-images-idx3-ubyte",
               labels ? std::string(kImages) + std::string(784, '\x7f') : std::string(text));
  folder.write("t10k-labels-idx1-ubyte", labels ? text : kLabels);
  fuzz::accepts<DataError>([] { read(folder.path()); });
  return 0;
}
