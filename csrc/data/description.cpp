#include "data/description.h"

#include <stdexcept>

namespace rewire::data {

ImageSpec image_spec(const std::string& kind) {
  if (kind == "cifar10") {
    return {
        3,
        32,
        {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}};
  }
  if (kind == "digits") return {1, 8, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}};
  throw std::invalid_argument("data.kind: no data set '" + kind + "' (cifar10 or digits)");
}

}  // namespace rewire::data
