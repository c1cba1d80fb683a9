// Writes TensorBoard event files: scalars, pictures and histograms over the steps of a run.
//
// A file is a sequence of records (the TFRecord format): the length as 8 bytes, the masked CRC-32C
// of those, the bytes of a protobuf Event, the masked CRC-32C of these; all little-endian. The few
// messages needed are encoded here by hand, which spares the protobuf dependency.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace rewire::train {

// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of `bytes`.
uint32_t crc32c(std::string_view bytes);

// Each call throws Error (exit 1) where its record cannot be written: then nothing of it is, and
// what was written before stays readable.
class EventFile {
 public:
  // Writes to `folder`/events.out.tfevents.<unix seconds>.<hostname>, which TensorBoard finds by
  // name, made with the first record. What the folder's earlier files hold of steps before
  // `next_step` is kept; they end before the first record that is of a later step, cut or damaged,
  // and those that keep none are removed.
  EventFile(const std::filesystem::path& folder, int64_t next_step);

  // Appends the value of curve `tag` at `step`.
  void scalar(std::string_view tag, int64_t step, float value);

  // Appends a picture: `png` is a whole PNG file of width x height pixels with three channels.
  void image(std::string_view tag, int64_t step, int64_t width, int64_t height,
             std::string_view png);

  // Appends the distribution of `values`, integers from 0 on, in at most 64 buckets of one width.
  void histogram(std::string_view tag, int64_t step, std::span<const int64_t> values);

  const std::filesystem::path& path() const { return path_; }

 private:
  void append(std::string_view event);

  std::filesystem::path path_;
};

}  // namespace rewire::train
