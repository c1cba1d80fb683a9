// train::read_tensors. Input: the bytes of a checkpoint. They are read as they are, where the mark
// at the end or the checksum stops nearly all, and then with a right mark, so that the zip and the
// index in it are reached.
#include <fmt/format.h>
#include <zlib.h>

#include "error.h"
#include "fuzz/fuzz.h"
#include "train/checkpoint_file.h"

namespace {

using namespace rewire;

constexpr size_t kMarkSize = 56;

// `input` with its last bytes replaced by the mark that read_tensors expects.
std::string sealed(std::string_view input) {
  std::string bytes(input.substr(0, input.size() - std::min(input.size(), kMarkSize)));
  const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return bytes + fmt::format("rewire-checkpoint 1 size={:016x} crc32={:08x}", bytes.size(), crc);
}

void read(const std::filesystem::path& file) {
  int64_t total = 0;
  for (const auto& [name, tensor] : train::read_tensors(file)) total += tensor.nbytes();
  fuzz::require(total <= int64_t(std::filesystem::file_size(file)),
                "tensors take no more memory than their file");
}

}  // namespace

// No search for leaks: LibTorch forgets its zip directory wherever it refuses a zip, because the
// constructor of PyTorchStreamReader throws and its destructor then never runs.
extern "C" int __lsan_is_turned_off() { return 1; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Folder folder;
  const std::string_view input = fuzz::text_of(data, size);
  for (const std::string& bytes : {std::string(input), sealed(input)}) {
    const auto file = folder.write("a.pt", bytes);
    fuzz::accepts<CheckpointError>([&] { read(file); });
  }
  return 0;
}
