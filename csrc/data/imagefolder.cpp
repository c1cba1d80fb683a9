// A folder of image files, one folder a class, as torchvision's ImageFolder reads it. Files are
// decoded when a batch asks for them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "data/dataset.h"
#include "data/image_file.h"
#include "error.h"

namespace rewire::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array kRead = {".jpg", ".jpeg", ".png"};  // endings of what is decoded here
constexpr std::array kOthers = {".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"};

constexpr int kMaxDepth = 16;  // of folders in a class's folder: a link may lead in a circle
constexpr const char* kLayout =
    "an image folder holds train/<class>/<image> and val/<class>/<image>";

bool ends_in_one_of(const fs::path& file, std::span<const char* const> endings) {
  std::string ending = file.extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

// Files that torchvision takes for images, by their names; the others are left alone. What a file
// holds, its content says.
bool is_image_name(const fs::path& file) {
  return ends_in_one_of(file, kRead) || ends_in_one_of(file, kOthers);
}

// Entries of a folder, the names of folders (links to such too) and of others apart, both sorted.
struct Entries {
  std::vector<std::string> folders, files;
};

Entries entries_of(const fs::path& folder) {
  Entries entries;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code broken;  // a link that leads nowhere is no folder
    const bool is_folder = entry->is_directory(broken);
    (is_folder ? entries.folders : entries.files).push_back(entry->path().filename().string());
  }
  if (error) throw DataError(fmt::format("{}: {}", folder.string(), error.message()));
  std::sort(entries.folders.begin(), entries.folders.end());
  std::sort(entries.files.begin(), entries.files.end());
  return entries;
}

std::vector<std::string> classes_in(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw DataError(fmt::format("{}: no such folder; {}", folder.string(), kLayout));
  }
  std::vector<std::string> classes = entries_of(folder).folders;
  if (classes.empty()) {
    throw DataError(fmt::format("{}: no folder of a class in it; {}", folder.string(), kLayout));
  }
  return classes;
}

// Those of `a` that `b` lacks, the first of them, or "none".
std::string beyond(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  constexpr size_t kShown = 3;
  std::vector<std::string> names;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(names));
  const std::string more =
      names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : "";
  names.resize(std::min(names.size(), kShown));
  return names.empty() ? "none" : fmt::format("{}{}", fmt::join(names, ", "), more);
}

// The classes of `split`, which the other part has too, where it is there.
std::vector<std::string> checked_classes(const fs::path& root, const std::string& split,
                                         int64_t expected) {
  const std::vector<std::string> classes = classes_in(root / split);
  const fs::path other = root / (split == "train" ? "val" : "train");
  std::error_code error;
  if (fs::is_directory(other, error)) {
    const std::vector<std::string> others = classes_in(other);
    if (others != classes) {
      throw DataError(fmt::format("{}: other classes than in {}: only here: {}; only there: {}",
                                  (root / split).string(), other.string(), beyond(classes, others),
                                  beyond(others, classes)));
    }
  }
  if (int64_t(classes.size()) != expected) {
    throw DataError(fmt::format("{}: {} folders of classes, expected data.classes = {}",
                                (root / split).string(), classes.size(), expected));
  }
  return classes;
}

// The images in `folder` and below by their folders, in torchvision's order.
using Found = std::map<std::string, std::vector<std::string>>;

void find_images(const fs::path& folder, int depth, Found& found) {
  if (depth > kMaxDepth) {
    throw DataError(fmt::format("{}: folders more than {} deep; does a link lead in a circle?",
                                folder.string(), kMaxDepth));
  }
  const Entries entries = entries_of(folder);
  for (const std::string& file : entries.files) {
    if (is_image_name(file)) found[folder.string()].push_back(file);
  }
  for (const std::string& inner : entries.folders) find_images(folder / inner, depth + 1, found);
}

// Found before the first step, where nothing is skipped: links that lead nowhere, files that may
// not be read, and files named as of another format that are neither PNG nor JPEG.
void check_readable(const std::string& file) {
  if (::access(file.c_str(), R_OK) != 0) {
    throw DataError(fmt::format("{}: {}", file, std::strerror(errno)));
  }
  if (ends_in_one_of(file, kRead)) return;
  std::string first(kFormatBytes, '\0');
  std::ifstream(file, std::ios::binary).read(first.data(), std::streamsize(first.size()));
  if (!is_png_or_jpeg(first)) throw DataError(file + ": neither PNG nor JPEG");
}

}  // namespace

Dataset open_imagefolder(const Description& description, const fs::path& root, Split split) {
  const std::string part = split == Split::train ? "train" : "val";
  Dataset dataset;
  dataset.spec = image_spec(description);
  dataset.spec.classes = checked_classes(root, part, description.classes);
  auto files = std::make_shared<std::vector<std::string>>();
  for (size_t label = 0; label < dataset.spec.classes.size(); ++label) {
    const fs::path of_class = root / part / dataset.spec.classes[label];
    Found found;
    find_images(of_class, 0, found);
    if (found.empty()) throw DataError(fmt::format("{}: no image in it", of_class.string()));
    for (const auto& [folder, names] : found) {
      for (const std::string& file : names) {
        files->push_back(folder + "/" + file);
        if (description.on_bad_image == "error") check_readable(files->back());
        dataset.labels.push_back(int64_t(label));
      }
    }
  }
  dataset.read = [files, channels = dataset.spec.channels](int64_t index, Image& image) {
    image = with_channels(read_image((*files)[size_t(index)]), channels);
  };
  return dataset;
}

std::vector<std::string> class_names(const Description& description, const fs::path& data_root) {
  std::vector<std::string> numbers = image_spec(description).classes;
  if (description.kind != "imagefolder") return numbers;
  for (const char* part : {"train", "val"}) {
    const fs::path folder = data_root / description.root.value_or("") / part;
    std::error_code error;
    if (!fs::is_directory(folder, error)) continue;
    std::vector<std::string> names = entries_of(folder).folders;
    if (names.size() == numbers.size()) return names;
  }
  return numbers;
}

}  // namespace rewire::data
