// Resizing against Pillow 12 and torchvision 0.26.0, whose results are in tests/golden/images.pt:
//   pixels.<file>   what convert("RGB") gives of tests/golden/images/<file>
//   val.<file>      of that Resize(28) and CenterCrop(24)
//   crop.<top>.<left>.<height>.<width>.<size>   resized_crop of rgb.jpg
#include "data/resize.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <cmath>
#include <cstdio>
#include <map>

#include "support/golden.h"

namespace rewire::data {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

Image image_of(const at::Tensor& pixels) {
  Image image;
  image.reshape(pixels.size(0), pixels.size(1), pixels.size(2));
  std::copy_n(pixels.const_data_ptr<uint8_t>(), pixels.numel(), image.pixels.begin());
  return image;
}

void expect_pixels(const Image& image, const at::Tensor& expected) {
  ASSERT_EQ(expected.sizes(), (std::vector<int64_t>{image.channels, image.height, image.width}));
  EXPECT_THAT(image.pixels,
              ElementsAreArray(expected.const_data_ptr<uint8_t>(), size_t(expected.numel())));
}

Image grey_row(const std::vector<uint8_t>& pixels) {
  return {1, 1, int64_t(pixels.size()), pixels};
}

TEST(Resize, HalvesByTrianglesFourPixelsWide) {
  Image out;
  // Weights 1/8, 3/8, 3/8, 1/8 inside; at the ends what lies outside is left out: 3/7, 3/7, 1/7.
  resize(grey_row({0, 80, 160, 240, 0, 0}), {0, 0, 1, 6}, 1, 3, {0, 0, 1, 3}, out);
  EXPECT_THAT(out.pixels, ElementsAre(57, 160, 34));
}

TEST(Resize, DoublesBetweenCentres) {
  Image out;
  resize(grey_row({0, 100}), {0, 0, 1, 2}, 1, 4, {0, 0, 1, 4}, out);
  EXPECT_THAT(out.pixels, ElementsAre(0, 25, 75, 100));
}

TEST(Resize, OfTheSameSizeChangesNothing) {
  Image out;
  resize({1, 2, 3, {1, 2, 3, 4, 5, 6}}, {0, 0, 2, 3}, 2, 3, {0, 0, 2, 3}, out);
  EXPECT_THAT(out.pixels, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(Resize, AWindowIsAPartOfTheWhole) {
  const Image image = image_of(test::load_golden("images").at("pixels.rgb.jpg"));
  Image whole, part;
  resize(image, {3, 5, 50, 70}, 31, 99, {0, 0, 31, 99}, whole);
  resize(image, {3, 5, 50, 70}, 31, 99, {7, 11, 20, 60}, part);
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < 20; ++y) {
      for (int64_t x = 0; x < 60; ++x) {
        ASSERT_EQ(part.pixels[(c * 20 + y) * 60 + x], whole.pixels[(c * 31 + y + 7) * 99 + x + 11]);
      }
    }
  }
}

TEST(Resize, HasTheBitsOfPillow) {
  const test::Golden golden = test::load_golden("images");
  const Image image = image_of(golden.at("pixels.rgb.jpg"));
  int64_t compared = 0;
  for (const auto& [key, expected] : golden) {
    Window part;
    long size = 0, top, left, height, width;
    if (std::sscanf(key.c_str(), "crop.%ld.%ld.%ld.%ld.%ld", &top, &left, &height, &width, &size) !=
        5) {
      continue;
    }
    SCOPED_TRACE(key);
    Image out;
    resize(image, {top, left, height, width}, size, size, {0, 0, size, size}, out);
    expect_pixels(out, expected);
    ++compared;
  }
  EXPECT_EQ(compared, 7);
}

TEST(Fit, HasTheBitsOfTorchvision) {
  int64_t compared = 0;
  const test::Golden golden = test::load_golden("images");
  for (const auto& [key, expected] : golden) {
    if (!key.starts_with("val.")) continue;
    SCOPED_TRACE(key);
    Image image = image_of(golden.at("pixels." + key.substr(4))), scratch;
    fit({3, 24, {}, 28}, image, scratch);
    expect_pixels(image, expected);
    ++compared;
  }
  EXPECT_EQ(compared, 10);
}

TEST(Fit, LeavesImagesOfTheirSizeAlone) {
  Image image = grey_row({1, 2, 3}), scratch;
  fit({1, 2, {}, 0}, image, scratch);
  EXPECT_THAT(image.pixels, ElementsAre(1, 2, 3));
}

TEST(Fit, TakesMemoryForWhatItCutsOutAlone) {
  // Resized whole, it would have 256 x 25,600,000 pixels. Of these the middle 224 columns lie
  // between the centres of pixels 49,999 and 50,000, from 0.064 to 0.936 of the way.
  Image image = {1, 1, 100000, std::vector<uint8_t>(100000, 7)}, scratch;
  image.pixels[50000] = 255;
  fit({1, 224, {}, 256}, image, scratch);
  EXPECT_EQ(image.height, 224);
  EXPECT_EQ(image.width, 224);
  EXPECT_EQ(image.pixels[0], 23);
  EXPECT_EQ(image.pixels[223 * 224 + 223], 239);
}

TEST(RandomWindow, LiesInsideAndHasAreaAndRatioInTheirRanges) {
  const Augmentation step{.kind = "random_resized_crop"};
  std::map<bool, int> wide;
  double smallest = 1, largest = 0, area = 0;
  for (int64_t sample = 0; sample < 2000; ++sample) {
    Random random(1, 2, sample, Purpose::augmentation);
    const Window window = random_window(step, random, 300, 400);
    ASSERT_GE(window.top, 0);
    ASSERT_GE(window.left, 0);
    ASSERT_LE(window.top + window.height, 300);
    ASSERT_LE(window.left + window.width, 400);
    const double ratio = double(window.width) / double(window.height);
    const double part = double(window.width * window.height) / (300.0 * 400);
    ASSERT_GT(ratio, 0.73);
    ASSERT_LT(ratio, 1.36);
    smallest = std::min(smallest, part);
    largest = std::max(largest, part);
    area += part / 2000;
    ++wide[ratio > 1];
  }
  EXPECT_NEAR(smallest, 0.08, 0.01);
  EXPECT_GT(largest, 0.9);
  // By 200,000 draws of the published rule. Large ones fit less often, and tall ones least.
  EXPECT_NEAR(area, 0.433, 0.02);
  EXPECT_NEAR(wide[true] / 2000.0, 0.577, 0.04);
}

TEST(RandomWindow, IsTheSameForTheSameSample) {
  const Augmentation step{.kind = "random_resized_crop"};
  const auto window = [&](int64_t epoch, int64_t sample) {
    Random random(1, epoch, sample, Purpose::augmentation);
    const Window found = random_window(step, random, 300, 400);
    return std::vector{found.top, found.left, found.height, found.width};
  };
  EXPECT_EQ(window(2, 3), window(2, 3));
  EXPECT_NE(window(2, 3), window(3, 3));
  EXPECT_NE(window(2, 3), window(2, 4));
}

// Of so thin an image no part of the asked area has the asked ratio.
TEST(RandomWindow, IsTheMiddleWhereNoneFits) {
  const Augmentation step{.kind = "random_resized_crop", .scale = {0.9, 1}};
  const auto window = [&](int64_t height, int64_t width) {
    Random random(0, 0, 0, Purpose::augmentation);
    const Window found = random_window(step, random, height, width);
    return std::vector{found.top, found.left, found.height, found.width};
  };
  EXPECT_EQ(window(30, 1000), (std::vector<int64_t>{0, 480, 30, 40}));  // 4/3
  EXPECT_EQ(window(1000, 30), (std::vector<int64_t>{480, 0, 40, 30}));  // 3/4
  EXPECT_EQ(window(1, 1), (std::vector<int64_t>{0, 0, 1, 1}));
}

}  // namespace
}  // namespace rewire::data
