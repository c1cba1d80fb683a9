#include "train/event_file.h"

#include <fmt/format.h>
#include <unistd.h>
#include <array>
#include <bit>
#include <chrono>

namespace rewire::train {
namespace {

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

std::string file_name() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') host = {"localhost"};
  return fmt::format("events.out.tfevents.{}.{}",
                     std::chrono::duration_cast<std::chrono::seconds>(now).count(), host.data());
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xFF];
  }
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder)
    : path_(folder / file_name()),
      // Appending: a run that is resumed within the second of its start keeps what it wrote.
      file_(path_, std::ios::binary | std::ios::app) {
  append(version_event());
}

bool EventFile::scalar(std::string_view tag, int64_t step, float value) {
  return append(event(step, tag, float_field(2, value)));
}

bool EventFile::image(std::string_view tag, int64_t step, int64_t width, int64_t height,
                      std::string_view png) {
  constexpr int64_t kRgb = 3;
  const std::string image = integer_field(1, height) + integer_field(2, width) +
                            integer_field(3, kRgb) + bytes_field(4, png);
  return append(event(step, tag, bytes_field(4, image)));
}

bool EventFile::append(std::string_view event) {
  const std::string length = little_endian(event.size(), 8);
  file_.clear();  // after a full disk, the next record may fit again
  file_ << length << little_endian(masked_crc32c(length), 4) << event
        << little_endian(masked_crc32c(event), 4) << std::flush;
  return file_.good();
}

}  // namespace rewire::train
