// Vector kernels on every instruction set that this machine has, against plain loops.
#include "every_target.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/norm_depthwise.h"
#include "kernels/cpu/sparse_product.h"

namespace {

using namespace rewire::kernels;
using namespace rewire::test;

// A layer in which the edge from s to t exists where (7 s + 5 t) % 3 is 0.
struct Layer {
  int64_t sources, targets;
  std::vector<int32_t> offsets{0}, ends;

  Layer(int64_t sources, int64_t targets) : sources(sources), targets(targets) {
    for (int64_t t = 0; t < targets; ++t) {
      for (int64_t s = 0; s < sources; ++s) {
        if ((7 * s + 5 * t) % 3 == 0) ends.push_back(s);
      }
      offsets.push_back(ends.size());
    }
  }
  Edges edges() const { return {offsets.data(), ends.data(), 0, targets, 0, sources}; }
};

template <typename T>
void check_products(int64_t sources, int64_t targets, int64_t columns, int64_t stride) {
  SCOPED_TRACE(testing::Message() << sources << " to " << targets << ", " << columns << " columns");
  const Layer layer(sources, targets);
  const auto weights = numbers(layer.ends.size(), 1), in = numbers(sources * stride, 2);
  const auto bias = numbers(targets, 3), grad = numbers(targets * stride, 4);
  std::vector<double> out(targets * stride, 0.5), grads(layer.ends.size());
  for (int64_t t = 0; t < targets; ++t) {
    for (int64_t c = 0; c < columns; ++c) out[t * stride + c] = bias[t];
    for (int32_t e = layer.offsets[t]; e < layer.offsets[t + 1]; ++e) {
      for (int64_t c = 0; c < columns; ++c) {
        out[t * stride + c] += weights[e] * in[layer.ends[e] * stride + c];
        grads[e] += grad[t * stride + c] * in[layer.ends[e] * stride + c];
      }
    }
  }

  const auto stream = stream_edges<T>(layer.edges(), stride, panel_bits(layer.edges(), stride),
                                      [&](int64_t, int64_t, int64_t e) { return T(weights[e]); });
  const auto source = in_type<T>(in), biases = in_type<T>(bias), grad_out = in_type<T>(grad);
  std::vector<T> target(targets * stride, T(0.5)), sums(layer.ends.size());
  sparse_product(stream, source.data(), target.data(), stride, columns, Start::kBias,
                 biases.data());
  expect_close(target, out);
  sparse_product_grad_edges(stream, source.data(), grad_out.data(), stride, columns, sums.data());
  std::vector<T> by_position(sums.size());
  for (size_t i = 0; i < sums.size(); ++i) by_position[stream.positions[i]] = sums[i];
  expect_close(by_position, grads);

  for (double& value : out) value *= 2;  // once more on top of what is there
  for (int64_t t = 0; t < targets; ++t) {
    for (int64_t c = 0; c < columns; ++c) out[t * stride + c] -= bias[t];
    for (int64_t c = columns; c < stride; ++c) out[t * stride + c] = 0.5;
  }
  sparse_product<T>(stream, source.data(), target.data(), stride, columns, Start::kTarget, nullptr,
                    {source.data(), target.data()});
  expect_close(target, out);
}

// What is done for the caches shows nowhere: of one panel, whose rows go past them, and of several.
template <typename T>
void check_traffic(int64_t sources) {
  const Layer layer(sources, 7);
  const auto stream = stream_edges<T>(layer.edges(), kTile, panel_bits(layer.edges(), kTile),
                                      [](int64_t, int64_t, int64_t e) { return T(e % 5 - 2); });
  const auto source = in_type<T>(numbers(sources * kTile, 2));
  std::vector<T> room(2 * 8 * kTile + 64);
  T* aligned = room.data();
  while (reinterpret_cast<uintptr_t>(aligned) % 64 != 0) ++aligned;
  for (const int64_t offset : {0, 1}) {  // where a vector can be written past them, and where not
    for (const bool past_caches : {false, true}) {
      T *plain = aligned + offset, *minded = plain + 8 * kTile;
      sparse_product(stream, source.data(), plain, kTile, kTile, Start::kZero);
      sparse_product<T>(stream, source.data(), minded, kTile, kTile, Start::kZero, nullptr,
                        {source.data(), past_caches ? nullptr : plain, past_caches});
      for (int64_t i = 0; i < 7 * kTile; ++i) ASSERT_EQ(minded[i], plain[i]) << i;
    }
  }
}

TEST_P(EveryTarget, MindsTheCaches) {
  check_traffic<float>(20);
  check_traffic<float>(400);
  check_traffic<double>(20);
}

// Whole tiles, one that overlaps the one before, the fewest columns; one panel and several, and
// several blocks of targets.
TEST_P(EveryTarget, MultipliesWithEdges) {
  for (const auto& [columns, stride] :
       {std::pair(16, 16), {64, 64}, {49, 50}, {196, 200}, {65, 70}}) {
    check_products<float>(9, 7, columns, stride);
    check_products<double>(9, 7, columns, stride);
  }
  check_products<float>(300, 5, 64, 64);
  check_products<double>(300, 5, 33, 64);
  check_products<float>(300, kBlockTargets + 3, 64, 64);
}

// z and the gradients of one channel, by their definition.
struct Channel {
  int64_t height, width;
  std::vector<double> x, taps;
  double scale, shift, mean;

  double y(int64_t row, int64_t column) const {
    if (row < 0 || row >= height || column < 0 || column >= width) return 0;
    return std::max(0.0, x[row * width + column] * scale + shift);
  }
  double z(int64_t row, int64_t column) const {
    double sum = 0;
    for (int tap = 0; tap < 9; ++tap) {
      sum += taps[tap] * y(row + tap / 3 - 1, column + tap % 3 - 1);
    }
    return sum;
  }
};

// Places of a map that a convolution of that stride computes.
std::vector<int64_t> places_of_z(int64_t height, int64_t width, int64_t step) {
  std::vector<int64_t> places;
  for (int64_t p = 0; p < height * width; ++p) {
    if (p / width % step == 0 && p % width % step == 0) places.push_back(p);
  }
  return places;
}

// What is expected of some channels, one behind the other.
struct Expected {
  std::vector<double> x, taps, z, dz, da, of_taps, of_shift, of_scaled, mean, deviation;
};

Expected expected_of(const Channel& channel, const std::vector<double>& dz,
                     const std::vector<int64_t>& of_z) {
  const int64_t places = channel.height * channel.width;
  Expected e{channel.x, channel.taps, {},  dz, std::vector<double>(places), std::vector<double>(9),
             {0},       {0},          {0}, {0}};
  for (size_t i = 0; i < of_z.size(); ++i) {
    const int64_t p = of_z[i];
    e.z.push_back(channel.z(p / channel.width, p % channel.width));
    for (int tap = 0; tap < 9; ++tap) {
      const int64_t row = p / channel.width + tap / 3 - 1;
      const int64_t column = p % channel.width + tap % 3 - 1;
      e.of_taps[tap] += dz[i] * channel.y(row, column);
      if (channel.y(row, column) <= 0) continue;  // nothing passes, or it is outside
      e.da[row * channel.width + column] += dz[i] * channel.taps[tap];
    }
  }
  for (int64_t p = 0; p < places; ++p) {
    e.of_shift[0] += e.da[p];
    e.of_scaled[0] += e.da[p] * (channel.x[p] - channel.mean);
    e.mean[0] += channel.x[p] / double(places);
  }
  for (const double x : channel.x) e.deviation[0] += (x - e.mean[0]) * (x - e.mean[0]);
  return e;
}

void append(Expected& all, const Expected& one) {
  for (const auto member : {&Expected::x, &Expected::taps, &Expected::z, &Expected::dz,
                            &Expected::da, &Expected::of_taps, &Expected::of_shift,
                            &Expected::of_scaled, &Expected::mean, &Expected::deviation}) {
    (all.*member).insert((all.*member).end(), (one.*member).begin(), (one.*member).end());
  }
}

template <typename T>
void check_channels(int64_t height, int64_t width, int64_t step) {
  SCOPED_TRACE(testing::Message() << height << " x " << width << " by " << step);
  constexpr int64_t kCount = 6;
  const int64_t places = height * width;
  const std::vector<int64_t> of_z = places_of_z(height, width, step);
  const int64_t z_places = of_z.size();
  Expected e;
  std::vector<T> scale, shift, mean;
  for (int64_t c = 0; c < kCount; ++c) {
    const uint32_t seed = 10 * c;
    const Channel channel{
        height, width,  numbers(places, seed + 1), numbers(9, seed + 2), 1.3 - 0.1 * c,
        0.2,    0.1 * c};
    append(e, expected_of(channel, numbers(z_places, seed + 3), of_z));
    scale.push_back(T(channel.scale));
    shift.push_back(T(channel.shift));
    mean.push_back(T(channel.mean));
  }

  MapScratch<T> scratch(height, width, step);
  const auto x = in_type<T>(e.x), taps = in_type<T>(e.taps), dz = in_type<T>(e.dz);
  const Rows<const T> x_rows{x.data(), places, kCount};
  const Norm<T> norm{scale.data(), shift.data(), mean.data()};
  std::vector<T> z(kCount * z_places), da(kCount * places);
  std::vector<T> of_taps(kCount * 9), of_shift(kCount), of_scaled(kCount);
  norm_depthwise<T>(x_rows, norm, taps.data(), scratch, {z.data(), z_places, kCount});
  expect_close(z, e.z);
  std::fill(z.begin(), z.end(), T{0});
  norm_depthwise_backward<T>(x_rows, norm, taps.data(), scratch, {z.data(), z_places, kCount},
                             {dz.data(), z_places, kCount}, {da.data(), places, kCount},
                             {of_taps.data(), of_shift.data(), of_scaled.data()});
  expect_close(z, e.z);
  expect_close(da, e.da);
  expect_close(of_taps, e.of_taps);
  expect_close(of_shift, e.of_shift);
  expect_close(of_scaled, e.of_scaled);
  if (step == 1) {  // in its place
    std::vector<T> both = dz;
    norm_depthwise_backward<T>(x_rows, norm, taps.data(), scratch, {z.data(), z_places, kCount},
                               {both.data(), places, kCount}, {both.data(), places, kCount},
                               {of_taps.data(), of_shift.data(), of_scaled.data()});
    expect_close(both, e.da);
  }

  std::vector<T> averages(kCount), deviations(kCount);
  row_moments<T>(x_rows, scratch, averages.data(), deviations.data());
  expect_close(averages, e.mean);
  expect_close(deviations, e.deviation);

  const std::vector<NormBackward<T>> by(kCount, {2, 3, T(0.1), 4});
  std::vector<T> dx(kCount * places, T{5});
  std::vector<double> of_x(kCount * places);
  for (const bool adds : {true, false}) {
    for (size_t p = 0; p < of_x.size(); ++p) {
      of_x[p] = (adds ? 5 : 0) + 2 * e.da[p] + 3 * (e.x[p] - 0.1) + 4;
    }
    norm_backward<T>(x_rows, {da.data(), places, kCount}, by.data(), {dx.data(), places, kCount},
                     places, adds);
    expect_close(dx, of_x);
  }
  norm_backward<T>(x_rows, {da.data(), places, kCount}, by.data(), {da.data(), places, kCount},
                   places, false);
  expect_close(da, of_x);
}

TEST_P(EveryTarget, NormalizesAndConvolves) {
  for (const auto& [height, width] : {std::pair(8, 8), {1, 1}, {1, 5}, {5, 1}, {7, 7}, {3, 40}}) {
    for (const int64_t step : {1, 2}) {
      check_channels<float>(height, width, step);
      check_channels<double>(height, width, step);
    }
  }
}

// A column is one place of one image: what is packed comes back, and what is missing is 0.
template <typename T>
void check_packing(int64_t channels, int64_t places) {
  SCOPED_TRACE(testing::Message() << channels << " channels, " << places << " places");
  const int64_t images = 90, columns = images * places, gap = 7;
  const int64_t stride = channels * places + gap;
  const auto maps = in_type<T>(numbers(images * stride, 1));
  std::vector<T> copy = maps, rows(channels * kTile);
  for (int64_t image = 0; image < images; ++image) {
    std::fill_n(copy.begin() + image * stride, channels * places, T(0));
  }
  for (int64_t begin = 0; begin < columns; begin += kTile) {
    const int64_t end = std::min(columns, begin + kTile);
    std::fill(rows.begin(), rows.end(), T(-1));
    pack<T>({maps.data(), channels, places, stride}, begin, end, rows.data());
    for (int64_t column = begin; column < begin + kTile; ++column) {
      const int64_t image = column / places, place = column % places;
      for (int64_t c = 0; c < channels; ++c) {
        const T expected = column < end ? maps[image * stride + c * places + place] : T(0);
        ASSERT_EQ(rows[c * kTile + column - begin], expected);
      }
    }
    unpack<T>(rows.data(), begin, end, {copy.data(), channels, places, stride});
  }
  EXPECT_EQ(copy, maps);
}

// Whole squares of a transposition, and parts of one.
TEST_P(EveryTarget, PacksAndUnpacksColumns) {
  for (const int64_t channels : {5, 16, 50}) {
    for (const int64_t places : {1, 3, 50}) {
      check_packing<float>(channels, places);
      check_packing<double>(channels, places);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, EveryTarget, testing::ValuesIn(targets()), target_name);

}  // namespace
