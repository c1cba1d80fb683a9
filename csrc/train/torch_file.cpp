#include "train/torch_file.h"

#include <ATen/ops/empty.h>
#include <caffe2/serialize/inline_container.h>
#include <algorithm>
#include <cstring>

#include "data/file.h"
#include "error.h"
#include "train/bytes_reader.h"

namespace rewire::train {
namespace {

using Kind = Value::Kind;

constexpr int64_t kMaxBytes = int64_t(8) << 30;
constexpr size_t kMaxDimensions = 16;
// The number 0x1950a86a20f9469cfc6c, pickled.
constexpr std::string_view kLegacyMagic =
    "\x80\x02\x8a\nl\xfc\x9c"
    "F\xf9 j\xa8P\x19.";
constexpr std::string_view kZipMagic = "PK\3\4";
constexpr int64_t kLegacyVersion = 1001;

}  // namespace

TorchFile::TorchFile(const std::filesystem::path& path) : name_(path.string()) {
  try {
    bytes_ = data::read_file(path, kMaxBytes);
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
  if (bytes_.starts_with(kZipMagic)) {
    read_zip();
  } else if (bytes_.starts_with(kLegacyMagic)) {
    read_legacy();
  } else {
    fail("not a file of torch.save: neither a zip nor of the format before torch 1.6");
  }
}

void TorchFile::fail(const std::string& cause) const {
  throw CheckpointError(name_ + ": " + cause);
}

// data.pkl, and a record data/<key> for each storage.
void TorchFile::read_zip() {
  std::string pickled;
  bool big_endian = false;
  try {
    caffe2::serialize::PyTorchStreamReader reader(std::make_shared<BytesReader>(bytes_));
    size_t total = 0;
    const auto record = [&](const std::string& name) {
      if ((total += reader.getRecordSize(name)) > bytes_.size()) {
        throw std::runtime_error("larger than its file");
      }
      const auto [data, size] = reader.getRecord(name);
      return std::string(static_cast<const char*>(data.get()), size);
    };
    pickled = record("data.pkl");
    big_endian = reader.hasRecord("byteorder") && record("byteorder") != "little";
    const std::string folder = "data/";
    for (const std::string& name : reader.getAllRecords()) {
      if (name.starts_with(folder)) records_[name.substr(folder.size())] = record(name);
    }
  } catch (const std::exception&) {
    fail("a damaged zip, or one that torch.save did not write");
  }
  if (big_endian) fail("written by a big-endian machine");
  pickle_ = read_pickle(pickled, name_);
  for (const auto& [key, bytes] : records_) storages_[key] = bytes;
  bytes_ = {};  // its records are unpacked
}

// Pickles one after another: a mark, the version, the machine, the object, the keys of its
// storages; then for each key the number of elements, 8 bytes, and the elements.
void TorchFile::read_legacy() {
  std::string_view rest = bytes_;
  rest.remove_prefix(kLegacyMagic.size());
  const auto next = [&] {
    Pickle pickle = read_pickle(rest, name_);
    rest.remove_prefix(pickle.size);
    return pickle;
  };
  const Pickle version = next(), machine = next();
  if (version.root->kind != Kind::kInt || version.root->number != kLegacyVersion) {
    fail("a version of the format before torch 1.6 that is not known");
  }
  const Value* little = machine.root->find("little_endian");
  if (!little || little->number != 1) fail("written by a big-endian machine");
  pickle_ = next();
  const Pickle keys = next();

  std::map<std::string, size_t> element_sizes;
  for (const Value& value : pickle_.values) {
    if (value.kind == Kind::kStorage) element_sizes[value.text] = c10::elementSize(value.type);
  }
  for (const Value* key : keys.root->items) {
    const auto size = element_sizes.find(key->text);
    if (size == element_sizes.end()) fail("a storage that nothing uses");
    uint64_t count = 0;
    if (rest.size() < sizeof(count)) fail("cut: a storage is missing");
    std::memcpy(&count, rest.data(), sizeof(count));
    rest.remove_prefix(sizeof(count));
    if (count > rest.size() / size->second) fail("cut: a storage is missing");
    storages_[key->text] = rest.substr(0, count * size->second);
    rest.remove_prefix(count * size->second);
  }
}

std::string_view TorchFile::storage(const Value& storage) const {
  const auto found = storages_.find(storage.text);
  if (found == storages_.end()) fail("a storage is missing");
  if (storage.number > kMaxBytes ||
      found->second.size() != uint64_t(storage.number) * c10::elementSize(storage.type)) {
    fail("a storage of another size than its description");
  }
  return found->second;
}

std::vector<int64_t> TorchFile::sizes(const Value& tensor) const {
  std::vector<int64_t> sizes;
  int64_t count = 1;
  if (tensor.items[2]->items.size() > kMaxDimensions) fail("a tensor of impossible size");
  for (const Value* size : tensor.items[2]->items) {
    if (size->kind != Kind::kInt || size->number < 0 ||
        __builtin_mul_overflow(count, std::max<int64_t>(1, size->number), &count)) {
      fail("a tensor of impossible size");
    }
    sizes.push_back(size->number);
  }
  if (count > kMaxBytes) fail("a tensor of impossible size");
  return sizes;
}

at::Tensor TorchFile::tensor(const Value& tensor) const {
  const std::vector<int64_t> shape = sizes(tensor);
  const Value& owner = *tensor.items[0];
  const std::string_view bytes = storage(owner);
  const int64_t offset = tensor.items[1]->number;
  std::vector<int64_t> strides;
  int64_t last = offset;  // the element furthest into the storage
  bool empty = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    const Value& stride = *tensor.items[3]->items[i];
    int64_t reach = 0;
    if (stride.kind != Kind::kInt || stride.number < 0 ||
        __builtin_mul_overflow(std::max<int64_t>(0, shape[i] - 1), stride.number, &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      fail("a tensor of impossible strides");
    }
    empty |= shape[i] == 0;
    strides.push_back(stride.number);
  }
  if (offset < 0) fail("a tensor of impossible offset");
  if (empty) return at::empty(shape, owner.type);
  if (last >= owner.number) fail("a tensor that reaches beyond its storage");
  // Elements may lie at any address in the file.
  at::Tensor elements = at::empty({last - offset + 1}, owner.type);
  std::memcpy(elements.data_ptr(), bytes.data() + uint64_t(offset) * elements.element_size(),
              elements.nbytes());
  return elements.as_strided(shape, strides).clone(at::MemoryFormat::Contiguous);
}

}  // namespace rewire::train
