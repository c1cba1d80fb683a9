#include "graph/picture.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace rewire::graph {
namespace {

using Color = std::array<uint8_t, 3>;
constexpr Color kWhite = {255, 255, 255};
constexpr Color kUnread = {229, 231, 235};
constexpr Color kPositive = {37, 99, 235};
constexpr Color kNegative = {234, 88, 12};

constexpr int64_t kMagnifyUpTo = 512;  // pixels that a magnified matrix may take
constexpr int64_t kMaxPixels = 1000;   // above this, entries are averaged

Color color_of(float weight, bool usable) {
  if (!usable) return kUnread;
  if (weight == 0) return kWhite;
  return weight > 0 ? kPositive : kNegative;
}

// A matrix of colours, as a picture of one pixel an entry.
Picture one_to_one(int64_t out, int64_t in, std::span<const float> weight,
                   std::span<const uint8_t> usable) {
  Picture picture{static_cast<int>(in), static_cast<int>(out), {}};
  picture.rgb.reserve(3 * weight.size());
  for (size_t i = 0; i < weight.size(); ++i) {
    const Color color = color_of(weight[i], usable.empty() || usable[i] != 0);
    picture.rgb.insert(picture.rgb.end(), color.begin(), color.end());
  }
  return picture;
}

Picture magnify(const Picture& from, int scale) {
  Picture picture{from.width * scale, from.height * scale, {}};
  picture.rgb.reserve(from.rgb.size() * scale * scale);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const auto pixel = from.rgb.begin() + 3 * (int64_t{y / scale} * from.width + x / scale);
      picture.rgb.insert(picture.rgb.end(), pixel, pixel + 3);
    }
  }
  return picture;
}

// The mean of one colour component over the square of `block` pixels that pixel (x, y) of the
// smaller picture stands for.
uint8_t mean_component(const Picture& from, int block, int x, int y, int component) {
  const int bottom = std::min((y + 1) * block, from.height);
  const int right = std::min((x + 1) * block, from.width);
  int64_t sum = 0, count = 0;
  for (int row = y * block; row < bottom; ++row) {
    for (int column = x * block; column < right; ++column, ++count) {
      sum += from.rgb[3 * (int64_t{row} * from.width + column) + component];
    }
  }
  return static_cast<uint8_t>((sum + count / 2) / count);
}

Picture shrink(const Picture& from, int block) {
  Picture picture{(from.width + block - 1) / block, (from.height + block - 1) / block, {}};
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      for (int component = 0; component < 3; ++component) {
        picture.rgb.push_back(mean_component(from, block, x, y, component));
      }
    }
  }
  return picture;
}

}  // namespace

Picture draw_matrix(int64_t out, int64_t in, std::span<const float> weight_in_use,
                    std::span<const uint8_t> usable) {
  const auto entries = static_cast<size_t>(out * in);
  if (weight_in_use.size() != entries || (!usable.empty() && usable.size() != entries)) {
    throw std::invalid_argument(
        "draw_matrix: expected weight_in_use and usable of out * in = " + std::to_string(entries) +
        " entries, got " + std::to_string(weight_in_use.size()) + " and " +
        std::to_string(usable.size()));
  }
  const Picture picture = one_to_one(out, in, weight_in_use, usable);
  const int64_t longest = std::max({out, in, int64_t{1}});
  if (longest > kMaxPixels) {
    return shrink(picture, static_cast<int>((longest + kMaxPixels - 1) / kMaxPixels));
  }
  return magnify(picture, static_cast<int>(std::max<int64_t>(1, kMagnifyUpTo / longest)));
}

Picture stack(std::span<const Picture> pictures) {
  constexpr int kGap = 8;
  Picture all;
  for (const Picture& picture : pictures) {
    all.width = std::max(all.width, picture.width);
    all.height += picture.height + (all.height > 0 ? kGap : 0);
  }
  all.rgb.assign(size_t{3} * all.width * all.height, kWhite[0]);
  int64_t top = 0;
  for (const Picture& picture : pictures) {
    for (int64_t y = 0; y < picture.height; ++y) {
      std::copy_n(picture.rgb.begin() + 3 * y * picture.width, 3 * picture.width,
                  all.rgb.begin() + 3 * (top + y) * all.width);
    }
    top += picture.height + kGap;
  }
  return all;
}

}  // namespace rewire::graph
