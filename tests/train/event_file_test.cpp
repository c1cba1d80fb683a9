#include "train/event_file.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <bit>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace rewire::train {
namespace {

class EventFileTest : public testing::Test {
 protected:
  EventFileTest() { std::filesystem::create_directories(folder_); }
  ~EventFileTest() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() /
      ("rewire_event_file_" + std::to_string(getpid()) +
       testing::UnitTest::GetInstance()->current_test_info()->name());
};

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

uint32_t masked(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

// The events of a file, after checking the frame of each.
std::vector<std::string> read_records(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view rest = std::string_view(bytes).substr(at);
    const uint64_t length = little_endian(rest.substr(0, 8));
    EXPECT_EQ(little_endian(rest.substr(8, 4)), masked(rest.substr(0, 8)));
    EXPECT_EQ(little_endian(rest.substr(12 + length, 4)), masked(rest.substr(12, length)));
    records.emplace_back(rest.substr(12, length));
    at += 16 + length;
  }
  return records;
}

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
}

// A message's fields by number: varints as decimal text, everything else as its bytes.
std::map<int, std::string> decode(std::string_view bytes) {
  std::map<int, std::string> fields;
  while (!bytes.empty()) {
    const uint64_t key = take_varint(bytes);
    std::string& field = fields[static_cast<int>(key >> 3)];
    if ((key & 7) == 0) {
      field = std::to_string(take_varint(bytes));
      continue;
    }
    const size_t length = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : take_varint(bytes);
    field = bytes.substr(0, length);
    bytes.remove_prefix(length);
  }
  return fields;
}

TEST_F(EventFileTest, Crc32cGivesThePublishedCheckValue) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
}

TEST_F(EventFileTest, BeginsWithTheFormatVersion) {
  const EventFile file(folder_);
  EXPECT_EQ(file.path().filename().string().rfind("events.out.tfevents.", 0), 0u);
  const auto records = read_records(file.path());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(decode(records[0])[3], "brain.Event:2");
}

TEST_F(EventFileTest, EachScalarIsOnDiskAtOnce) {
  EventFile file(folder_);
  ASSERT_TRUE(file.scalar("train/loss", 300, 2.5f));
  const auto records = read_records(file.path());
  ASSERT_EQ(records.size(), 2u);
  auto event = decode(records[1]);
  EXPECT_EQ(event[2], "300");
  auto value = decode(decode(event[5])[1]);
  EXPECT_EQ(value[1], "train/loss");
  EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(little_endian(value[2]))), 2.5f);
  const double seconds = std::bit_cast<double>(little_endian(event[1]));
  EXPECT_GT(seconds, 1.6e9);
  EXPECT_LT(seconds, 1e10);
}

TEST_F(EventFileTest, ImagesCarryTheirSizeAndBytes) {
  EventFile file(folder_);
  const std::string png("\x89PNG and so on\0\xFF", 16);
  ASSERT_TRUE(file.image("wiring", 7, 640, 48, png));
  auto value = decode(decode(decode(read_records(file.path()).at(1))[5])[1]);
  EXPECT_EQ(value[1], "wiring");
  auto image = decode(value[4]);
  EXPECT_EQ(image[1], "48");   // height
  EXPECT_EQ(image[2], "640");  // width
  EXPECT_EQ(image[3], "3");
  EXPECT_EQ(image[4], png);
}

TEST_F(EventFileTest, AFileThatCannotBeOpenedFailsWithoutThrowing) {
  EventFile file(folder_ / "absent");
  EXPECT_FALSE(file.scalar("loss", 0, 1.0f));
  EXPECT_FALSE(file.image("wiring", 0, 1, 1, "png"));
}

TEST_F(EventFileTest, OutlivesItsFolder) {
  EventFile file(folder_);
  std::filesystem::remove_all(folder_);
  EXPECT_NO_THROW(file.scalar("loss", 0, 1.0f));
}

TEST_F(EventFileTest, OpenedTwiceItAppends) {
  for (int i = 0; i < 2; ++i) {
    EventFile file(folder_);
    file.scalar("loss", i, 1.0f);
  }
  size_t records = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    records += read_records(entry.path()).size();
  }
  EXPECT_EQ(records, 4u);
}

}  // namespace
}  // namespace rewire::train
