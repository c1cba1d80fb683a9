// Files from the net: whole, checked against a published checksum, and gone on with where an
// earlier attempt stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace rewire::data {

struct RemoteFile {
  std::string url;  // http or https
  std::string name;
  int64_t bytes = 0;
  std::string checksum;  // MD5 or SHA-256, in hexadecimal
};

// A data set as it is published.
struct RemoteSet {
  std::string folder;  // that the files stand in, below --data
  std::vector<RemoteFile> files;
  std::string unpacked;  // a folder that the files, which are archives, hold; empty: as they are
};

// `cifar10` or `mnist`. Throws std::out_of_range for another name.
const RemoteSet& remote_set(const std::string& name);

// Called with the bytes that are there.
using Progress = std::function<void(const RemoteFile& file, int64_t bytes)>;

// Brings `file` to the path `to`, unless it is there with its checksum. What was brought stands in
// <to>.part until it is whole and checked; a later call goes on there. No more is read than the
// file should hold.
// Throws DataError, "<url>: <cause>", where the server cannot be reached or refuses, and where size
// or checksum are others: then what was brought is removed.
void download(const RemoteFile& file, const std::filesystem::path& to, const Progress& progress);

// Unpacks the regular files "<folder>/<name>" of a tar archive, plain or gzip, into
// `to`/<folder>: nothing else in it is touched, and no file of more than 1 GiB taken. Throws
// DataError, "<archive>: <cause>", for what is no archive, is damaged, or holds no such file.
void unpack(const std::filesystem::path& archive, const std::string& folder,
            const std::filesystem::path& to);

}  // namespace rewire::data
