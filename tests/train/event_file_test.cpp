#include "train/event_file.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <bit>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "error.h"
#include "support/files.h"

namespace rewire::train {
namespace {

class EventFileTest : public testing::Test {
 protected:
  EventFileTest() { std::filesystem::create_directories(folder_); }
  ~EventFileTest() override { std::filesystem::remove_all(folder_); }

  // The steps of a file's events, "version" for those that have none.
  static std::vector<std::string> steps(const std::filesystem::path& path);
  // Of all files, in the order of their names.
  std::vector<std::string> all_steps() const;

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

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The events of a file, after checking the frame of each.
std::vector<std::string> read_records(const std::filesystem::path& path) {
  const std::string bytes = bytes_of(path);
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

std::vector<std::string> EventFileTest::steps(const std::filesystem::path& path) {
  std::vector<std::string> steps;
  for (const std::string& record : read_records(path)) {
    auto event = decode(record);
    steps.push_back(event.contains(2) ? event[2] : "version");
  }
  return steps;
}

std::vector<std::string> EventFileTest::all_steps() const {
  std::set<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) files.insert(entry.path());
  std::vector<std::string> all;
  for (const auto& file : files) {
    for (const std::string& step : steps(file)) {
      if (step != "version" || all.empty()) all.push_back(step);
    }
  }
  return all;
}

TEST_F(EventFileTest, Crc32cGivesThePublishedCheckValue) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
}

TEST_F(EventFileTest, BeginsWithTheFormatVersion) {
  EventFile file(folder_, 0);
  file.scalar("loss", 0, 1.0f);
  EXPECT_EQ(file.path().filename().string().rfind("events.out.tfevents.", 0), 0u);
  const auto records = read_records(file.path());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(decode(records[0])[3], "brain.Event:2");
}

TEST_F(EventFileTest, EachScalarIsOnDiskAtOnce) {
  EventFile file(folder_, 0);
  file.scalar("train/loss", 300, 2.5f);
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
  EventFile file(folder_, 0);
  const std::string png("\x89PNG and so on\0\xFF", 16);
  file.image("wiring", 7, 640, 48, png);
  auto value = decode(decode(decode(read_records(file.path()).at(1))[5])[1]);
  EXPECT_EQ(value[1], "wiring");
  auto image = decode(value[4]);
  EXPECT_EQ(image[1], "48");   // height
  EXPECT_EQ(image[2], "640");  // width
  EXPECT_EQ(image[3], "3");
  EXPECT_EQ(image[4], png);
}

TEST_F(EventFileTest, HistogramsHaveTheirBucketsAndMoments) {
  EventFile file(folder_, 0);
  const auto histogram_of = [&](const std::vector<int64_t>& values) {
    file.histogram("degrees", 7, values);
    auto value = decode(decode(decode(read_records(file.path()).back())[5])[1]);
    EXPECT_EQ(value[1], "degrees");
    return decode(value[5]);
  };
  const auto doubles = [](std::string_view bytes) {
    std::vector<double> numbers;
    for (; !bytes.empty(); bytes.remove_prefix(8)) {
      numbers.push_back(std::bit_cast<double>(little_endian(bytes.substr(0, 8))));
    }
    return numbers;
  };
  auto few = histogram_of({2, 0, 2, 3});
  std::string moments;
  for (int field = 1; field <= 5; ++field) moments += few[field];
  EXPECT_EQ(doubles(moments), (std::vector<double>{0, 3, 4, 7, 17}));
  EXPECT_EQ(doubles(few[6]), (std::vector<double>{0.5, 1.5, 2.5, 3.5}));
  EXPECT_EQ(doubles(few[7]), (std::vector<double>{1, 0, 2, 1}));

  auto wide = histogram_of({0, 127, 128});  // buckets of three
  EXPECT_EQ(doubles(wide[6]).size(), 43u);
  EXPECT_EQ(doubles(wide[6]).back(), 128.5);
  EXPECT_EQ(doubles(wide[7]).back(), 2);

  auto none = histogram_of({});
  EXPECT_EQ(doubles(none[7]), (std::vector<double>{0}));
}

TEST_F(EventFileTest, AFileThatCannotBeWrittenIsNamed) {
  const auto file = [&] { return EventFile(folder_ / "absent", 0); };
  EXPECT_EQ(test::message_of<Error>([&] { file().scalar("loss", 0, 1.0f); }),
            file().path().string() + ": cannot be written: No such file or directory");
}

TEST_F(EventFileTest, AFolderThatCannotBeLookedIntoIsNamed) {
  std::filesystem::create_directory_symlink("circle", folder_ / "circle");
  EventFile file(folder_ / "circle", 0);
  EXPECT_EQ(test::message_of<Error>([&] { file.scalar("loss", 0, 1.0f); }),
            file.path().string() + ": cannot be written: Too many levels of symbolic links");
}

TEST_F(EventFileTest, GoesOnInANewFileWhereItsOwnWasRemoved) {
  EventFile file(folder_, 0);
  file.scalar("loss", 0, 1.0f);
  std::filesystem::remove(file.path());
  file.scalar("loss", 1, 1.0f);
  EXPECT_EQ(steps(file.path()), (std::vector<std::string>{"version", "1"}));
}

TEST_F(EventFileTest, KeepsTheStepsBeforeTheNextOne) {
  EventFile first(folder_, 0);
  for (const int64_t step : {0, 1, 200, 300}) first.scalar("loss", step, 1.0f);
  EventFile(folder_, 300).scalar("loss", 300, 2.0f);  // the same file, within the second
  EXPECT_EQ(all_steps(), (std::vector<std::string>{"version", "0", "1", "200", "300"}));
  const EventFile third(folder_, 1);
  EXPECT_EQ(all_steps(), (std::vector<std::string>{"version", "0"}));
}

TEST_F(EventFileTest, AFileThatKeepsNothingIsRemoved) {
  EventFile(folder_, 0).scalar("loss", 5, 1.0f);
  const EventFile second(folder_, 5);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(EventFileTest, WhereverItIsCutTheWholeRecordsStay) {
  EventFile file(folder_, 0);
  for (int step = 0; step < 3; ++step) file.scalar("loss", step, 1.0f);
  const std::string whole = bytes_of(file.path());
  const auto records = read_records(file.path());
  size_t complete = 0, end = 0;  // of the records that a cut at `size` leaves whole
  for (size_t size = 0; size <= whole.size(); ++size) {
    if (complete < records.size() && size == end + records[complete].size() + 16) {
      end = size;
      ++complete;
    }
    std::ofstream(file.path(), std::ios::binary) << whole.substr(0, size);
    EventFile(folder_, 100).scalar("loss", 7, 1.0f);
    const size_t kept = complete < 2 ? 0 : complete - 1;  // the version alone is no value
    std::vector<std::string> expected = {"version"};
    for (size_t step = 0; step < kept; ++step) expected.push_back(std::to_string(step));
    expected.push_back("7");
    ASSERT_EQ(all_steps(), expected) << size;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path() != file.path()) std::filesystem::remove(entry.path());  // of another second
    }
  }
}

TEST_F(EventFileTest, ADamagedRecordEndsTheFile) {
  EventFile file(folder_, 0);
  for (int step = 0; step < 3; ++step) file.scalar("loss", step, 1.0f);
  std::string bytes = bytes_of(file.path());
  bytes[bytes.size() - 10] ^= 1;
  std::ofstream(file.path(), std::ios::binary) << bytes;
  const EventFile next(folder_, 100);
  EXPECT_EQ(all_steps(), (std::vector<std::string>{"version", "0", "1"}));
}

TEST_F(EventFileTest, LeavesOtherFilesAlone) {
  std::ofstream(folder_ / "notes.txt") << "notes";
  const EventFile file(folder_, 0);
  EXPECT_EQ(bytes_of(folder_ / "notes.txt"), "notes");
}

}  // namespace
}  // namespace rewire::train
