// Whole files: read within bounds, plain and gzip, and written all or nothing.
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

// Replaces the file at `path` by `bytes`: written to a temporary file beside it, flushed to the
// disk, then renamed, so that whenever the process dies, `path` holds the old content or the new
// one, whole. The temporary file is `path`.<random number>.tmp and nobody else's: writers do not
// mix what they write. One that is killed leaves it; RunFolder removes those of a run, others stay
// until somebody deletes them. Throws Error (exit 1) with path and cause, the old content
// untouched.
void write_atomically(const std::filesystem::path& path, std::string_view bytes);

// Whether `path` is named as the temporary files are that a killed write_atomically leaves.
bool is_temporary(const std::filesystem::path& path);

// Appends `bytes` to the file at `path`, which is made where it is not there: all of them or, where
// the disk is full, none; a process that is killed may leave a part. Throws Error (exit 1) with
// path and cause, and says so where a part stays because the file cannot be cut to its old size.
void append(const std::filesystem::path& path, std::string_view bytes);

// Waits until what was written to the file or folder at `path` is on the disk.
// Throws Error (exit 1) with path and cause.
void flush(const std::filesystem::path& path);

}  // namespace rewire::data
