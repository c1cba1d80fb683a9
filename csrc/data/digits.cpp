#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>

#include "data/dataset.h"
#include "data/file.h"
#include "embedded/digits.h"
#include "error.h"

namespace rewire::data {
namespace {

constexpr int64_t kSide = 8;
constexpr int64_t kPixels = kSide * kSide;
constexpr int kMaxPixel = 16;
constexpr int kMaxLabel = 9;
constexpr int64_t kTestEvery = 5;
constexpr int64_t kMaxBytes = int64_t{16} << 20;  // sixty times the shipped file, unpacked

// One line of the file: kPixels pixel values, then the label.
using Record = std::array<uint8_t, kPixels + 1>;

// Reads value `index` of a line, which `text` starts with, and removes it.
uint8_t take_number(std::string_view& text, int64_t index, const std::string& place) {
  const int max = index < kPixels ? kMaxPixel : kMaxLabel;
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0 || number > max) {
    throw DataError(fmt::format("{}: value {}: '{}', expected an integer from 0 to {}", place,
                                index + 1, text.substr(0, text.substr(0, 20).find(',')), max));
  }
  text.remove_prefix(end - text.data());
  return static_cast<uint8_t>(number);
}

Record parse_line(std::string_view line, const std::string& place) {
  Record record;
  for (int64_t i = 0; i <= kPixels; ++i) {
    record[i] = take_number(line, i, place);
    const bool separated = i < kPixels ? line.starts_with(',') : line.empty();
    if (!separated) {
      throw DataError(
          fmt::format("{}: value {}: followed by '{}', expected {} values separated by "
                      "commas",
                      place, i + 1, line.substr(0, 20), kPixels + 1));
    }
    if (i < kPixels) line.remove_prefix(1);
  }
  return record;
}

std::vector<Record> parse(std::string_view text, const std::string& name) {
  std::vector<Record> records;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string place = fmt::format("{}:{}", name, records.size() + 1);
    records.push_back(parse_line(text.substr(0, end), place));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return records;
}

std::vector<Record> load(const std::filesystem::path& folder) {
  if (folder.empty()) {
    const embedded::File& file = embedded::digits().front();
    const std::string name(file.path);
    return parse(gunzip(file.bytes, kMaxBytes, name), name);
  }
  const std::filesystem::path file = folder / "digits.csv.gz";
  return parse(gunzip(read_file(file, kMaxBytes), kMaxBytes, file.string()), file.string());
}

}  // namespace

Dataset open_digits(const std::filesystem::path& folder, Split split) {
  const std::vector<Record> all = load(folder);
  auto chosen = std::make_shared<std::vector<Record>>();
  for (size_t i = 0; i < all.size(); ++i) {
    const bool test = i % kTestEvery == kTestEvery - 1;
    if (test == (split == Split::test)) chosen->push_back(all[i]);
  }
  if (chosen->empty()) {
    throw DataError(fmt::format("{}: {} images, expected at least {}",
                                (folder / "digits.csv.gz").string(), all.size(), kTestEvery));
  }

  Dataset dataset;
  dataset.spec = image_spec({.kind = "digits"});
  dataset.max_value = kMaxPixel;
  for (const Record& record : *chosen) dataset.labels.push_back(record[kPixels]);
  dataset.read = [chosen](int64_t index, Image& image) {
    image.reshape(1, kSide, kSide);
    std::copy_n((*chosen)[index].begin(), kPixels, image.pixels.begin());
  };
  return dataset;
}

}  // namespace rewire::data
