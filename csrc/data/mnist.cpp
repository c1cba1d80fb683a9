#include <fmt/format.h>
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "data/dataset.h"
#include "data/file.h"
#include "error.h"

namespace rewire::data {
namespace {

constexpr int64_t kImageSide = 28;
constexpr int64_t kImageBytes = kImageSide * kImageSide;
constexpr int64_t kDigits = 10;
constexpr int64_t kWord = 4;  // bytes of a number in a header
// Five times what the published training images unpack to.
constexpr int64_t kMaxIdx = int64_t{256} << 20;

// What a file of the format IDX holds: big-endian numbers of 32 bits, of which the first says that
// the elements are bytes (8) and have so many dimensions; the size of each; then the elements.
struct IdxKind {
  const char* file;  // without the split
  const char* what;
  uint32_t magic;
  int64_t header;  // bytes
  int64_t record;  // bytes an element of the first dimension
};
constexpr IdxKind kImagesIdx{"images-idx3-ubyte", "images", 2051, 4 * kWord, kImageBytes};
constexpr IdxKind kLabelsIdx{"labels-idx1-ubyte", "labels", 2049, 2 * kWord, 1};

struct IdxFile {
  std::filesystem::path path;
  std::string bytes;
  int64_t count = 0;
};

uint32_t word_at(std::string_view bytes, int64_t offset) {
  uint32_t word = 0;
  for (int64_t i = 0; i < kWord; ++i) word = word << 8 | static_cast<uint8_t>(bytes[offset + i]);
  return word;
}

// As published, compressed, or unpacked.
IdxFile read_idx(const std::filesystem::path& folder, const std::string& name,
                 const std::filesystem::path& data_root) {
  IdxFile file;
  std::error_code error;
  file.path = folder / (name + ".gz");
  if (std::filesystem::exists(file.path, error)) {
    file.bytes = gunzip(read_file(file.path, kMaxIdx), kMaxIdx, file.path.string());
    return file;
  }
  const std::string missing = file.path.string();
  file.path = folder / name;
  if (!std::filesystem::exists(file.path, error)) {
    throw DataError(fmt::format(
        "{}: no such file, nor one without .gz; `rewire fetch mnist --data {}` brings the folder "
        "mnist",
        missing, data_root.string()));
  }
  file.bytes = read_file(file.path, kMaxIdx);
  return file;
}

void check_word(const IdxFile& file, int64_t offset, uint32_t expected, const char* what) {
  const uint32_t word = word_at(file.bytes, offset);
  if (word != expected) {
    throw DataError(fmt::format("{}: offset {}: {} {}, expected {}", file.path.string(), offset,
                                what, word, expected));
  }
}

IdxFile open_idx(const std::filesystem::path& folder, const std::string& split, const IdxKind& kind,
                 const std::filesystem::path& data_root) {
  IdxFile file = read_idx(folder, split + "-" + kind.file, data_root);
  const auto size = static_cast<int64_t>(file.bytes.size());
  if (size < kind.header) {
    throw DataError(fmt::format("{}: {} bytes, expected a header of {}", file.path.string(), size,
                                kind.header));
  }
  check_word(file, 0, kind.magic, "magic number");
  for (int64_t offset = 2 * kWord; offset < kind.header; offset += kWord) {
    check_word(file, offset, kImageSide, "side of the images");
  }
  file.count = word_at(file.bytes, kWord);
  if (file.count == 0) {
    throw DataError(fmt::format("{}: offset {}: no {}, expected at least one", file.path.string(),
                                kWord, kind.what));
  }
  const int64_t expected = kind.header + file.count * kind.record;
  if (size != expected) {
    throw DataError(fmt::format("{}: {} bytes, expected {} (a header of {}, and {} {} of {})",
                                file.path.string(), size, expected, kind.header, file.count,
                                kind.what, kind.record));
  }
  return file;
}

}  // namespace

Dataset open_mnist(const std::filesystem::path& folder, const std::filesystem::path& data_root,
                   Split split) {
  const std::string part = split == Split::train ? "train" : "t10k";
  const IdxFile labels = open_idx(folder, part, kLabelsIdx, data_root);
  auto images = std::make_shared<IdxFile>(open_idx(folder, part, kImagesIdx, data_root));
  if (labels.count != images->count) {
    throw DataError(fmt::format("{}: {} labels, expected {}, one for each image of {}",
                                labels.path.string(), labels.count, images->count,
                                images->path.string()));
  }

  Dataset dataset;
  dataset.spec = image_spec({.kind = "mnist"});
  for (int64_t offset = kLabelsIdx.header; offset < int64_t(labels.bytes.size()); ++offset) {
    const auto label = static_cast<uint8_t>(labels.bytes[offset]);
    if (label >= kDigits) {
      throw DataError(fmt::format("{}: record {}, offset {}: label {}, expected 0 to {}",
                                  labels.path.string(), offset - kLabelsIdx.header, offset, label,
                                  kDigits - 1));
    }
    dataset.labels.push_back(label);
  }
  dataset.read = [images](int64_t index, Image& image) {
    image.reshape(1, kImageSide, kImageSide);
    const char* pixels = images->bytes.data() + kImagesIdx.header + index * kImageBytes;
    std::copy_n(pixels, kImageBytes, image.pixels.begin());
  };
  return dataset;
}

}  // namespace rewire::data
