// Reading whole files, plain and gzip, within bounds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace rewire::data {

// The bytes of `path`. Throws DataError, "<path>: <cause>", where it cannot be read, is no regular
// file or holds more than `max_bytes`.
std::string read_file(const std::filesystem::path& path, int64_t max_bytes);

// What the gzip stream `packed` unpacks to. Throws DataError, "<name>: <cause>", for a damaged,
// truncated or trailed stream and as soon as more than `max_bytes` come out.
std::string gunzip(std::string_view packed, int64_t max_bytes, const std::string& name);

}  // namespace rewire::data
