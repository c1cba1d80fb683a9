// A data set that was opened and checked: labels in memory, images decoded one at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/description.h"
#include "data/image.h"

namespace rewire::data {

enum class Split { train, test };

struct Dataset {
  ImageSpec spec;
  float max_value = 255;        // the pixel value that means full intensity
  std::vector<int64_t> labels;  // in [0, spec.classes.size()); of a table nothing but their number
  // Of a table: row by row, spec.channels inputs and a target for each of spec.classes. Then
  // nothing is to be read or normalised.
  std::vector<float> numbers{};

  // Decodes image `index` into `image`, whose memory is used again where it suffices. Where
  // spec.resize is not 0 it is of any size. Safe to call from several threads.
  // Throws DataError where the file behind the image is damaged.
  std::function<void(int64_t index, Image& image)> read;

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

// Opens one part of the data set that `description` names; what can be checked without decoding
// every image is checked here. description.root is relative to `data_root`.
// Throws DataError for files that are missing or malformed, naming file, place and expectation;
// ConfigError where data.root is needed and absent; std::invalid_argument for an unknown kind.
Dataset open(const Description& description, const std::filesystem::path& data_root, Split split);

// What the classes are called; of an imagefolder that is not there, or has another number of them,
// 0, 1, ...
std::vector<std::string> class_names(const Description& description,
                                     const std::filesystem::path& data_root);

// One function a kind; `open` chooses.
// cifar10: data_batch_1.bin to data_batch_5.bin (train) or test_batch.bin of `folder`, in CIFAR's
// binary format: records of 1 label byte, then 1024 red, 1024 green and 1024 blue bytes, row by
// row. A file may hold any whole number of records but none. `data_root` is named in the cure.
Dataset open_cifar10(const std::filesystem::path& folder, const std::filesystem::path& data_root,
                     Split split);

// mnist: {train,t10k}-{images-idx3,labels-idx1}-ubyte of `folder`, compressed as published, with
// .gz behind the name, or unpacked: 28x28 images of handwritten digits in the format IDX. There may
// be any number of them but none.
Dataset open_mnist(const std::filesystem::path& folder, const std::filesystem::path& data_root,
                   Split split);

// digits: 8x8 images of handwritten digits, pixels 0 to 16, from `folder`/digits.csv.gz, or from
// the copy built into the program where `folder` is empty. A line: 64 pixels, row by row, and the
// label. Of every five images in file order the fifth is for testing: the file goes writer by
// writer, so that a cut through it would test on other hands than it trains on.
Dataset open_digits(const std::filesystem::path& folder, Split split);

// table: the rows of the description.
Dataset open_table(const Description& description);

// imagefolder: the images in `root`/train/<class> or `root`/val/<class>, and in folders below, as
// torchvision's ImageFolder finds them: by their names' endings, sorted, like the classes. What
// they hold is read when it is asked for, as RGB of whatever size. Whether they may be read is
// checked here, unless such images are skipped.
Dataset open_imagefolder(const Description& description, const std::filesystem::path& root,
                         Split split);

}  // namespace rewire::data
