// The sum over earlier blocks.
#include "kernels/cuda/look_back.cuh"

#include <gtest/gtest.h>

#include <vector>

#include "support/cuda/order.h"

namespace {

using namespace rewire::kernels::cuda;
using emulation::Order;

constexpr Order kOrders[] = {Order::kForward, Order::kBackward, Order::kShuffled};

struct Total {
  int64_t value;
  unsigned long long pack() const { return value; }
  static Total unpack(unsigned long long bits) { return {static_cast<int64_t>(bits)}; }
  Total& operator+=(Total other) {
    value += other.value;
    return *this;
  }
};

// Tile i has the sum i + 1.
void look_back(Tiles tiles, int64_t* before) {
  const int64_t tile = take_tile(tiles, shared<unsigned>());
  const Total sum = sum_of_tiles_before(tiles, tile, Total{tile + 1});
  if (lane() == 5) before[tile] = sum.value;
}

TEST(LookBack, SumsAllTilesBefore) {
  constexpr int kTiles = 100;
  for (const Order order : kOrders) {
    emulation::set_order(order);
    std::vector<unsigned long long> states(kTiles);
    unsigned ticket = 0;
    std::vector<int64_t> before(kTiles);
    launch(look_back, kTiles, kWarp, sizeof(unsigned), nullptr, Tiles{states.data(), &ticket},
           before.data());
    for (int64_t i = 0; i < kTiles; ++i) EXPECT_EQ(before[i], i * (i + 1) / 2);
  }
}

// Blocks run one after another here, so that a predecessor always knows the sum of all. Here the
// states are what a device might show: only tiles 0 and 40 know it.
void look_back_from(Tiles tiles, int64_t tile, int64_t* before) {
  const Total sum = sum_of_tiles_before(tiles, tile, Total{tile + 1});
  if (lane() == 0) *before = sum.value;
}

TEST(LookBack, PassesTilesThatKnowOnlyTheirOwn) {
  constexpr unsigned long long kOwn = 1ull << 62, kAll = 2ull << 62;
  constexpr int64_t kTile = 120;
  std::vector<unsigned long long> states(kTile + 1);
  for (int64_t i = 0; i < kTile; ++i) states[i] = kOwn | (i + 1);
  states[0] = kAll | 1;
  states[40] = kAll | 41 * 42 / 2;
  for (const Order order : kOrders) {
    emulation::set_order(order);
    unsigned ticket = 0;
    int64_t before = 0;
    launch(look_back_from, 1, kWarp, 0, nullptr, Tiles{states.data(), &ticket}, kTile, &before);
    EXPECT_EQ(before, kTile * (kTile + 1) / 2);
    EXPECT_EQ(states[kTile], kAll | (kTile + 1) * (kTile + 2) / 2);
  }
}

}  // namespace
