#include "data/augment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>
#include <stdexcept>
#include <string>

#include "support/files.h"

namespace rewire::data {
namespace {

using test::message_of;
using testing::ElementsAre;

// 1 2 3
// 4 5 6
Image six_pixels() { return {1, 2, 3, {1, 2, 3, 4, 5, 6}}; }

Image cropped(const Image& image, int64_t padding, int64_t top, int64_t left) {
  Image out{1, 1, 1, {99}};
  crop_padded(image, padding, top, left, out);
  EXPECT_EQ(out.channels, image.channels);
  EXPECT_EQ(out.height, image.height);
  EXPECT_EQ(out.width, image.width);
  return out;
}

TEST(CropPadded, InTheMiddleIsTheImage) {
  EXPECT_EQ(cropped(six_pixels(), 1, 1, 1).pixels, six_pixels().pixels);
  EXPECT_EQ(cropped(six_pixels(), 0, 0, 0).pixels, six_pixels().pixels);
}

TEST(CropPadded, AtTheCornersShowsBlackBorders) {
  EXPECT_THAT(cropped(six_pixels(), 1, 0, 0).pixels, ElementsAre(0, 0, 0, 0, 1, 2));
  EXPECT_THAT(cropped(six_pixels(), 1, 2, 2).pixels, ElementsAre(5, 6, 0, 0, 0, 0));
  EXPECT_THAT(cropped(six_pixels(), 1, 1, 2).pixels, ElementsAre(2, 3, 0, 5, 6, 0));
  EXPECT_THAT(cropped(six_pixels(), 1, 1, 0).pixels, ElementsAre(0, 1, 2, 0, 4, 5));
}

TEST(CropPadded, PaddingMayExceedTheImage) {
  EXPECT_THAT(cropped(six_pixels(), 5, 0, 0).pixels, ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_THAT(cropped(six_pixels(), 5, 5, 10).pixels, ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_THAT(cropped(six_pixels(), 5, 5, 3).pixels, ElementsAre(0, 0, 1, 0, 0, 4));
}

TEST(CropPadded, MovesEveryChannelAlike) {
  const Image image{2, 2, 2, {1, 2, 3, 4, 10, 20, 30, 40}};
  EXPECT_THAT(cropped(image, 1, 2, 1).pixels, ElementsAre(3, 4, 0, 0, 30, 40, 0, 0));
}

TEST(FlipHorizontally, MirrorsEachRow) {
  Image image{2, 1, 3, {1, 2, 3, 4, 5, 6}};
  flip_horizontally(image);
  EXPECT_THAT(image.pixels, ElementsAre(3, 2, 1, 6, 5, 4));
}

TEST(Augment, TakesItsDrawsInTheDocumentedOrder) {
  const std::vector<Augmentation> steps = {{"random_crop", 1}, {"horizontal_flip", 0}};
  for (int64_t sample = 0; sample < 40; ++sample) {
    Image image = six_pixels(), scratch;
    Random random(0, 0, sample, Purpose::augmentation);
    augment(steps, random, image, scratch);

    Random draws(0, 0, sample, Purpose::augmentation);
    const int64_t top = draws.below(3);
    const int64_t left = draws.below(3);
    Image expected = cropped(six_pixels(), 1, top, left);
    if (draws.below(2) == 1) flip_horizontally(expected);
    EXPECT_EQ(image.pixels, expected.pixels) << "sample " << sample;
  }
}

TEST(Augment, ReachesEveryCropAndBothFlips) {
  const std::vector<Augmentation> steps = {{"random_crop", 1}, {"horizontal_flip", 0}};
  std::set<std::string> seen;
  for (int64_t sample = 0; sample < 500; ++sample) {
    Image image = six_pixels(), scratch;
    Random random(0, 0, sample, Purpose::augmentation);
    augment(steps, random, image, scratch);
    seen.emplace(image.pixels.begin(), image.pixels.end());
  }
  EXPECT_EQ(seen.size(), 18u);  // nine crops, each mirrored or not
}

TEST(Augment, NothingToDoLeavesTheImage) {
  Image image = six_pixels(), scratch;
  Random random(0, 0, 0, Purpose::augmentation);
  augment({}, random, image, scratch);
  EXPECT_EQ(image.pixels, six_pixels().pixels);
}

TEST(Augment, RefusesAnUnknownKind) {
  const std::vector<Augmentation> steps = {{"mirror", 0}};
  Image image = six_pixels(), scratch;
  Random random(0, 0, 0, Purpose::augmentation);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { augment(steps, random, image, scratch); }),
            "data.augment: no augmentation 'mirror' (random_crop, horizontal_flip or "
            "random_resized_crop)");
}

}  // namespace
}  // namespace rewire::data
