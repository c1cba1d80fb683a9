// Folders of images: what is found, in which order, and what is refused. Pixels against Pillow: see
// resize_test.cpp.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "data/dataset.h"
#include "data/image_file.h"
#include "data/loader.h"
#include "error.h"
#include "support/files.h"
#include "support/golden.h"

namespace rewire::data {
namespace {

using test::message_of;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::filesystem::path kImages =
    std::filesystem::path(REWIRE_SOURCE_DIR) / "tests/golden/images";

Description folder_of(int64_t classes, const std::string& on_bad_image = "error") {
  return {.kind = "imagefolder",
          .root = "images",
          .classes = classes,
          .image_size = 24,
          .val_resize = 28,
          .on_bad_image = on_bad_image};
}

// A grey PNG of one pixel, which tells images apart.
std::string pixel(uint8_t value) {
  const std::vector<uint8_t> rgb(3, value);
  return encode_png(1, 1, rgb);
}

std::vector<int> values(const Dataset& dataset) {
  std::vector<int> found;
  Image image;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    dataset.read(i, image);
    found.push_back(image.pixels[0]);
  }
  return found;
}

std::string refused(const Description& description, const TempFolder& folder, Split split) {
  return message_of<DataError>([&] { open(description, folder.path(), split); });
}

TEST(ImageFolder, FindsImagesInTorchvisionsOrder) {
  const TempFolder folder;
  folder.write("images/train/b/2.png", pixel(5));
  folder.write("images/train/b/1.JPEG", pixel(4));
  folder.write("images/train/b/deeper/0.webp", pixel(6));
  folder.write("images/train/B/z.Jpg", pixel(1));
  folder.write("images/train/a c/x.png", pixel(3));
  folder.write("images/train/a/x.png", pixel(2));
  folder.write("images/train/a/notes.txt", "not taken");
  folder.write("images/train/README", "not a class");
  const Dataset dataset = open(folder_of(4), folder.path(), Split::train);
  EXPECT_THAT(dataset.spec.classes, ElementsAre("B", "a", "a c", "b"));
  EXPECT_THAT(dataset.labels, ElementsAre(0, 1, 2, 3, 3, 3));
  EXPECT_THAT(values(dataset), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(dataset.spec.size, 24);
  EXPECT_EQ(dataset.spec.resize, 28);
}

TEST(ImageFolder, RefusesAnotherFormatBeforeTheFirstStep) {
  const TempFolder folder;
  folder.write("images/train/a/0.png", pixel(1));
  folder.write("images/train/a/1.bmp", "BM is no format that is read here");
  Description description = folder_of(1);
  EXPECT_THAT(refused(description, folder, Split::train), HasSubstr("1.bmp: neither PNG nor JPEG"));
  description.on_bad_image = "skip";
  EXPECT_EQ(open(description, folder.path(), Split::train).size(), 2);
  folder.write("images/train/a/1.bmp", pixel(2));  // under a wrong name
  EXPECT_THAT(values(open(folder_of(1), folder.path(), Split::train)), ElementsAre(1, 2));
}

TEST(ImageFolder, ReadsEveryGuiseAsPillowDoes) {
  const test::Golden golden = test::load_golden("images");
  int64_t compared = 0;
  for (const auto& [key, expected] : golden) {
    if (!key.starts_with("pixels.")) continue;
    SCOPED_TRACE(key);
    const std::filesystem::path file = kImages / key.substr(7);
    const Image image = with_channels(read_image(file), 3);
    ASSERT_EQ(expected.sizes(), (std::vector<int64_t>{3, image.height, image.width}));
    const at::Tensor pixels =
        at::from_blob(const_cast<uint8_t*>(image.pixels.data()), expected.sizes(), at::kByte);
    // libjpeg-turbo may round otherwise in another version.
    const int64_t allowed = file.extension() == ".jpg" ? 1 : 0;
    const at::Tensor difference = (pixels.to(at::kInt) - expected.to(at::kInt)).abs();
    EXPECT_LE(difference.max().item<int64_t>(), allowed);
    ++compared;
  }
  EXPECT_EQ(compared, 10);
}

TEST(ImageFolder, IsReadAsATestSeesItUnlessACropIsDrawn) {
  const TempFolder folder;
  std::filesystem::create_directories(folder.path() / "images/val/a");
  std::filesystem::copy(kImages / "gamma.png", folder.path() / "images/val/a/x.png");
  const Dataset dataset = open(folder_of(1), folder.path(), Split::test);
  const auto images = [&](const std::vector<Augmentation>& steps) {
    LoaderOptions options;
    options.workers = 0;
    options.augment = steps;
    return Loader(dataset, options).next().value().images;
  };
  const at::Tensor middle = images({});
  const at::Tensor expected = test::load_golden("images").at("val.gamma.png");
  EXPECT_TRUE(at::equal(middle.squeeze(0), expected.to(at::kFloat) / 255));
  EXPECT_TRUE(at::equal(to_input(read_image(kImages / "gamma.png"), dataset.spec, {}), middle));
  const at::Tensor padded = images({{.kind = "random_crop", .padding = 0}});
  EXPECT_TRUE(at::equal(padded, middle));
  const at::Tensor cropped = images({{.kind = "random_resized_crop"}});
  EXPECT_EQ(cropped.sizes(), middle.sizes());
  EXPECT_FALSE(at::equal(cropped, middle));
}

TEST(ImageFolder, RefusesWhatIsNoImageFolder) {
  const TempFolder folder;
  EXPECT_THAT(refused(folder_of(1), folder, Split::train),
              HasSubstr("images/train: no such folder; an image folder holds train/<class>/<image> "
                        "and val/<class>/<image>"));
  std::filesystem::create_directories(folder.path() / "images/train");
  EXPECT_THAT(refused(folder_of(1), folder, Split::train),
              HasSubstr("images/train: no folder of a class in it"));
  std::filesystem::create_directories(folder.path() / "images/train/a");
  EXPECT_THAT(refused(folder_of(1), folder, Split::train),
              HasSubstr("images/train/a: no image in it"));
  folder.write("images/train/a/x.png", pixel(1));
  EXPECT_THAT(refused(folder_of(2), folder, Split::train),
              HasSubstr("images/train: 1 folders of classes, expected data.classes = 2"));
  EXPECT_EQ(message_of<ConfigError>([&] {
              Description description = folder_of(1);
              description.root.reset();
              open(description, folder.path(), Split::train);
            }),
            "data.root: missing: imagefolder needs the folder of its images");
}

TEST(ImageFolder, RefusesClassesThatDiffer) {
  const TempFolder folder;
  for (const char* name : {"a", "b", "c"}) {
    folder.write(std::string("images/train/") + name + "/x.png", pixel(1));
  }
  for (const char* name : {"b", "d"}) {
    folder.write(std::string("images/val/") + name + "/x.png", pixel(1));
  }
  EXPECT_THAT(refused(folder_of(3), folder, Split::train),
              HasSubstr("images/val: only here: a, c; only there: d"));
  EXPECT_THAT(refused(folder_of(2), folder, Split::test),
              HasSubstr("images/train: only here: d; only there: a, c"));
}

TEST(ImageFolder, ALinkThatLeadsNowhereIsSeenBeforeTheFirstStep) {
  const TempFolder folder;
  folder.write("images/train/a/x.png", pixel(1));
  std::filesystem::create_symlink("nowhere", folder.path() / "images/train/a/y.png");
  EXPECT_THAT(refused(folder_of(1), folder, Split::train),
              HasSubstr("images/train/a/y.png: No such file or directory"));
  // Where it may be skipped, it is an image like the others.
  const Dataset dataset = open(folder_of(1, "skip"), folder.path(), Split::train);
  EXPECT_EQ(dataset.size(), 2);
  Image image;
  EXPECT_THAT(message_of<DataError>([&] { dataset.read(1, image); }), HasSubstr("y.png: no such"));
}

TEST(ImageFolder, RefusesACircleOfLinks) {
  const TempFolder folder;
  folder.write("images/train/a/x.png", pixel(1));
  std::filesystem::create_directory_symlink(".", folder.path() / "images/train/a/again");
  EXPECT_THAT(refused(folder_of(1), folder, Split::train),
              HasSubstr("folders more than 16 deep; does a link lead in a circle?"));
}

TEST(ImageFolder, BadImagesEndThePassOrAreSkipped) {
  const TempFolder folder;
  folder.write("images/val/a/0.png", pixel(0));
  folder.write("images/val/a/1.png", pixel(1).substr(0, 40));
  folder.write("images/val/a/2.jpg", "text");
  folder.write("images/val/a/3.jpg", "");
  folder.write("images/val/a/4.png", pixel(255));
  LoaderOptions options;
  options.batch_size = 3;
  for (const int64_t workers : {0, 2}) {
    options.workers = workers;
    options.skip_bad = false;
    const Dataset strict = open(folder_of(1), folder.path(), Split::test);
    Loader loader(strict, options);
    EXPECT_THAT(message_of<DataError>([&] { loader.next(); }), HasSubstr("a/1.png: PNG: "));

    options.skip_bad = true;
    const Dataset dataset = open(folder_of(1, "skip"), folder.path(), Split::test);
    Loader skipping(dataset, options);
    const Batch first = skipping.next().value();
    EXPECT_TRUE(at::equal(first.images, at::zeros({1, 3, 24, 24})));
    EXPECT_TRUE(at::equal(first.labels, at::zeros({1}, at::kLong)));
    EXPECT_THAT(first.skipped, ElementsAre(HasSubstr("a/1.png: PNG: "),
                                           HasSubstr("a/2.jpg: neither PNG nor JPEG")));
    const Batch second = skipping.next().value();
    EXPECT_TRUE(at::equal(second.images, at::ones({1, 3, 24, 24})));
    EXPECT_THAT(second.skipped, ElementsAre(HasSubstr("a/3.jpg: empty")));
  }
}

TEST(ImageFolder, ClassesAreNamedByTheirFolders) {
  const TempFolder folder;
  EXPECT_THAT(class_names(folder_of(2), folder.path()), ElementsAre("0", "1"));
  folder.write("images/val/cat/x.png", pixel(1));
  folder.write("images/val/ant/x.png", pixel(1));
  EXPECT_THAT(class_names(folder_of(2), folder.path()), ElementsAre("ant", "cat"));
  EXPECT_THAT(class_names(folder_of(3), folder.path()), ElementsAre("0", "1", "2"));
}

}  // namespace
}  // namespace rewire::data
