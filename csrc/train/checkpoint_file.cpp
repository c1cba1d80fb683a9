#include "train/checkpoint_file.h"

#include <ATen/ops/empty.h>
#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>
#include <torch/csrc/jit/serialization/pickler.h>
#include <zlib.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/file.h"
#include "error.h"
#include "train/bytes_reader.h"

namespace rewire::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "rewire-checkpoint ";
constexpr std::string_view kVersion = "1";
constexpr size_t kCommentSize = 56;  // of the text that comment() gives
constexpr size_t kZipEndSize = 22;   // the zip's end record, whose last two bytes hold that size
// The first record's header ends in bytes that LibTorch fills with 'Z' and nobody reads: there the
// size of the file stands in decimal digits, so that a cut file still knows how long it was.
constexpr std::string_view kFirstRecord = "archive/data.pkl";
constexpr size_t kSizeAt = 30 + kFirstRecord.size() + 4;
constexpr size_t kSizeDigits = 64 - kSizeAt;

std::string comment(uint64_t size, uint32_t crc) {
  return fmt::format("{}{} size={:016x} crc32={:08x}", kMagic, kVersion, size, crc);
}

uint32_t crc_of(std::string_view bytes) {
  return uint32_t(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::string read_file(const fs::path& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status)) throw CheckpointError(path.string() + ": no such checkpoint");
  if (fs::is_directory(status)) {
    throw CheckpointError(path.string() + ": a folder, expected a checkpoint in it" +
                          (fs::exists(path / "checkpoints" / "last.pt", error)
                               ? ": " + (path / "checkpoints" / "last.pt").string()
                               : ""));
  }
  if (!fs::is_regular_file(status)) throw CheckpointError(path.string() + ": not a file");
  std::ifstream stream(path, std::ios::binary);
  std::string bytes(fs::file_size(path), '\0');
  if (!stream.read(bytes.data(), std::streamsize(bytes.size()))) {
    throw CheckpointError(path.string() + ": cannot be read");
  }
  return bytes;
}

// The size that the beginning of a checkpoint tells, or "".
std::string_view size_of(std::string_view bytes) {
  const size_t name_at = kSizeAt - 4 - kFirstRecord.size();
  if (bytes.size() < kSizeAt + kSizeDigits) return "";
  if (bytes.substr(name_at, kFirstRecord.size()) != kFirstRecord) return "";
  std::string_view digits = bytes.substr(kSizeAt, kSizeDigits);
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  return digits.find_first_not_of("0123456789") == digits.npos ? digits : "";
}

// The zip inside the checked `bytes` of a checkpoint.
std::string_view checked_payload(const fs::path& path, std::string_view bytes) {
  const auto damaged = [&](const std::string& what) {
    return CheckpointError(path.string() + ": " + what);
  };
  const std::string_view found =
      bytes.size() < kCommentSize ? "" : bytes.substr(bytes.size() - kCommentSize);
  if (!found.starts_with(kMagic)) {
    if (const auto expected = size_of(bytes); !expected.empty()) {
      throw damaged(fmt::format("cut or altered: {} bytes, expected {}", bytes.size(), expected));
    }
    throw damaged(
        fmt::format("not a whole checkpoint of this program: {} bytes that do not end with "
                    "its mark (cut, or another kind of file)",
                    bytes.size()));
  }
  const std::string_view rest = found.substr(kMagic.size());
  const std::string_view version = rest.substr(0, rest.find(' '));
  const std::string_view payload = bytes.substr(0, bytes.size() - kCommentSize);
  if (version != kVersion) {
    throw damaged(fmt::format("checkpoint of format version {}, expected {}", version, kVersion));
  }
  const std::string expected = comment(payload.size(), crc_of(payload));
  if (found != expected) {
    throw damaged(fmt::format("damaged: recorded '{}', found '{}'", found.substr(kMagic.size() + 2),
                              std::string_view(expected).substr(kMagic.size() + 2)));
  }
  return payload;
}

// Beside the pickle, which is for Python: {"<name>": ["<dtype>", [<shape>], <number of its
// record>]}.
constexpr const char* kIndex = "index.json";

// What torch.save writes of `tensors`, and the index. torch::jit::pickle_save would add
// TorchScript's type tags, which Python's torch.load refuses with weights_only=True.
std::string zip_of(const TensorMap& tensors) {
  namespace jit = torch::jit;
  c10::Dict<std::string, at::Tensor> dict;
  nlohmann::json index = nlohmann::json::object();
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor plain = tensor.detach().cpu().clone(at::MemoryFormat::Contiguous);
    index[name] = {c10::toString(plain.scalar_type()), plain.sizes().vec(), dict.size()};
    dict.insert(name, plain);
  }
  std::string pickle, zip;
  jit::Pickler pickler([&](const char* data, size_t size) { pickle.append(data, size); }, nullptr,
                       nullptr, nullptr, {}, /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(dict);
  pickler.stop();
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    zip.append(static_cast<const char*>(data), size);
    return size;
  });
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  const std::string text = index.dump();
  writer.writeRecord(kIndex, text.data(), text.size());
  for (size_t i = 0; i < pickler.tensorData().size(); ++i) {
    const auto tensor = jit::getWriteableTensorData(pickler.tensorData()[i]);
    writer.writeRecord(fmt::format("data/{}", i), tensor.data(), tensor.sizeInBytes());
  }
  writer.writeEndOfFile();
  return zip;
}

at::ScalarType type_named(const std::string& name) {
  for (int8_t i = 0; i < int8_t(at::ScalarType::NumOptions); ++i) {
    if (name == c10::toString(at::ScalarType(i))) return at::ScalarType(i);
  }
  throw std::runtime_error("unknown type");
}

// The index decides what is read, and a record only of the size that follows from it: a checksum
// keeps accidents out, not forgers, and an unpickler would believe whatever it is told.
TensorMap unzipped(std::string_view bytes) {
  caffe2::serialize::PyTorchStreamReader reader(std::make_shared<BytesReader>(bytes));
  const auto record = [&](const std::string& name) {
    if (reader.getRecordSize(name) > bytes.size()) throw std::runtime_error("larger than its file");
    return reader.getRecord(name);
  };
  const auto [text, length] = record(kIndex);
  const char* const begin = static_cast<const char*>(text.get());
  const auto index = nlohmann::json::parse(begin, begin + length);
  TensorMap tensors;
  size_t total = 0;  // names may share a record: a small file must not fill the memory
  for (const auto& [name, entry] : index.items()) {
    const auto [data, size] = record(fmt::format("data/{}", entry.at(2).get<uint64_t>()));
    if ((total += size) > bytes.size()) throw std::runtime_error("larger than its file");
    const auto type = type_named(entry.at(0).get<std::string>());
    at::Tensor tensor = at::empty({int64_t(size / c10::elementSize(type))}, type);
    if (tensor.nbytes() != size) throw std::runtime_error("a part of an element");
    if (size) std::memcpy(tensor.data_ptr(), data.get(), size);
    tensors[name] = tensor.view(entry.at(1).get<std::vector<int64_t>>());
  }
  return tensors;
}

}  // namespace

void write_tensors(const fs::path& path, const TensorMap& tensors) {
  std::string bytes = zip_of(tensors);
  TORCH_INTERNAL_ASSERT(bytes.compare(bytes.size() - kZipEndSize, 4, "PK\5\6") == 0);
  bytes[bytes.size() - 2] = char(kCommentSize);
  if (bytes.compare(kSizeAt, kSizeDigits, std::string(kSizeDigits, 'Z')) == 0) {
    bytes.replace(kSizeAt, kSizeDigits,
                  fmt::format("{:0{}}", bytes.size() + kCommentSize, kSizeDigits));
  }
  bytes += comment(bytes.size(), crc_of(bytes));
  data::write_atomically(path, bytes);
}

TensorMap read_tensors(const fs::path& path) {
  const std::string bytes = read_file(path);
  const std::string_view payload = checked_payload(path, bytes);
  try {
    return unzipped(bytes);
  } catch (const std::exception&) {
    throw CheckpointError(
        fmt::format("{}: not a dict of tensors ({} bytes)", path.string(), payload.size()));
  }
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
