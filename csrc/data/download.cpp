#include "data/download.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>

#include "error.h"

namespace rewire::data {
namespace {

namespace fs = std::filesystem;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_file(const fs::path& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode), std::fclose);
  if (!file) throw Error(1, fmt::format("{}: {}", path.string(), std::strerror(errno)));
  return file;
}

// In hexadecimal: SHA-256, or MD5 where `like` is as long as that is.
std::string checksum_of(const fs::path& path, const std::string& like) {
  constexpr size_t kMd5 = 32;
  const EVP_MD* kind = like.size() == kMd5 ? EVP_md5() : EVP_sha256();
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  if (!context || EVP_DigestInit_ex(context.get(), kind, nullptr) != 1) {
    throw Error(1, "the checksum cannot be computed");
  }
  const File file = open_file(path, "rb");
  std::vector<char> block(1 << 16);
  while (const size_t read = std::fread(block.data(), 1, block.size(), file.get())) {
    EVP_DigestUpdate(context.get(), block.data(), read);
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context.get(), digest, &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

// 0 where there is none.
int64_t size_of(const fs::path& path) {
  std::error_code none;
  const auto size = fs::file_size(path, none);
  return none ? 0 : int64_t(size);
}

bool is_there(const RemoteFile& file, const fs::path& path) {
  return size_of(path) == file.bytes && checksum_of(path, file.checksum) == file.checksum;
}

struct Transfer {
  const RemoteFile& file;
  const Progress& progress;
  File to;
  int64_t bytes;
  bool is_too_long = false;
  int error = 0;  // of writing
};

size_t receive(char* data, size_t, size_t size, void* pointer) {
  auto& transfer = *static_cast<Transfer*>(pointer);
  transfer.is_too_long = transfer.bytes + int64_t(size) > transfer.file.bytes;
  if (transfer.is_too_long) return 0;  // which ends it
  const size_t written = std::fwrite(data, 1, size, transfer.to.get());
  if (written < size) transfer.error = errno;
  transfer.bytes += int64_t(written);
  if (transfer.progress) transfer.progress(transfer.file, transfer.bytes);
  return written;
}

// Appends what is missing to `part`.
CURLcode transfer_to(const fs::path& part, const RemoteFile& file, const Progress& progress,
                     std::string& cause) {
  const std::unique_ptr<CURL, void (*)(CURL*)> handle(curl_easy_init(), curl_easy_cleanup);
  if (!handle) throw Error(1, "libcurl cannot be started");
  Transfer transfer{file, progress, open_file(part, "ab"), size_of(part)};
  char message[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) {
    curl_easy_setopt(handle.get(), option, value);
  };
  set(CURLOPT_URL, file.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 5L);
  set(CURLOPT_FAILONERROR, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, 30L);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);  // bytes a second, for so long:
  set(CURLOPT_LOW_SPEED_TIME, 60L);
  set(CURLOPT_RESUME_FROM_LARGE, curl_off_t(transfer.bytes));
  set(CURLOPT_WRITEFUNCTION, receive);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_ERRORBUFFER, message);
  const CURLcode code = curl_easy_perform(handle.get());
  if (std::fflush(transfer.to.get()) != 0 && transfer.error == 0) transfer.error = errno;
  if (transfer.error != 0) {  // a full disk
    throw Error(
        1, fmt::format("{}: cannot be written: {}", part.string(), std::strerror(transfer.error)));
  }
  cause = printable(message[0] != '\0' ? message : curl_easy_strerror(code));
  if (transfer.is_too_long) {
    fs::remove(part);
    cause = fmt::format("expected {} bytes, the server sends more", file.bytes);
  }
  return code;
}

[[noreturn]] void refuse(const RemoteFile& file, const std::string& cause) {
  throw DataError(file.url + ": " + cause);
}

}  // namespace

const RemoteSet& remote_set(const std::string& name) {
  static const std::string mnist = "https://ossci-datasets.s3.amazonaws.com/mnist/";
  static const std::map<std::string, RemoteSet> sets{
      {"cifar10",
       {"",
        {{"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "cifar-10-binary.tar.gz",
          170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}},
        "cifar-10-batches-bin"}},
      {"mnist",
       {"mnist",
        {{mnist + "train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz", 9912422,
          "f68b3c2dcbeaaa9fbdd348bbdeb94873"},
         {mnist + "train-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte.gz", 28881,
          "d53e105ee54ea40749a09fcbcd1e9432"},
         {mnist + "t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz", 1648877,
          "9fb629c4189551a2d022fa330f9573f3"},
         {mnist + "t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz", 4542,
          "ec29112dd5afa0611ce80d1b7f02629c"}},
        ""}}};
  return sets.at(name);
}

void download(const RemoteFile& file, const fs::path& to, const Progress& progress) {
  if (is_there(file, to)) return;
  const fs::path part = to.string() + ".part";
  if (size_of(part) > file.bytes) fs::remove(part);
  if (size_of(part) < file.bytes) {
    std::string cause;
    CURLcode code = transfer_to(part, file, progress, cause);
    if (code == CURLE_RANGE_ERROR) {  // a server that cannot go on: once more from the start
      fs::remove(part);
      code = transfer_to(part, file, progress, cause);
    }
    if (code != CURLE_OK) refuse(file, cause);
  }
  const int64_t bytes = size_of(part);
  const std::string checksum = checksum_of(part, file.checksum);
  if (bytes != file.bytes || checksum != file.checksum) {
    fs::remove(part);
    refuse(file, bytes != file.bytes
                     ? fmt::format("expected {} bytes, got {}", file.bytes, bytes)
                     : fmt::format("expected a checksum of {}, got {}", file.checksum, checksum));
  }
  fs::rename(part, to);
}

}  // namespace rewire::data
