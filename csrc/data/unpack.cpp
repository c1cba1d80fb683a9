#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <memory>

#include "data/download.h"
#include "data/file.h"
#include "error.h"

namespace rewire::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostBytes = int64_t{1} << 30;

// The name of an entry that is a regular file in `folder`; empty for any other.
std::string name_in(archive_entry* entry, const std::string& folder) {
  const char* path = archive_entry_pathname(entry);
  if (archive_entry_filetype(entry) != AE_IFREG || path == nullptr) return {};
  const std::string prefix = folder + "/", whole = path;
  if (!whole.starts_with(prefix)) return {};
  const std::string name = whole.substr(prefix.size());
  return name == "." || name == ".." || name.find('/') != std::string::npos ? "" : name;
}

}  // namespace

void unpack(const fs::path& path, const std::string& folder, const fs::path& to) {
  const std::unique_ptr<archive, int (*)(archive*)> tar(archive_read_new(), archive_read_free);
  const auto refuse = [&](const std::string& cause) {
    throw DataError(fmt::format("{}: {}", path.string(), printable(cause)));
  };
  const auto check = [&](int code) {
    if (code != ARCHIVE_OK) refuse(archive_error_string(tar.get()));
  };
  archive_read_support_filter_gzip(tar.get());  // not all: some are programs that it would run
  archive_read_support_format_tar(tar.get());
  check(archive_read_open_filename(tar.get(), path.c_str(), 1 << 16));
  int64_t files = 0;
  for (archive_entry* entry = nullptr;;) {
    const int code = archive_read_next_header(tar.get(), &entry);
    if (code == ARCHIVE_EOF) break;
    check(code);
    const std::string name = name_in(entry, folder);
    if (name.empty()) continue;
    const int64_t bytes = archive_entry_size(entry);
    if (bytes > kMostBytes) refuse(fmt::format("{}: {} bytes are too many", name, bytes));
    std::string content(size_t(bytes), '\0');
    if (archive_read_data(tar.get(), content.data(), content.size()) != bytes) {
      refuse(name + " is cut or damaged");
    }
    fs::create_directories(to / folder);
    write_atomically(to / folder / name, content);
    ++files;
  }
  if (files == 0) refuse("no file in a folder " + folder);
}

}  // namespace rewire::data
