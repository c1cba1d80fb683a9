#include <fmt/format.h>
#include <algorithm>
#include <memory>
#include <string>

#include "data/dataset.h"
#include "data/file.h"
#include "error.h"

namespace rewire::data {
namespace {

constexpr int64_t kSide = 32;
constexpr int64_t kPixels = 3 * kSide * kSide;
constexpr int64_t kRecord = 1 + kPixels;
constexpr int64_t kClasses = 10;
// 340,000 records, several times what the published files hold.
constexpr int64_t kMaxFile = int64_t{1} << 30;

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder, Split split) {
  if (split == Split::test) return {folder / "test_batch.bin"};
  std::vector<std::filesystem::path> files;
  for (int number = 1; number <= 5; ++number) {
    files.push_back(folder / fmt::format("data_batch_{}.bin", number));
  }
  return files;
}

void check(const std::string& records, const std::filesystem::path& file) {
  const auto size = static_cast<int64_t>(records.size());
  if (size == 0 || size % kRecord != 0) {
    throw DataError(
        fmt::format("{}: {} bytes, expected a positive multiple of {} (a label byte and "
                    "{} pixel bytes a record)",
                    file.string(), size, kRecord, kPixels));
  }
  for (int64_t offset = 0; offset < size; offset += kRecord) {
    const auto label = static_cast<uint8_t>(records[offset]);
    if (label >= kClasses) {
      throw DataError(fmt::format("{}: record {}, offset {}: label {}, expected 0 to {}",
                                  file.string(), offset / kRecord, offset, label, kClasses - 1));
    }
  }
}

}  // namespace

Dataset open_cifar10(const std::filesystem::path& folder, const std::filesystem::path& data_root,
                     Split split) {
  // Every file of the split, one after the other, as it lies on disk.
  auto records = std::make_shared<std::string>();
  for (const auto& file : files_of(folder, split)) {
    std::error_code error;
    if (!std::filesystem::exists(file, error)) {
      throw DataError(
          fmt::format("{}: no such file; `rewire fetch cifar10 --data {}` brings the folder "
                      "cifar-10-batches-bin",
                      file.string(), data_root.string()));
    }
    const std::string part = read_file(file, kMaxFile);
    check(part, file);
    *records += part;
  }

  Dataset dataset;
  dataset.spec = image_spec({.kind = "cifar10"});
  const auto size = static_cast<int64_t>(records->size());
  for (int64_t offset = 0; offset < size; offset += kRecord) {
    dataset.labels.push_back(static_cast<uint8_t>((*records)[offset]));
  }
  dataset.read = [records](int64_t index, Image& image) {
    image.reshape(3, kSide, kSide);
    std::copy_n(records->data() + index * kRecord + 1, kPixels, image.pixels.begin());
  };
  return dataset;
}

}  // namespace rewire::data
