#include "data/dataset.h"

#include "error.h"

namespace rewire::data {
namespace {

std::filesystem::path folder_of(const Description& description,
                                const std::filesystem::path& data_root, const char* what) {
  if (!description.root) {
    throw ConfigError("data.root: missing: " + description.kind + " needs the folder of its " +
                      what);
  }
  return data_root / *description.root;
}

}  // namespace

Dataset open(const Description& description, const std::filesystem::path& data_root, Split split) {
  const std::string& kind = description.kind;
  if (kind == "cifar10") {
    return open_cifar10(folder_of(description, data_root, ".bin files"), data_root, split);
  }
  if (kind == "mnist") {
    return open_mnist(folder_of(description, data_root, ".gz files"), data_root, split);
  }
  if (kind == "imagefolder") {
    return open_imagefolder(description, folder_of(description, data_root, "images"), split);
  }
  if (kind == "table") return open_table(description);
  image_spec(description);  // refuses an unknown kind
  return open_digits(description.root ? data_root / *description.root : "", split);
}

}  // namespace rewire::data
