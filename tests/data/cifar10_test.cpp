#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/dataset.h"
#include "error.h"
#include "support/files.h"

namespace rewire::data {
namespace {

using test::message_of;
using test::TempFolder;

Description cifar10(const std::string& root = "cifar") {
  Description description;
  description.kind = "cifar10";
  description.root = root;
  return description;
}

// A record whose pixels are all `value`, but for the first of each plane: 1, 2, 3.
std::string record(int label, int value) {
  std::string bytes(3073, static_cast<char>(value));
  bytes[0] = static_cast<char>(label);
  for (int channel = 0; channel < 3; ++channel) {
    bytes[1 + channel * 1024] = static_cast<char>(channel + 1);
  }
  return bytes;
}

class Cifar10 : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) {
    folder_.write("cifar/" + name, bytes);
  }
  void write_training_files() {
    for (int i = 1; i <= 5; ++i) {
      write("data_batch_" + std::to_string(i) + ".bin",
            record(i, 10 * i) + record(9 - i, 10 * i + 1));
    }
  }
  std::string file(const std::string& name) { return (folder_.path() / "cifar" / name).string(); }
  Dataset open_split(Split split) { return open(cifar10(), folder_.path(), split); }

  const TempFolder folder_;
};

TEST_F(Cifar10, ReadsTheTrainingFilesInOrder) {
  write_training_files();
  const Dataset dataset = open_split(Split::train);
  EXPECT_EQ(dataset.size(), 10);
  EXPECT_THAT(dataset.labels, testing::ElementsAre(1, 8, 2, 7, 3, 6, 4, 5, 5, 4));
  EXPECT_EQ(dataset.max_value, 255);
  EXPECT_EQ(dataset.spec.classes[1], "automobile");

  Image image;
  dataset.read(7, image);  // the second record of data_batch_4.bin
  EXPECT_EQ(image.channels, 3);
  EXPECT_EQ(image.height, 32);
  EXPECT_EQ(image.width, 32);
  ASSERT_EQ(image.pixels.size(), 3072u);
  EXPECT_EQ(image.pixels[0], 1);
  EXPECT_EQ(image.pixels[1], 41);
  EXPECT_EQ(image.pixels[1024], 2);
  EXPECT_EQ(image.pixels[2048], 3);
  EXPECT_EQ(image.pixels[3071], 41);
}

TEST_F(Cifar10, FilesMayDifferInLength) {
  write("test_batch.bin", record(0, 200) + record(1, 201) + record(9, 255));
  const Dataset dataset = open_split(Split::test);
  EXPECT_THAT(dataset.labels, testing::ElementsAre(0, 1, 9));
  Image image;
  dataset.read(2, image);
  EXPECT_EQ(image.pixels[5], 255);
}

TEST_F(Cifar10, AMissingFileNamesTheCure) {
  write_training_files();
  std::filesystem::remove(file("data_batch_3.bin"));
  EXPECT_EQ(message_of<DataError>([&] { open_split(Split::train); }),
            file("data_batch_3.bin") + ": no such file; `rewire fetch cifar10 --data " +
                folder_.path().string() + "` brings the folder cifar-10-batches-bin");
}

TEST_F(Cifar10, AMissingFolderNamesTheCure) {
  EXPECT_EQ(message_of<DataError>([&] { open_split(Split::test); }),
            file("test_batch.bin") + ": no such file; `rewire fetch cifar10 --data " +
                folder_.path().string() + "` brings the folder cifar-10-batches-bin");
}

TEST_F(Cifar10, RefusesAFileThatIsAByteShort) {
  write("test_batch.bin", (record(1, 1) + record(2, 2)).substr(1));
  EXPECT_EQ(message_of<DataError>([&] { open_split(Split::test); }),
            file("test_batch.bin") +
                ": 6145 bytes, expected a positive multiple of 3073 (a label byte and 3072 pixel "
                "bytes a record)");
}

TEST_F(Cifar10, RefusesAnEmptyFile) {
  write("test_batch.bin", "");
  EXPECT_THAT(message_of<DataError>([&] { open_split(Split::test); }),
              testing::HasSubstr("0 bytes, expected a positive multiple of 3073"));
}

TEST_F(Cifar10, RefusesALabelAboveNine) {
  write("test_batch.bin", record(9, 1) + record(1, 2) + record(10, 2));
  EXPECT_EQ(message_of<DataError>([&] { open_split(Split::test); }),
            file("test_batch.bin") + ": record 2, offset 6146: label 10, expected 0 to 9");
  write("test_batch.bin", record(255, 2));
  EXPECT_EQ(message_of<DataError>([&] { open_split(Split::test); }),
            file("test_batch.bin") + ": record 0, offset 0: label 255, expected 0 to 9");
}

TEST_F(Cifar10, RefusesAFolderInPlaceOfAFile) {
  std::filesystem::create_directories(file("test_batch.bin"));
  EXPECT_EQ(message_of<DataError>([&] { open_split(Split::test); }),
            file("test_batch.bin") + ": not a regular file");
}

TEST_F(Cifar10, NeedsARoot) {
  Description description = cifar10();
  description.root.reset();
  EXPECT_EQ(message_of<ConfigError>([&] { open(description, folder_.path(), Split::test); }),
            "data.root: missing: cifar10 needs the folder of its .bin files");
}

TEST_F(Cifar10, AnAbsoluteRootStands) {
  write("test_batch.bin", record(3, 1));
  const auto description = cifar10((folder_.path() / "cifar").string());
  EXPECT_EQ(open(description, "/nowhere", Split::test).size(), 1);
}

TEST(DatasetOpen, ErrorsOfDataEndWithStatusThree) {
  try {
    open(cifar10("absent"), "/nowhere", Split::test);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_status(), 3);
  }
}

}  // namespace
}  // namespace rewire::data
