// Vector kernels on every instruction set that this machine has, against plain loops.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/norm_depthwise.h"
#include "kernels/cpu/sparse_product.h"

namespace {

using namespace rewire::kernels;

std::vector<int64_t> targets() {
  std::vector<int64_t> found;
  const int64_t supported = hwy::SupportedTargets();
  for (int64_t rest = supported; rest != 0; rest &= rest - 1) found.push_back(rest & -rest);
  return found;
}

class EveryTarget : public testing::TestWithParam<int64_t> {
 protected:
  EveryTarget() { choose(GetParam()); }
  ~EveryTarget() override { choose(0); }  // 0: as the processor has them

 private:
  static void choose(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

// Numbers in [-1, 1] of which no two are alike.
std::vector<double> numbers(int64_t count, double seed) {
  std::vector<double> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = std::sin(double(i) * 1.7 + seed);
  return values;
}

template <typename T>
std::vector<T> in_type(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

template <typename T>
void expect_close(const std::vector<T>& actual, const std::vector<double>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  double largest = 1;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  const double tolerance = 100 * std::numeric_limits<T>::epsilon() * largest;
  for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance) << i;
}

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
  sparse_product(stream, source.data(), target.data(), stride, columns, Start::kTarget);
  expect_close(target, out);
}

// Whole tiles, one that overlaps the one before, the fewest columns; one panel and several.
TEST_P(EveryTarget, MultipliesWithEdges) {
  for (const auto& [columns, stride] :
       {std::pair(16, 16), {64, 64}, {49, 50}, {196, 200}, {65, 70}}) {
    check_products<float>(9, 7, columns, stride);
    check_products<double>(9, 7, columns, stride);
  }
  check_products<float>(300, 5, 64, 64);
  check_products<double>(300, 5, 33, 64);
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

template <typename T>
void check_channel(int64_t height, int64_t width) {
  SCOPED_TRACE(testing::Message() << height << " x " << width);
  const int64_t places = height * width;
  const Channel channel{height, width, numbers(places, 1), numbers(9, 2), 1.3, 0.2, 0.1};
  std::vector<double> z(places), dz = numbers(places, 3), da(places), sums(11);
  for (int64_t p = 0; p < places; ++p) z[p] = channel.z(p / width, p % width);
  for (int64_t p = 0; p < places; ++p) {
    for (int tap = 0; tap < 9; ++tap) {
      const int64_t row = p / width + tap / 3 - 1, column = p % width + tap % 3 - 1;
      sums[tap] += dz[p] * channel.y(row, column);
      if (row < 0 || row >= height || column < 0 || column >= width) continue;
      if (channel.y(row, column) > 0) da[row * width + column] += dz[p] * channel.taps[tap];
    }
  }
  for (int64_t p = 0; p < places; ++p) {
    sums[9] += da[p];
    sums[10] += da[p] * (channel.x[p] - channel.mean);
  }

  MapScratch<T> scratch(height, width);
  const auto x = in_type<T>(channel.x), taps = in_type<T>(channel.taps);
  const T scale = channel.scale, shift = channel.shift, mean = channel.mean;
  std::vector<T> out(places), grad = in_type<T>(dz), found(11);
  norm_depthwise<T>({x.data(), places, 1}, {&scale, &shift, &mean}, taps.data(), scratch,
                    {out.data(), places, 1});
  expect_close(out, z);
  std::fill(out.begin(), out.end(), T{0});
  norm_depthwise_backward<T>({x.data(), places, 1}, {&scale, &shift, &mean}, taps.data(), scratch,
                             {out.data(), places, 1}, {grad.data(), places, 1},
                             {found.data(), found.data() + 9, found.data() + 10});
  expect_close(out, z);
  expect_close(grad, da);
  expect_close(found, sums);

  double average = 0, squares = 0;
  for (const double value : channel.x) average += value / double(places);
  for (const double value : channel.x) squares += (value - average) * (value - average);
  std::vector<T> moments(2);
  row_moments<T>({x.data(), places, 1}, scratch, &moments[0], &moments[1]);
  expect_close(moments, {average, squares});

  std::vector<double> expected(places);
  for (int64_t p = 0; p < places; ++p) {
    expected[p] = z[p] + 2 * da[p] + 3 * (channel.x[p] - 0.1) + 4;
  }
  const NormBackward<T> by{2, 3, T(0.1), 4};
  add_norm_backward<T>({x.data(), places, 1}, {grad.data(), places, 1}, &by,
                       {out.data(), places, 1}, places);
  expect_close(out, expected);
}

TEST_P(EveryTarget, NormalizesAndConvolves) {
  for (const auto& [height, width] : {std::pair(8, 8), {1, 1}, {1, 5}, {5, 1}, {7, 7}, {3, 40}}) {
    check_channel<float>(height, width);
    check_channel<double>(height, width);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, EveryTarget, testing::ValuesIn(targets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

// A column is one place of one image: what is packed comes back, and what is missing is 0.
TEST(Columns, ArePackedAndUnpacked) {
  for (const int64_t places : {1, 3, 50}) {
    const int64_t images = 90, channels = 5, columns = images * places;
    const auto maps = in_type<float>(numbers(images * channels * places, 1));
    std::vector<float> copy(maps.size()), rows(channels * kTile);
    for (int64_t begin = 0; begin < columns; begin += kTile) {
      const int64_t end = std::min(columns, begin + kTile);
      std::fill(rows.begin(), rows.end(), -1.0f);
      pack<float>({maps.data(), channels, places}, begin, end, rows.data());
      for (int64_t column = begin; column < begin + kTile; ++column) {
        const int64_t image = column / places, place = column % places;
        for (int64_t c = 0; c < channels; ++c) {
          const float expected =
              column < end ? maps[(image * channels + c) * places + place] : 0.0f;
          ASSERT_EQ(rows[c * kTile + column - begin], expected);
        }
      }
      unpack<float>(rows.data(), begin, end, {copy.data(), channels, places});
    }
    EXPECT_EQ(copy, maps);
  }
}

}  // namespace
