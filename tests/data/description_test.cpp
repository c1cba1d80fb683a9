#include "data/description.h"

#include <gtest/gtest.h>
#include <stdexcept>

#include "support/files.h"

namespace rewire::data {
namespace {

using test::message_of;

TEST(ImageSpec, OfCifar10) {
  const ImageSpec spec = image_spec({.kind = "cifar10"});
  EXPECT_EQ(spec.channels, 3);
  EXPECT_EQ(spec.size, 32);
  ASSERT_EQ(spec.classes.size(), 10u);
  EXPECT_EQ(spec.classes[0], "airplane");
  EXPECT_EQ(spec.classes[6], "frog");
  EXPECT_EQ(spec.classes[9], "truck");
}

TEST(ImageSpec, OfDigits) {
  const ImageSpec spec = image_spec({.kind = "digits"});
  EXPECT_EQ(spec.channels, 1);
  EXPECT_EQ(spec.size, 8);
  ASSERT_EQ(spec.classes.size(), 10u);
  EXPECT_EQ(spec.classes[9], "9");
}

TEST(ImageSpec, OfAnImageFolderIsWhatItsDescriptionSays) {
  const ImageSpec spec =
      image_spec({.kind = "imagefolder", .classes = 3, .image_size = 32, .val_resize = 40});
  EXPECT_EQ(spec.channels, 3);
  EXPECT_EQ(spec.size, 32);
  EXPECT_EQ(spec.resize, 40);
  EXPECT_EQ(spec.classes, (std::vector<std::string>{"0", "1", "2"}));
}

TEST(ImageSpec, RefusesAnUnknownKind) {
  EXPECT_EQ(message_of<std::invalid_argument>([] { image_spec({.kind = "cifar100"}); }),
            "data.kind: no data set 'cifar100' (cifar10, mnist, digits, imagefolder or table)");
}

}  // namespace
}  // namespace rewire::data
