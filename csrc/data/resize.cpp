#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace rewire::data {
namespace {

constexpr int kPrecision = 32 - 8 - 2;  // bits of a coefficient: sums of bytes times it fit 32 bits
constexpr int32_t kHalf = 1 << (kPrecision - 1);

// How one side is resized: output i is the sum of inputs first[i] .. first[i] + count[i] - 1, times
// weights[i * stride ...].
struct Filter {
  int64_t stride = 0;
  std::vector<int64_t> first, count;
  std::vector<int32_t> weights;
};

// A triangle over each output's centre, as wide as an output or an input, whichever is wider; for
// the outputs begin .. begin + size - 1 of `out`, from `in` inputs. The order of the operations is
// Pillow's, and so are the bits.
Filter filter_of(int64_t in, int64_t out, int64_t begin, int64_t size) {
  const double scale = double(in) / double(out);
  const double support = std::max(scale, 1.0), per_input = 1.0 / support;
  Filter filter;
  filter.stride = int64_t(std::ceil(support)) * 2 + 1;
  filter.weights.resize(size_t(size * filter.stride));
  std::vector<double> raw(size_t(filter.stride));
  for (int64_t i = 0; i < size; ++i) {
    const double center = (double(begin + i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(0, int64_t(center - support + 0.5));
    const int64_t count = std::min(in, int64_t(center + support + 0.5)) - first;
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) {
      const double distance = std::abs((double(k + first) - center + 0.5) * per_input);
      raw[k] = distance < 1.0 ? 1.0 - distance : 0.0;
      sum += raw[k];
    }
    for (int64_t k = 0; k < count; ++k) {
      const double weight = sum != 0.0 ? raw[k] / sum : raw[k];
      filter.weights[i * filter.stride + k] = int32_t(0.5 + weight * (1 << kPrecision));
    }
    filter.first.push_back(first);
    filter.count.push_back(count);
  }
  return filter;
}

uint8_t rounded(int32_t sum) { return uint8_t(std::clamp(sum >> kPrecision, 0, 255)); }

// One row, to as many bytes as the filter has outputs.
void resize_row(const uint8_t* in, const Filter& filter, uint8_t* out) {
  for (size_t i = 0; i < filter.first.size(); ++i) {
    const uint8_t* pixels = in + filter.first[i];
    const int32_t* weights = filter.weights.data() + int64_t(i) * filter.stride;
    int32_t sum = kHalf;
    for (int64_t k = 0; k < filter.count[i]; ++k) sum += pixels[k] * weights[k];
    out[i] = rounded(sum);
  }
}

// One output row from rows of `width` bytes; `sums` is working memory of as many.
void resize_column(const uint8_t* rows, int64_t width, const int32_t* weights, int64_t count,
                   int32_t* sums, uint8_t* out) {
  std::fill_n(sums, width, kHalf);
  for (int64_t k = 0; k < count; ++k, rows += width) {
    for (int64_t x = 0; x < width; ++x) sums[x] += rows[x] * weights[k];
  }
  for (int64_t x = 0; x < width; ++x) out[x] = rounded(sums[x]);
}

// Half of a margin, rounded as Python's round() does it: to the even neighbour.
int64_t half(int64_t margin) { return int64_t(std::nearbyint(double(margin) / 2)); }

}  // namespace

void resize(const Image& image, const Window& part, int64_t height, int64_t width,
            const Window& window, Image& out) {
  out.reshape(image.channels, window.height, window.width);
  const Filter rows = filter_of(part.height, height, window.top, window.height);
  const Filter columns = filter_of(part.width, width, window.left, window.width);
  // The rows that the second pass reads.
  const int64_t begin = rows.first.front(), end = rows.first.back() + rows.count.back();
  std::vector<uint8_t> between(size_t((end - begin) * window.width));
  std::vector<int32_t> sums(size_t(window.width));
  for (int64_t c = 0; c < image.channels; ++c) {
    for (int64_t y = begin; y < end; ++y) {
      const uint8_t* in =
          image.pixels.data() + (c * image.height + part.top + y) * image.width + part.left;
      uint8_t* row = between.data() + (y - begin) * window.width;
      resize_row(in, columns, row);
    }
    uint8_t* plane = out.pixels.data() + c * window.height * window.width;
    for (int64_t y = 0; y < window.height; ++y, plane += window.width) {
      resize_column(between.data() + (rows.first[y] - begin) * window.width, window.width,
                    rows.weights.data() + y * rows.stride, rows.count[y], sums.data(), plane);
    }
  }
}

void fit(const ImageSpec& spec, Image& image, Image& scratch) {
  if (spec.resize == 0) return;
  const int64_t shorter = std::min(image.height, image.width);
  const auto side = [&](int64_t length) { return spec.resize * length / shorter; };
  const int64_t height = side(image.height), width = side(image.width);
  resize(image, {0, 0, image.height, image.width}, height, width,
         {half(height - spec.size), half(width - spec.size), spec.size, spec.size}, scratch);
  std::swap(image, scratch);
}

Window random_window(const Augmentation& step, Random& random, int64_t height, int64_t width) {
  const auto between = [&](double low, double high) {
    return low + (high - low) * random.uniform();
  };
  const double narrowest = step.ratio[0], widest = step.ratio[1];
  for (int tries = 0; tries < 10; ++tries) {
    const double area = double(height * width) * between(step.scale[0], step.scale[1]);
    const double ratio = std::exp(between(std::log(narrowest), std::log(widest)));
    const auto w = int64_t(std::nearbyint(std::sqrt(area * ratio)));
    const auto h = int64_t(std::nearbyint(std::sqrt(area / ratio)));
    if (w < 1 || w > width || h < 1 || h > height) continue;
    const int64_t top = random.below(uint32_t(height - h + 1));
    const int64_t left = random.below(uint32_t(width - w + 1));
    return {top, left, h, w};
  }
  const double ratio = double(width) / double(height);
  int64_t h = height, w = width;
  const auto side = [](double length) { return std::max<int64_t>(1, std::llrint(length)); };
  if (ratio < narrowest) h = side(double(width) / narrowest);
  if (ratio > widest) w = side(double(height) * widest);
  return {(height - h) / 2, (width - w) / 2, h, w};
}

}  // namespace rewire::data
