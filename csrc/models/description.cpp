#include "models/description.h"

namespace rewire::models {

std::vector<Description> families() {
  SmallDescription static_time{.kind = "static"}, discrete{.kind = "discrete"},
      continuous{.kind = "continuous"};
  return {static_time,
          discrete,
          continuous,
          WiredMobileNetV1Description(),
          MobileNetV1Description(),
          ShuffleNetV2Description(),
          ResNetDescription(),
          NeuronsDescription()};
}

std::string kind_of(const Description& description) {
  return std::visit([](const auto& family) { return family.kind; }, description);
}

std::string wiring_kind(const Description& description) {
  return std::visit(
      [](const auto& family) -> std::string {
        if constexpr (requires { family.wiring; }) return family.wiring.kind;
        return "";
      },
      description);
}

}  // namespace rewire::models
