// Writes TensorBoard event files: scalars and pictures over the steps of a run.
//
// A file is a sequence of records (the TFRecord format): the length as 8 bytes, the masked CRC-32C
// of those, the bytes of a protobuf Event, the masked CRC-32C of these; all little-endian. The few
// messages needed are encoded here by hand, which spares the protobuf dependency.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace rewire::train {

// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of `bytes`.
uint32_t crc32c(std::string_view bytes);

// The curves are a by-product: whatever becomes of the file, training goes on. So nothing here
// throws for a file that cannot be written; each call says whether its record was written.
class EventFile {
 public:
  // Opens `folder`/events.out.tfevents.<unix seconds>.<hostname>, which TensorBoard finds by name.
  explicit EventFile(const std::filesystem::path& folder);

  // Appends the value of curve `tag` at `step`. On disk when this returns.
  bool scalar(std::string_view tag, int64_t step, float value);

  // Appends a picture: `png` is a whole PNG file of width x height pixels with three channels.
  bool image(std::string_view tag, int64_t step, int64_t width, int64_t height,
             std::string_view png);

  const std::filesystem::path& path() const { return path_; }

 private:
  bool append(std::string_view event);

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace rewire::train
