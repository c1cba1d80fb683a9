// The rows of wired_ode_step in the table of ops.
#include <torch/torch.h>

#include <string>

#include "rows.h"
#include "support/reference.h"

namespace rewire::test {
namespace {

using at::Tensor;

constexpr int64_t kChannels = 5;
constexpr double kStep = 0.3;

// Arguments up to the norm's eps, for a map; half of the edges, or all candidates.
Values step_of(int64_t batch, std::vector<int64_t> map, bool structure) {
  const Tensor weight = drawn({kChannels, kChannels}, 1);
  const auto s = structure_of(weight, strongest(weight, kChannels * kChannels / 2));
  c10::List<Tensor> edges;
  if (structure) edges = {s.row_offsets, s.columns, s.column_offsets, s.rows, s.order};
  const std::vector<int64_t> sizes{batch, kChannels, map[0], map[1]};
  return {drawn(sizes, 2),
          drawn(sizes, 3),
          kStep,
          weight,
          edges,
          drawn({kChannels, 1, 3, 3}, 4),
          drawn({kChannels}, 5),
          drawn({kChannels}, 6),
          1e-3};
}

// The textbook's weights, where the published solver has no others.
Values step_reference(const Values& a) {
  const auto type = a[0].toTensor().scalar_type();
  const auto wide = [&](const c10::IValue& value) {
    return value.toTensor().to(type == at::kDouble ? at::kDouble : at::kFloat);
  };
  const Tensor x = wide(a[0]), slope = wide(a[1]);
  const bool with_middle = a[12].toBool();
  const auto results = [&](const Tensor& y, const Tensor& end, const Tensor& error,
                           const Tensor& middle) -> Values {
    return {y.to(type), end.to(type), error.detach().to(type),
            with_middle ? middle.to(type) : at::empty({0}, a[0].toTensor().options())};
  };
  if (x.numel() == 0) return results(x + slope, x + slope, x, x + slope);
  const double step = a[2].toDouble();
  Tensor used = wide(a[3]);
  if (const auto s = a[4].toTensorVector(); !s.empty()) {
    const Tensor mask = matrix_of(at::ones(s[1].numel(), used.options()), s[0], s[1], kChannels);
    used = weight_in_use(used, mask, a[9].toStringRef(), a[11]);
  }
  const auto f = [&](const Tensor& at) {
    const Tensor z = torch::conv2d(at.relu(), wide(a[5]), {}, 1, 1, 1, kChannels);
    return torch::instance_norm(multiply(used, z, {}), wide(a[6]), wide(a[7]), {}, {}, true, 0.1,
                                a[8].toDouble(), false);
  };
  const Tensor k1 = slope;
  const Tensor k2 = f(x + step * k1 / 5);
  const Tensor k3 = f(x + step * (3 * k1 + 9 * k2) / 40);
  const Tensor k4 = f(x + step * (44 * k1 / 45 - 56 * k2 / 15 + 32 * k3 / 9));
  const Tensor k5 = f(x + step * (19372 * k1 - 76080 * k2 + 64448 * k3 - 1908 * k4) / 6561);
  const Tensor k6 = f(x + step * (9017 * k1 / 3168 - 355 * k2 / 33 + 46732 * k3 / 5247 +
                                  49 * k4 / 176 - 5103 * k5 / 18656));
  const Tensor y = x + step * (35 * k1 / 384 + 500 * k3 / 1113 + 125 * k4 / 192 - 2187 * k5 / 6784 +
                               11 * k6 / 84);
  const Tensor k7 = f(y);
  const Tensor fourth = 1951 * k1 / 21600 + 22642 * k3 / 50085 + 451 * k4 / 720 -
                        12231 * k5 / 42400 + 649 * k6 / 6300 + k7 / 60;
  const Tensor middle =
      x + step / 2 *
              (6025192743. / 30085553152. * k1 + 51252292925. / 65400821598. * k3 -
               2691868925. / 45128329728. * k4 + 187940372067. / 1594534317056. * k5 -
               1776094331. / 19743644256. * k6 + 11237099. / 235043384. * k7);
  return results(y, k7, y - x - step * fourth, middle);
}

std::vector<Refusal> refused_steps() {
  const auto with = [](size_t place, const c10::IValue& value) {
    Values arguments = step_of(2, {3, 4}, true);
    arguments[place] = value;
    return arguments;
  };
  const auto with_words = [](const std::string& gradient, const std::string& execution) {
    Values arguments = step_of(2, {3, 4}, true);
    arguments.insert(arguments.end(), {gradient, execution});
    return arguments;
  };
  const Tensor vector = drawn({7}, 1);
  const std::string expected = "wired_ode_step: expected ";
  return {
      {with(0, vector), expected + "x of shape [batch, channels, height, width], got [7]"},
      {with(0, at::ones({2, 5, 3, 4}, at::kInt)),
       expected + "x of dtype Float, Double, Half or BFloat16, got Int"},
      {with(1, drawn({2, 5, 4, 3}, 1)), expected + "slope of shape [2, 5, 3, 4], got [2, 5, 4, 3]"},
      {with(3, drawn({5, 6}, 1)), expected + "weight of shape [5, 5], got [5, 6]"},
      {with(3, drawn({5, 5, 1, 3}, 1)),
       expected + "weight of shape [5, 5, 1, 1], got [5, 5, 1, 3]"},
      {with(3, drawn({5, 5}, 1).to(at::kFloat)), expected + "weight of dtype Double, got Float"},
      {with(4, c10::List<Tensor>({vector})),
       expected + "structure of 5 tensors, or of none, got 1"},
      {with(5, vector), expected + "depthwise of shape [5, 1, 3, 3], got [7]"},
      {with(6, vector), expected + "norm_weight of shape [5], got [7]"},
      {with(7, vector), expected + "norm_bias of shape [5], got [7]"},
      {with_words("some", "sparse"),
       expected + "gradient `all`, `kept` or `candidates`, got `some`"},
      {with_words("all", "fast"), expected + "execution `auto`, `sparse` or `dense`, got `fast`"},
  };
}

Op step_row(const std::string& gradient, const std::string& execution) {
  Op op{.name = "wired_ode_step",
        .gradient = gradient == "kept" ? Gradient::kDerivative : Gradient::kStraightThrough,
        .steps = 50,  // six norms, one after another, each of which divides by what may be small
        .any_threads = false,
        .sums = true};
  op.reference = step_reference;
  op.refusals = refused_steps();
  const auto add = [&](const std::string& name, int64_t batch, std::vector<int64_t> map,
                       bool structure, bool with_middle) {
    Values arguments = step_of(batch, map, structure);
    const bool sampled = gradient == "candidates";
    const auto rates = sampled ? c10::IValue(rates_of(kChannels)) : c10::IValue();
    arguments.insert(arguments.end(), {gradient, execution, rates, with_middle});
    op.samples.push_back({name, arguments});
  };
  add("of many", 3, {4, 4}, true, false);
  add("the last", 2, {5, 3}, true, true);
  add("many images", 21, {2, 3}, true, true);
  add("no images", 0, {4, 4}, true, true);
  add("no places", 2, {0, 4}, true, false);
  if (gradient != "kept") add("every candidate", 3, {4, 4}, false, true);
  return op;
}

}  // namespace

std::vector<Op> ode_rows() {
  return {step_row("all", "sparse"), step_row("kept", "sparse"), step_row("candidates", "dense")};
}

}  // namespace rewire::test
