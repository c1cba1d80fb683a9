// The numbers of a selection where they are largest, which no test's weight is large enough to
// meet.
#include "kernels/cuda/strongest.cuh"

#include <gtest/gtest.h>

namespace {

using namespace rewire::kernels::cuda;

constexpr int64_t kMost = 0x7fff'ffff;

TEST(Places, FitIntoSixtyTwoBits) {
  const Places places = Places::unpack(Places{kMost, kMost}.pack());
  EXPECT_EQ(places.above, kMost);
  EXPECT_EQ(places.equal, kMost);
  EXPECT_EQ(Places({kMost, kMost}).pack() >> 62, 0u);
  EXPECT_EQ(Places::unpack(Places{0, 5}.pack()).equal, 5);
}

TEST(Places, CountEqualKeysNoFurtherThanTheyMayBeKept) {
  Places places{1, kMost - 1};
  places += Places{2, 1};
  EXPECT_EQ(places.equal, kMost);
  places += Places{3, 1000};
  EXPECT_EQ(places.equal, kMost);
  EXPECT_EQ(places.above, 6);
}

TEST(Places, NextIsBehindWhatIsKept) {
  EXPECT_EQ(Places({10, 3}).next(5), 13);
  EXPECT_EQ(Places({10, 7}).next(5), 15);
}

TEST(Ties, CountFurtherThanPlaces) {
  Ties ties{kMost};
  ties += Ties{kMost};
  EXPECT_EQ(Ties::unpack(ties.pack()).equal, 2 * kMost);
}

TEST(Quotient, IsTheSameForSmallAndLargeNumbers) {
  EXPECT_EQ(quotient(4'294'967'295, 10), 429'496'729);
  EXPECT_EQ(quotient(4'294'967'296, 10), 429'496'729);
  EXPECT_EQ(quotient(int64_t{7} << 40, int64_t{1} << 33), 7 << 7);
  EXPECT_EQ(quotient(5, int64_t{1} << 31), 0);
}

TEST(Digit, TakesAllBitsOfAKeyOnce) {
  // 31 bits of float32 in digits of 11, 11 and 9 bits, the highest first.
  constexpr Digit first = highest_digit<uint32_t>();
  EXPECT_EQ(first.shift, 20);
  EXPECT_EQ(first.bits, 11);
  EXPECT_EQ(first.below().shift, 9);
  EXPECT_EQ(first.below().below().shift, 0);
  EXPECT_EQ(first.below().below().bits, 9);
  EXPECT_EQ(first.below().below().below().bits, 0);
  EXPECT_EQ(highest_digit<uint64_t>().shift, 52);
  EXPECT_EQ(highest_digit<uint16_t>().below().bits, 4);
}

}  // namespace
