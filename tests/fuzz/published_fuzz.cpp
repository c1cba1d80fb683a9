// train::TorchFile. Input: the bytes of a file of torch.save, and the same bytes as the pickle of a
// zip that is sound otherwise.
#include <caffe2/serialize/inline_container.h>

#include "error.h"
#include "fuzz/fuzz.h"
#include "train/torch_file.h"

namespace {

using namespace rewire;

constexpr int64_t kLarge = 1 << 20;  // elements of a tensor that is not read

std::string zip_of(std::string_view pickle) {
  std::string zip;
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    zip.append(static_cast<const char*>(data), size);
    return size;
  });
  const std::string storage(64, '\1');
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  for (const char* name : {"data/0", "data/1"}) {
    writer.writeRecord(name, storage.data(), storage.size());
  }
  writer.writeEndOfFile();
  return zip;
}

// Every tensor that the root names, or a dict in it.
void read(const train::TorchFile& file, const train::Value& value, int depth) {
  using Kind = train::Value::Kind;
  if (value.kind == Kind::kTensor) {
    int64_t count = 1;
    for (const int64_t size : file.sizes(value)) count *= std::max<int64_t>(1, size);
    if (count <= kLarge) fuzz::require(file.tensor(value).is_contiguous(), "tensors are contiguous");
  }
  if (value.kind != Kind::kDict || depth == 3) return;
  for (size_t i = 1; i < value.items.size() && i < 64; i += 2) {
    read(file, *value.items[i], depth + 1);
  }
}

}  // namespace

// No search for leaks: as in checkpoint_fuzz.cpp.
extern "C" int __lsan_is_turned_off() { return 1; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Folder folder;
  const std::string_view input = fuzz::text_of(data, size);
  for (const std::string& bytes : {std::string(input), zip_of(input)}) {
    const auto path = folder.write("a.pt", bytes);
    fuzz::accepts<CheckpointError>([&] {
      const train::TorchFile file(path);
      read(file, file.root(), 0);
    });
  }
  return 0;
}
