#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/dataset.h"
#include "error.h"
#include "support/files.h"
#include "support/gzip.h"

namespace rewire::data {
namespace {

using test::gzip;
using test::message_of;
using test::TempFolder;

std::string big_endian(uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
  return bytes;
}

// Image i has the pixels 10 i, but for the last of its first row, 1, and the first of its last, 2.
std::string images_idx(int count) {
  std::string bytes = big_endian(0x803) + big_endian(count) + big_endian(28) + big_endian(28);
  for (int i = 0; i < count; ++i) {
    std::string pixels(28 * 28, static_cast<char>(10 * i));
    pixels[27] = 1;
    pixels[27 * 28] = 2;
    bytes += pixels;
  }
  return bytes;
}

std::string labels_idx(const std::string& labels) {
  return big_endian(0x801) + big_endian(uint32_t(labels.size())) + labels;
}

class Mnist : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) {
    folder_.write("mnist/" + name, bytes);
  }
  void write_test_files(const std::string& images, const std::string& labels) {
    write("t10k-images-idx3-ubyte", images);
    write("t10k-labels-idx1-ubyte", labels);
  }
  std::string file(const std::string& name) { return (folder_.path() / "mnist" / name).string(); }
  Dataset open_split(Split split) {
    return open({.kind = "mnist", .root = "mnist"}, folder_.path(), split);
  }
  // Of the test files, after the path of the one that is at fault.
  std::string complaint(const std::string& faulty) {
    const std::string message = message_of<DataError>([&] { open_split(Split::test); });
    EXPECT_TRUE(message.starts_with(file(faulty) + ": ")) << message;
    return message.substr(std::min(message.size(), file(faulty).size() + 2));
  }

  const TempFolder folder_;
};

TEST_F(Mnist, ReadsThePublishedCompressedFiles) {
  write("train-images-idx3-ubyte.gz", gzip(images_idx(3)));
  write("train-labels-idx1-ubyte.gz", gzip(labels_idx({7, 0, 9})));
  const Dataset dataset = open_split(Split::train);
  EXPECT_THAT(dataset.labels, testing::ElementsAre(7, 0, 9));
  EXPECT_EQ(dataset.max_value, 255);
  EXPECT_EQ(dataset.spec.classes.size(), 10u);

  Image image;
  dataset.read(2, image);
  EXPECT_EQ(image.channels, 1);
  EXPECT_EQ(image.height, 28);
  EXPECT_EQ(image.width, 28);
  ASSERT_EQ(image.pixels.size(), 784u);
  EXPECT_EQ(image.pixels[0], 20);
  EXPECT_EQ(image.pixels[27], 1);
  EXPECT_EQ(image.pixels[27 * 28], 2);
  EXPECT_EQ(image.pixels[783], 20);
}

TEST_F(Mnist, ReadsUnpackedFiles) {
  write_test_files(images_idx(2), labels_idx({4, 5}));
  EXPECT_THAT(open_split(Split::test).labels, testing::ElementsAre(4, 5));
}

TEST_F(Mnist, OfAFileInBothFormsTakesThePublishedOne) {
  write_test_files(images_idx(1), labels_idx({4}));
  write("t10k-labels-idx1-ubyte.gz", gzip(labels_idx({6})));
  EXPECT_THAT(open_split(Split::test).labels, testing::ElementsAre(6));
}

TEST_F(Mnist, AMissingFileNamesTheCure) {
  write("t10k-labels-idx1-ubyte", labels_idx({4}));
  EXPECT_EQ(complaint("t10k-images-idx3-ubyte.gz"),
            "no such file, nor one without .gz; `rewire fetch mnist --data " +
                folder_.path().string() + "` brings the folder mnist");
}

TEST_F(Mnist, RefusesAnotherMagicNumber) {
  write_test_files(labels_idx({4}) + std::string(8, 0), labels_idx({4}));
  EXPECT_EQ(complaint("t10k-images-idx3-ubyte"), "offset 0: magic number 2049, expected 2051");
  write_test_files(images_idx(1), images_idx(1));
  EXPECT_EQ(complaint("t10k-labels-idx1-ubyte"), "offset 0: magic number 2051, expected 2049");
}

TEST_F(Mnist, RefusesImagesOfAnotherSide) {
  std::string images = images_idx(1);
  images[15] = 27;
  write_test_files(images, labels_idx({4}));
  EXPECT_EQ(complaint("t10k-images-idx3-ubyte"), "offset 12: side of the images 27, expected 28");
}

TEST_F(Mnist, RefusesFilesCutShortOrTrailed) {
  const std::string images = images_idx(2), labels = labels_idx({4, 5});
  write_test_files(images.substr(1), labels);
  EXPECT_THAT(complaint("t10k-images-idx3-ubyte"), testing::HasSubstr("magic number 525056"));
  write_test_files(images.substr(0, 1583), labels);
  EXPECT_EQ(complaint("t10k-images-idx3-ubyte"),
            "1583 bytes, expected 1584 (a header of 16, and 2 images of 784)");
  write_test_files(images, labels + "x");
  EXPECT_EQ(complaint("t10k-labels-idx1-ubyte"),
            "11 bytes, expected 10 (a header of 8, and 2 labels of 1)");
  write_test_files(images.substr(0, 15), labels);
  EXPECT_EQ(complaint("t10k-images-idx3-ubyte"), "15 bytes, expected a header of 16");
  write_test_files("", labels);
  EXPECT_EQ(complaint("t10k-images-idx3-ubyte"), "0 bytes, expected a header of 16");
}

TEST_F(Mnist, RefusesACountThatNoFileHolds) {
  std::string images = images_idx(1);
  images.replace(4, 4, big_endian(0xffffffff));
  write_test_files(images, labels_idx({4}));
  EXPECT_EQ(complaint("t10k-images-idx3-ubyte"),
            "800 bytes, expected 3367254359296 (a header of 16, and 4294967295 images of 784)");
}

TEST_F(Mnist, RefusesNoImages) {
  write_test_files(images_idx(0), labels_idx(""));
  EXPECT_EQ(complaint("t10k-labels-idx1-ubyte"), "offset 4: no labels, expected at least one");
}

TEST_F(Mnist, RefusesMoreLabelsThanImages) {
  write_test_files(images_idx(1), labels_idx({4, 5}));
  EXPECT_EQ(complaint("t10k-labels-idx1-ubyte"),
            "2 labels, expected 1, one for each image of " + file("t10k-images-idx3-ubyte"));
}

TEST_F(Mnist, RefusesALabelAboveNine) {
  write_test_files(images_idx(3), labels_idx({9, 10, 0}));
  EXPECT_EQ(complaint("t10k-labels-idx1-ubyte"), "record 1, offset 9: label 10, expected 0 to 9");
}

TEST_F(Mnist, RefusesADamagedCompressedFile) {
  write_test_files(images_idx(1), labels_idx({4}));
  const std::string packed = gzip(images_idx(1));
  write("t10k-images-idx3-ubyte.gz", packed.substr(0, packed.size() - 1));
  EXPECT_EQ(complaint("t10k-images-idx3-ubyte.gz"), "gzip stream cut short");
}

TEST_F(Mnist, NeedsARoot) {
  EXPECT_EQ(message_of<ConfigError>([&] { open({.kind = "mnist"}, folder_.path(), Split::test); }),
            "data.root: missing: mnist needs the folder of its .gz files");
}

}  // namespace
}  // namespace rewire::data
