// What the `data` section of an experiment says, and the facts that follow from it without opening
// a file. Plain data: filled by config, used by the datasets and the models.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rewire::data {

// One step of the augmentation of a training image.
struct Augmentation {
  std::string kind;     // "random_crop" or "horizontal_flip"
  int64_t padding = 0;  // random_crop: zero pixels added on each side before cropping
};

struct Normalization {
  std::vector<double> mean;  // one a channel, on the scale of pixels in [0, 1]
  std::vector<double> std;
};

struct Description {
  std::string kind;                 // "cifar10" or "digits"
  std::optional<std::string> root;  // folder; relative to --data. digits: absent, they are built in
  std::vector<Augmentation> augment;  // applied to training images in this order
  Normalization normalize;
  int64_t workers = 1;  // loader threads; 0: the caller's thread loads
};

// Facts of a data set that its kind alone decides.
struct ImageSpec {
  int64_t channels = 0;
  int64_t size = 0;  // height = width, pixels
  std::vector<std::string> classes;
};

// Throws std::invalid_argument for an unknown kind.
ImageSpec image_spec(const std::string& kind);

}  // namespace rewire::data
