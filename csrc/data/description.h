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
  std::string kind;     // "random_crop", "horizontal_flip" or "random_resized_crop"
  int64_t padding = 0;  // random_crop: zero pixels added on each side before cropping
  // random_resized_crop, as torchvision's: the side of the result (absent: the data's), what part
  // of the area is cut out, and how wide it is for its height; of these two ascending numbers each.
  std::optional<int64_t> size{};
  std::vector<double> scale = {0.08, 1};
  std::vector<double> ratio = {3.0 / 4, 4.0 / 3};
};

struct Normalization {
  std::vector<double> mean{};  // one a channel, on the scale of pixels in [0, 1]
  std::vector<double> std{};
};

struct Description {
  std::string kind;  // "cifar10", "mnist", "digits", "imagefolder" or "table"
  std::optional<std::string>
      root{};                // folder; relative to --data. digits: absent: they are built in
  int64_t classes = 0;       // imagefolder: folders of classes
  int64_t image_size = 224;  // imagefolder: pixels a side of what the network sees
  int64_t val_resize = 256;  // imagefolder: a test image's short side before its middle is cut
  std::string on_bad_image = "error";  // imagefolder: "error" ends the program, "skip" goes on
  // table: numbers, which train and test alike; the last `targets` of a row are what a network is
  // to answer, and it is right where each is no farther off than `within`
  std::vector<std::vector<double>> rows{};
  int64_t targets = 1;
  double within = 0.5;
  std::vector<Augmentation> augment{};  // applied to training images in this order
  Normalization normalize{};
  int64_t workers = 1;  // loader threads; 0: the caller's thread loads
};

// Facts of a data set that its description alone decides. A row of a table is an image of one place
// whose channels are the inputs, and its targets are the classes.
struct ImageSpec {
  int64_t channels = 0;
  int64_t size = 0;  // height = width, pixels
  std::vector<std::string> classes;
  // Files of any size: the short side becomes so long, and the middle is cut out. 0: every image
  // has its size already.
  int64_t resize = 0;
};

// The classes of an imagefolder are named 0, 1, ...: their names are those of its folders, which
// nobody has opened. Throws std::invalid_argument for an unknown kind.
ImageSpec image_spec(const Description& description);

}  // namespace rewire::data
