#include "data/file.h"

#include <fmt/format.h>
#include <zlib.h>
#include <array>
#include <fstream>
#include <system_error>

#include "error.h"

namespace rewire::data {
namespace {

// Releases the stream's memory on every way out.
struct Inflater {
  z_stream stream{};
  ~Inflater() { inflateEnd(&stream); }
};

}  // namespace

std::string read_file(const std::filesystem::path& path, int64_t max_bytes) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw DataError(fmt::format("{}: no such file", path.string()));
  }
  if (error) throw DataError(fmt::format("{}: {}", path.string(), error.message()));
  if (!std::filesystem::is_regular_file(status)) {
    throw DataError(fmt::format("{}: not a regular file", path.string()));
  }
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error) throw DataError(fmt::format("{}: {}", path.string(), error.message()));
  if (size > max_bytes) {
    throw DataError(
        fmt::format("{}: {} bytes, expected at most {}", path.string(), size, max_bytes));
  }
  std::string bytes(static_cast<size_t>(size), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError(fmt::format("{}: cannot be opened for reading", path.string()));
  file.read(bytes.data(), size);
  if (file.gcount() != size) {
    throw DataError(fmt::format("{}: reading stopped after {} of {} bytes", path.string(),
                                file.gcount(), size));
  }
  return bytes;
}

std::string gunzip(std::string_view packed, int64_t max_bytes, const std::string& name) {
  constexpr int kGzipOnly = 16 + MAX_WBITS;
  Inflater inflater;
  z_stream& stream = inflater.stream;
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) throw DataError(name + ": out of memory");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string unpacked;
  std::array<char, 65536> chunk;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    status = inflate(&stream, Z_NO_FLUSH);
    if (status == Z_BUF_ERROR) throw DataError(name + ": gzip stream cut short");
    if (status != Z_OK && status != Z_STREAM_END) {
      throw DataError(fmt::format("{}: {}", name, stream.msg ? stream.msg : "damaged gzip stream"));
    }
    unpacked.append(chunk.data(), chunk.size() - stream.avail_out);
    if (static_cast<int64_t>(unpacked.size()) > max_bytes) {
      throw DataError(fmt::format("{}: unpacks to more than {} bytes", name, max_bytes));
    }
  }
  if (stream.avail_in != 0) {
    throw DataError(
        fmt::format("{}: {} bytes after the end of the gzip stream", name, stream.avail_in));
  }
  return unpacked;
}

}  // namespace rewire::data
