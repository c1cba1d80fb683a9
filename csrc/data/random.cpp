#include "data/random.h"

#include <cmath>
#include <numbers>
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

double Random::uniform() { return (double(next()) + 0.5) * 0x1p-32; }

namespace {

double normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(random.uniform()));
  return radius * std::cos(2 * std::numbers::pi * random.uniform());
}

// The logarithm of a draw of Gamma(alpha): that of a small alpha may be below every double.
// Source: Marsaglia, Tsang 2000, with a draw of Gamma(alpha + 1) times U^(1 / alpha).
double log_gamma_draw(Random& random, double alpha) {
  const double d = alpha + 1 - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal(random), root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(random.uniform()) < x * x / 2 + d - d * v + d * std::log(v)) {
      return std::log(d * v) + std::log(random.uniform()) / alpha;
    }
  }
}

}  // namespace

double beta(Random& random, double alpha) {
  const double a = log_gamma_draw(random, alpha), b = log_gamma_draw(random, alpha);
  return 1 / (1 + std::exp(b - a));
}

std::vector<int64_t> permutation(uint64_t seed, int64_t epoch, int64_t size) {
  Random random(seed, epoch, 0, Purpose::order);
  return permutation(random, size);
}

std::vector<int64_t> permutation(Random& random, int64_t size) {
  std::vector<int64_t> order(size);
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t last = size - 1; last > 0; --last) {
    std::swap(order[last], order[random.below(static_cast<uint32_t>(last + 1))]);
  }
  return order;
}

}  // namespace rewire::data
