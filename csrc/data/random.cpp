#include "data/random.h"

#include <numeric>
#include <utility>

namespace rewire::data {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr int kRounds = 10;
  constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    const auto high0 = static_cast<uint32_t>(product0 >> 32);
    const auto high1 = static_cast<uint32_t>(product1 >> 32);
    counter = {high1 ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               high0 ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

Random::Random(uint64_t seed, int64_t epoch, int64_t sample, Purpose purpose)
    : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
      counter_{0, static_cast<uint32_t>(sample), static_cast<uint32_t>(epoch),
               static_cast<uint32_t>(purpose)} {}

uint32_t Random::next() {
  if (used_ == 4) {
    block_ = philox(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

uint32_t Random::below(uint32_t bound) {
  // Lemire 2019: next() * bound / 2^32, refusing the 2^32 mod bound low words that would make some
  // results one draw likelier than others.
  const uint32_t refused = -bound % bound;
  uint64_t product = uint64_t{next()} * bound;
  while (static_cast<uint32_t>(product) < refused) product = uint64_t{next()} * bound;
  return static_cast<uint32_t>(product >> 32);
}

std::vector<int64_t> permutation(uint64_t seed, int64_t epoch, int64_t size) {
  std::vector<int64_t> order(size);
  std::iota(order.begin(), order.end(), int64_t{0});
  Random random(seed, epoch, 0, Purpose::order);
  for (int64_t last = size - 1; last > 0; --last) {
    std::swap(order[last], order[random.below(static_cast<uint32_t>(last + 1))]);
  }
  return order;
}

}  // namespace rewire::data
