#include "data/normalize.h"

#include <fmt/format.h>

#include "error.h"

namespace rewire::data {
namespace {

void check_count(const char* name, size_t found, int64_t channels) {
  if (found != 0 && static_cast<int64_t>(found) != channels) {
    throw ConfigError(fmt::format("data.normalize.{}: {} values, expected {}, one a channel", name,
                                  found, channels));
  }
}

}  // namespace

NormalizationTable::NormalizationTable(const Normalization& normalization, int64_t channels,
                                       float max_value)
    : table_(static_cast<size_t>(channels)) {
  check_count("mean", normalization.mean.size(), channels);
  check_count("std", normalization.std.size(), channels);
  for (size_t c = 0; c < table_.size(); ++c) {
    const auto mean = static_cast<float>(normalization.mean.empty() ? 0 : normalization.mean[c]);
    const auto std = static_cast<float>(normalization.std.empty() ? 1 : normalization.std[c]);
    if (!(std > 0)) {
      throw ConfigError(fmt::format("data.normalize.std: {}, expected a number above 0", std));
    }
    for (int value = 0; value < 256; ++value) {
      table_[c][value] = (static_cast<float>(value) / max_value - mean) / std;
    }
  }
}

void NormalizationTable::apply(const Image& image, float* out) const {
  const int64_t plane = image.height * image.width;
  for (size_t c = 0; c < table_.size(); ++c) {
    const uint8_t* pixels = image.pixels.data() + static_cast<int64_t>(c) * plane;
    for (int64_t i = 0; i < plane; ++i) *out++ = table_[c][pixels[i]];
  }
}

}  // namespace rewire::data
