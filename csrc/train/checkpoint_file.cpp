#include "train/checkpoint_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <torch/serialize.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "error.h"

namespace rewire::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "rewire-checkpoint ";
constexpr std::string_view kVersion = "1";
constexpr size_t kCommentSize = 56;  // of the text that comment() gives
constexpr size_t kZipEndSize = 22;   // the zip's end record, whose last two bytes hold that size

std::string comment(uint64_t size, uint32_t crc) {
  return fmt::format("{}{} size={:016x} crc32={:08x}", kMagic, kVersion, size, crc);
}

uint32_t crc_of(std::string_view bytes) {
  return uint32_t(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

[[noreturn]] void fail(const fs::path& path, const std::string& what) {
  throw Error(1, fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno)));
}

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }

 private:
  int value_;
};

void write_all(int file, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "cannot write");
    bytes.remove_prefix(size_t(written));
  }
  if (::fsync(file) != 0) fail(path, "cannot write");
}

std::string read_file(const fs::path& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status)) throw CheckpointError(path.string() + ": no such checkpoint");
  if (!fs::is_regular_file(status)) throw CheckpointError(path.string() + ": not a file");
  std::ifstream stream(path, std::ios::binary);
  std::string bytes(fs::file_size(path), '\0');
  if (!stream.read(bytes.data(), std::streamsize(bytes.size()))) {
    throw CheckpointError(path.string() + ": cannot be read");
  }
  return bytes;
}

// The zip inside the checked `bytes` of a checkpoint.
std::string_view checked_payload(const fs::path& path, std::string_view bytes) {
  const auto damaged = [&](const std::string& what) {
    return CheckpointError(path.string() + ": " + what);
  };
  const std::string_view found =
      bytes.size() < kCommentSize ? "" : bytes.substr(bytes.size() - kCommentSize);
  if (!found.starts_with(kMagic)) {
    throw damaged(fmt::format("not a whole checkpoint of this program: {} bytes that do not end with "
                              "its mark (cut, or another kind of file)", bytes.size()));
  }
  const std::string_view version = found.substr(kMagic.size(), kVersion.size() + 1);
  const std::string_view payload = bytes.substr(0, bytes.size() - kCommentSize);
  if (version != std::string(kVersion) + " ") {
    throw damaged(fmt::format("checkpoint of format version {}, expected {}", version, kVersion));
  }
  const std::string expected = comment(payload.size(), crc_of(payload));
  if (found != expected) {
    throw damaged(fmt::format("damaged: recorded '{}', found '{}'", found.substr(kMagic.size() + 2),
                              std::string_view(expected).substr(kMagic.size() + 2)));
  }
  return payload;
}

}  // namespace

void write_atomically(const fs::path& path, std::string_view bytes) {
  const fs::path temporary = path.string() + ".tmp";
  try {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.value() < 0) fail(temporary, "cannot write");
    write_all(file.value(), bytes, temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail(path, "cannot replace");
  } catch (const Error&) {
    ::unlink(temporary.c_str());
    throw;
  }
  const Descriptor folder(path.has_parent_path() ? path.parent_path() : ".", O_RDONLY | O_DIRECTORY);
  if (folder.value() < 0 || ::fsync(folder.value()) != 0) fail(path.parent_path(), "cannot flush");
}

void write_tensors(const fs::path& path, const TensorMap& tensors) {
  c10::Dict<std::string, at::Tensor> dict;
  for (const auto& [name, tensor] : tensors) dict.insert(name, tensor.detach().contiguous().cpu());
  const std::vector<char> zip = torch::jit::pickle_save(dict);
  std::string bytes(zip.begin(), zip.end());
  TORCH_INTERNAL_ASSERT(bytes.compare(bytes.size() - kZipEndSize, 4, "PK\5\6") == 0);
  bytes[bytes.size() - 2] = char(kCommentSize);
  bytes += comment(bytes.size(), crc_of(bytes));
  write_atomically(path, bytes);
}

TensorMap read_tensors(const fs::path& path) {
  const std::string bytes = read_file(path);
  std::string_view payload = checked_payload(path, bytes);
  TensorMap tensors;
  try {
    const c10::IValue value = torch::pickle_load(std::vector<char>(bytes.begin(), bytes.end()));
    for (const auto& item : value.toGenericDict()) {
      tensors[item.key().toStringRef()] = item.value().toTensor();
    }
  } catch (const std::exception&) {
    throw CheckpointError(fmt::format("{}: not a dict of tensors ({} bytes)", path.string(), payload.size()));
  }
  return tensors;
}

at::Tensor text_tensor(const std::string& text) {
  at::Tensor tensor = at::empty({int64_t(text.size())}, at::kByte);
  if (!text.empty()) std::memcpy(tensor.data_ptr(), text.data(), text.size());
  return tensor;
}

std::string tensor_text(const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.to(at::kByte).contiguous();
  return {reinterpret_cast<const char*>(bytes.data_ptr()), size_t(bytes.numel())};
}

}  // namespace rewire::train
