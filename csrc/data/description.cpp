#include "data/description.h"

#include <stdexcept>

namespace rewire::data {

ImageSpec image_spec(const Description& description) {
  const std::string& kind = description.kind;
  if (kind == "cifar10") {
    return {
        3,
        32,
        {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
        0};
  }
  if (kind == "mnist") return {1, 28, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, 0};
  if (kind == "digits") return {1, 8, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, 0};
  if (kind == "imagefolder") {
    ImageSpec spec{3, description.image_size, {}, description.val_resize};
    for (int64_t i = 0; i < description.classes; ++i) spec.classes.push_back(std::to_string(i));
    return spec;
  }
  if (kind == "table") {
    const auto width = int64_t(description.rows.empty() ? 0 : description.rows[0].size());
    ImageSpec spec{width - description.targets, 1, {}, 0};
    for (int64_t i = 0; i < description.targets; ++i) spec.classes.push_back(std::to_string(i));
    return spec;
  }
  throw std::invalid_argument("data.kind: no data set '" + kind +
                              "' (cifar10, mnist, digits, imagefolder or table)");
}

}  // namespace rewire::data
