// data::open_cifar10. Input: the bytes of test_batch.bin.
#include "data/dataset.h"
#include "error.h"
#include "fuzz/fuzz.h"

namespace {

using namespace rewire;

void read(const std::filesystem::path& folder) {
  const data::Dataset dataset = data::open_cifar10(folder, folder, data::Split::test);
  fuzz::require(dataset.size() > 0, "a data set has images");
  data::Image image;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    fuzz::require(dataset.labels[i] >= 0 && dataset.labels[i] < 10, "labels are in range");
    dataset.read(i, image);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Folder folder;
  folder.write("test_batch.bin", fuzz::text_of(data, size));
  fuzz::accepts<DataError>([] { read(folder.path()); });
  return 0;
}
