#include "data/dataset.h"

#include "error.h"

namespace rewire::data {

Dataset open(const Description& description, const std::filesystem::path& data_root, Split split) {
  const ImageSpec spec = image_spec(description.kind);  // refuses an unknown kind
  Dataset dataset;
  if (description.kind == "cifar10") {
    if (!description.root) {
      throw ConfigError("data.root: missing: cifar10 needs the folder of its .bin files");
    }
    dataset = open_cifar10(data_root / *description.root, data_root, split);
  } else {
    dataset = open_digits(description.root ? data_root / *description.root : "", split);
  }
  dataset.spec = spec;
  return dataset;
}

}  // namespace rewire::data
