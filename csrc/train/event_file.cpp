#include "train/event_file.h"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <fstream>
#include <optional>
#include <vector>

#include "data/file.h"

namespace rewire::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "events.out.tfevents.";

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
    table[byte] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

// TFRecord's guard against checksums of data that holds checksums.
uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u;
}

std::string little_endian(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

// Protobuf: a field is its number and wire type, then the value; messages and strings carry their
// length.
enum WireType { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
  return out;
}
std::string key(int number, WireType type) { return varint(number << 3 | type); }
std::string integer_field(int number, int64_t value) {
  return key(number, kVarint) + varint(static_cast<uint64_t>(value));
}
std::string float_field(int number, float value) {
  return key(number, kFixed32) + little_endian(std::bit_cast<uint32_t>(value), 4);
}
std::string double_field(int number, double value) {
  return key(number, kFixed64) + little_endian(std::bit_cast<uint64_t>(value), 8);
}
std::string bytes_field(int number, std::string_view value) {
  return key(number, kLength) + varint(value.size()) + std::string(value);
}

// TensorFlow's event.proto and summary.proto. `content`: a field of Summary.Value besides the tag.
std::string event(int64_t step, std::string_view tag, const std::string& content) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  const std::string summary = bytes_field(1, bytes_field(1, tag) + content);
  return double_field(1, now.count()) + integer_field(2, step) + bytes_field(5, summary);
}
std::string version_event() {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return double_field(1, now.count()) + bytes_field(3, "brain.Event:2");
}

std::string record(std::string_view event) {
  const std::string length = little_endian(event.size(), 8);
  return length + little_endian(masked_crc32c(length), 4) + std::string(event) +
         little_endian(masked_crc32c(event), 4);
}

std::string file_name() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') host = {"localhost"};
  return fmt::format("{}{}.{}", kPrefix,
                     std::chrono::duration_cast<std::chrono::seconds>(now).count(), host.data());
}

uint64_t integer_at(std::string_view bytes, size_t at, int size) {
  uint64_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

constexpr size_t kFrame = 16;  // of a record: the length, its checksum, the event's

// The event of the record that `bytes` begin with; nothing where it is cut or damaged.
std::optional<std::string_view> first_event(std::string_view bytes) {
  if (bytes.size() < kFrame) return std::nullopt;
  const uint64_t length = integer_at(bytes, 0, 8);
  if (integer_at(bytes, 8, 4) != masked_crc32c(bytes.substr(0, 8))) return std::nullopt;
  if (length > bytes.size() - kFrame) return std::nullopt;
  const std::string_view event = bytes.substr(12, length);
  if (integer_at(bytes, 12 + length, 4) != masked_crc32c(event)) return std::nullopt;
  return event;
}

// The step of an event as written here: behind the time. Nothing for one that has no step.
std::optional<int64_t> step_of(std::string_view event) {
  constexpr size_t kTime = 9;
  if (event.size() <= kTime || event[kTime] != key(2, kVarint)[0]) return std::nullopt;
  uint64_t step = 0;
  int shift = 0;
  for (size_t at = kTime + 1; at < event.size() && shift < 64; ++at, shift += 7) {
    step |= uint64_t(event[at] & 0x7F) << shift;
    if (!(event[at] & 0x80)) break;
  }
  return int64_t(step);
}

// Ends an event file before the first record that is of `next_step` or later, cut or damaged.
void keep_before(const fs::path& file, int64_t next_step) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return;
  const std::string bytes(std::istreambuf_iterator<char>(stream), {});
  size_t end = 0;
  bool has_values = false;
  while (const auto event = first_event(std::string_view(bytes).substr(end))) {
    const std::optional<int64_t> step = step_of(*event);
    if (step && *step >= next_step) break;
    has_values |= step.has_value();
    end += event->size() + kFrame;
  }
  std::error_code kept;  // as it is, where it cannot be changed
  if (!has_values) {
    fs::remove(file, kept);
  } else if (end < bytes.size()) {
    fs::resize_file(file, end, kept);
  }
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xFF];
  }
  return ~crc;
}

EventFile::EventFile(const fs::path& folder, int64_t next_step) : path_(folder / file_name()) {
  std::error_code error;  // no such folder: nothing to keep
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().starts_with(kPrefix)) keep_before(entry.path(), next_step);
  }
}

void EventFile::scalar(std::string_view tag, int64_t step, float value) {
  append(event(step, tag, float_field(2, value)));
}

void EventFile::image(std::string_view tag, int64_t step, int64_t width, int64_t height,
                      std::string_view png) {
  constexpr int64_t kRgb = 3;
  const std::string image = integer_field(1, height) + integer_field(2, width) +
                            integer_field(3, kRgb) + bytes_field(4, png);
  append(event(step, tag, bytes_field(4, image)));
}

void EventFile::histogram(std::string_view tag, int64_t step, std::span<const int64_t> values) {
  constexpr int64_t kMostBuckets = 64;
  const int64_t largest = values.empty() ? 0 : std::ranges::max(values);
  const int64_t width = largest / kMostBuckets + 1;
  std::vector<int64_t> counts(size_t(largest / width + 1), 0);
  double sum = 0, squares = 0;
  for (const int64_t value : values) {
    ++counts[size_t(value / width)];
    sum += double(value);
    squares += double(value) * double(value);
  }
  std::string limits, buckets;
  for (size_t i = 0; i < counts.size(); ++i) {
    limits += little_endian(std::bit_cast<uint64_t>(double(i + 1) * double(width) - 0.5), 8);
    buckets += little_endian(std::bit_cast<uint64_t>(double(counts[i])), 8);
  }
  const double smallest = values.empty() ? 0 : double(std::ranges::min(values));
  append(event(step, tag,
               bytes_field(5, double_field(1, smallest) + double_field(2, double(largest)) +
                                  double_field(3, double(values.size())) + double_field(4, sum) +
                                  double_field(5, squares) + bytes_field(6, limits) +
                                  bytes_field(7, buckets))));
}

void EventFile::append(std::string_view event) {
  std::error_code absent;
  if (fs::file_size(path_, absent) == 0 || absent) data::append(path_, record(version_event()));
  data::append(path_, record(event));
}

}  // namespace rewire::train
