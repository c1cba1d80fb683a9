// Random numbers that are a function of what they are for: seed, epoch, sample and purpose. No
// stream is shared: neither the order in which threads work nor resuming a run changes anything.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace rewire::data {

// The Philox 4x32-10 block: 128 random bits for each pair of counter and key.
// Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Draws for different purposes never meet. Append only: the values are part of a run's results.
enum class Purpose : uint32_t { order = 0, augmentation = 1, mixup = 2 };

class Random {
 public:
  // Philox under the key `seed`, counting (block, sample, epoch, purpose): different arguments give
  // disjoint sequences, of 2^34 numbers each. epoch and sample in [0, 2^32).
  Random(uint64_t seed, int64_t epoch, int64_t sample, Purpose purpose);

  // Uniform over all 32-bit numbers.
  uint32_t next();

  // Uniform in [0, bound), without bias. bound > 0. May use more than one number.
  uint32_t below(uint32_t bound);

  // Uniform in (0, 1): the middles of 2^32 equal parts. Uses one number.
  double uniform();

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;  // of block_
};

// A draw of Beta(alpha, alpha), in [0, 1]. alpha > 0. Uses several numbers.
double beta(Random& random, double alpha);

// The numbers 0 .. size - 1 in an order drawn from `random` (Fisher-Yates). size in [0, 2^32).
std::vector<int64_t> permutation(Random& random, int64_t size);

// The numbers 0 .. size - 1 in an order that every epoch draws anew (Fisher-Yates), each of the
// size! orders equally likely as far as Philox is random. size in [0, 2^32).
std::vector<int64_t> permutation(uint64_t seed, int64_t epoch, int64_t size);

}  // namespace rewire::data
