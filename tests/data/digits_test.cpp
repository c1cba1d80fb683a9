#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "data/dataset.h"
#include "error.h"
#include "support/files.h"
#include "support/gzip.h"

namespace rewire::data {
namespace {

using test::gzip;
using test::message_of;
using test::TempFolder;

Description built_in() {
  Description description;
  description.kind = "digits";
  return description;
}

// A line whose pixels are all `pixel`.
std::string line(int pixel, int label) {
  std::string text;
  for (int i = 0; i < 64; ++i) text += std::to_string(pixel) + ",";
  return text + std::to_string(label) + "\n";
}

class DigitsFile : public testing::Test {
 protected:
  Dataset open_packed(std::string_view packed, Split split = Split::train) {
    folder_.write("digits/digits.csv.gz", packed);
    Description description = built_in();
    description.root = "digits";
    return open(description, folder_.path(), split);
  }
  // The error that a file of this text leads to, without the file's name in front.
  std::string error_of(const std::string& text) { return error_of_packed(gzip(text)); }
  std::string error_of_packed(std::string_view packed) {
    const std::string message = message_of<DataError>([&] { open_packed(packed); });
    const std::string file = (folder_.path() / "digits" / "digits.csv.gz").string();
    EXPECT_EQ(message.substr(0, file.size() + 1), file + ":");
    return message.substr(file.size() + 1);
  }

  const TempFolder folder_;
};

TEST(Digits, AreBuiltIn) {
  const Dataset train = open(built_in(), "/nowhere", Split::train);
  const Dataset test = open(built_in(), "/nowhere", Split::test);
  EXPECT_EQ(train.size(), 1438);
  EXPECT_EQ(test.size(), 359);
  EXPECT_EQ(train.max_value, 16);
  // The file begins with 0, 1, 2, ... and the fifth image is for testing.
  EXPECT_THAT(std::vector(train.labels.begin(), train.labels.begin() + 6),
              testing::ElementsAre(0, 1, 2, 3, 5, 6));
  EXPECT_EQ(test.labels[0], 4);

  Image image;
  train.read(0, image);
  EXPECT_EQ(image.channels, 1);
  EXPECT_EQ(image.height, 8);
  EXPECT_EQ(image.width, 8);
  EXPECT_THAT(std::vector(image.pixels.begin(), image.pixels.begin() + 16),
              testing::ElementsAre(0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0));
}

TEST(Digits, EveryClassIsInBothSplits) {
  for (const Split split : {Split::train, Split::test}) {
    std::array<int, 10> counts{};
    const Dataset dataset = open(built_in(), "/nowhere", split);
    for (const int64_t label : dataset.labels) ++counts.at(label);
    for (const int count : counts) EXPECT_GT(count, 20);
  }
}

TEST_F(DigitsFile, EveryFifthImageIsForTesting) {
  std::string text;
  for (int i = 0; i < 11; ++i) text += line(i, i % 10);
  const Dataset train = open_packed(gzip(text), Split::train);
  const Dataset test = open_packed(gzip(text), Split::test);
  EXPECT_THAT(train.labels, testing::ElementsAre(0, 1, 2, 3, 5, 6, 7, 8, 0));
  EXPECT_THAT(test.labels, testing::ElementsAre(4, 9));
  Image image;
  test.read(1, image);
  EXPECT_EQ(image.pixels, std::vector<uint8_t>(64, 9));
}

TEST_F(DigitsFile, ErrorsNameLineAndValue) {
  const std::string good = line(1, 1);
  EXPECT_EQ(error_of(good + line(17, 1)), "2: value 1: '17', expected an integer from 0 to 16");
  EXPECT_EQ(error_of(good + good + line(1, 10)),
            "3: value 65: '10', expected an integer from 0 to 9");
  EXPECT_EQ(error_of("-1" + good), "1: value 1: '-11', expected an integer from 0 to 16");
  EXPECT_EQ(error_of(" " + good), "1: value 1: ' 1', expected an integer from 0 to 16");
  EXPECT_EQ(error_of("x" + good), "1: value 1: 'x1', expected an integer from 0 to 16");
  EXPECT_EQ(error_of("1," + good.substr(0, good.size() - 1) + ",3\n"),
            "1: value 65: followed by ',1,3', expected 65 values separated by commas");
  EXPECT_EQ(error_of("1,2\n"),
            "1: value 2: followed by '', expected 65 values separated by commas");
  EXPECT_EQ(
      error_of("1.5" + good),
      "1: value 1: followed by '.51,1,1,1,1,1,1,1,1,', expected 65 values separated by commas");
  EXPECT_EQ(error_of("\n"), "1: value 1: '', expected an integer from 0 to 16");
}

TEST_F(DigitsFile, RefusesWhatIsNoGzip) {
  EXPECT_EQ(error_of_packed(line(1, 1)), " incorrect header check");
  EXPECT_EQ(error_of_packed(""), " gzip stream cut short");
}

TEST_F(DigitsFile, RefusesATruncatedOrDamagedStream) {
  std::string packed = gzip(line(1, 1) + line(2, 2));
  EXPECT_EQ(error_of_packed(packed.substr(0, packed.size() - 5)), " gzip stream cut short");
  EXPECT_EQ(error_of_packed(packed + "xyz"), " 3 bytes after the end of the gzip stream");
  packed[packed.size() - 6] ^= 1;  // in the checksum
  EXPECT_EQ(error_of_packed(packed), " incorrect data check");
}

TEST_F(DigitsFile, StopsUnpackingAtABound) {
  EXPECT_EQ(error_of(std::string(20 << 20, '0')), " unpacks to more than 16777216 bytes");
}

TEST_F(DigitsFile, RefusesASplitWithoutImages) {
  EXPECT_EQ(error_of(""), " 0 images, expected at least 5");
}

TEST_F(DigitsFile, AMissingFileIsNamed) {
  Description description = built_in();
  description.root = "absent";
  EXPECT_EQ(message_of<DataError>([&] { open(description, folder_.path(), Split::test); }),
            (folder_.path() / "absent" / "digits.csv.gz").string() + ": no such file");
}

}  // namespace
}  // namespace rewire::data
