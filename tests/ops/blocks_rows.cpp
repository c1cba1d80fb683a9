// The rows of wired_blocks in the table of ops.
#include <torch/torch.h>

#include <string>

#include "rows.h"
#include "support/reference.h"

namespace rewire::test {
namespace {

using at::Tensor;

// Networks of blocks: one whose last block sends to its own channels, one whose input has all
// channels and whose weight has more columns than blocks; with an entry, of more channels than the
// state, and of nothing else.
struct Network {
  std::string name;
  int64_t channels, columns, in;
  std::vector<int64_t> ends, targets;
  int64_t entry_stride = 0;
};
const std::vector<Network> kNetworks = {{"onto itself", 9, 9, 2, {2, 5, 9}, {2, 5, 7}},
                                        {"past itself", 8, 11, 8, {3, 6}, {3, 6}},
                                        {"behind an entry", 6, 13, 7, {2, 4}, {2, 4}, 2},
                                        {"an entry alone", 5, 3, 3, {}, {}, 1},
                                        {"behind a long stride", 5, 6, 3, {2}, {2}, 5}};

c10::IValue list_of(const ops::Structure& s) {
  return c10::List<Tensor>({s.row_offsets, s.columns, s.column_offsets, s.rows, s.order});
}

// Arguments from input on, for a network and a map; half of the readable edges, or all candidates.
Values blocks_of(const Network& n, int64_t batch, std::vector<int64_t> map, const std::string& norm,
                 bool structure) {
  const int64_t own = (n.entry_stride > 0 ? n.in : 0) + (n.ends.empty() ? 0 : n.ends.back());
  const Tensor weight = drawn({n.channels, n.columns}, 1);
  const Tensor edges = strongest(weight, n.channels * n.columns / 2);
  const bool given = norm == "given";
  return {drawn({batch, n.in, map[0], map[1]}, 2),
          weight,
          structure ? list_of(structure_of(weight, edges)) : c10::IValue(c10::List<Tensor>()),
          drawn({own, 1, 3, 3}, 3),
          drawn({own}, 4),
          drawn({own}, 5),
          given ? c10::IValue(drawn({own}, 6)) : c10::IValue(),
          given ? c10::IValue(drawn({own}, 7).abs() + 0.5) : c10::IValue(),
          n.ends,
          n.targets,
          norm,
          1e-5};
}

Values blocks_reference(const Values& a) {
  const Tensor input = a[0].toTensor();
  const auto dtype = input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto wide = [&](const c10::IValue& value) { return value.toTensor().to(dtype); };
  const auto given = [&](const c10::IValue& value) {
    return value.isNone() ? std::nullopt : std::optional(wide(value).detach());
  };
  const Tensor weight = wide(a[1]);
  Tensor used = weight;
  if (const auto s = a[2].toTensorVector(); !s.empty()) {
    const Tensor mask =
        matrix_of(at::ones(s[1].numel(), weight.options()), s[0], s[1], weight.size(1));
    used = weight_in_use(weight, mask, a[12].toStringRef(), a[14]);
  }
  const auto results = wired_blocks({.effective = used,
                                     .depthwise = wide(a[3]),
                                     .norm_weight = wide(a[4]),
                                     .norm_bias = wide(a[5]),
                                     .mean = given(a[6]),
                                     .variance = given(a[7]),
                                     .ends = a[8].toIntVector(),
                                     .targets = a[9].toIntVector(),
                                     .of_batch = a[10].toStringRef() == "batch",
                                     .eps = a[11].toDouble(),
                                     .entry_stride = a[15].toInt()},
                                    wide(a[0]));
  return {results[0].to(input.scalar_type()), results[1], results[2]};
}

std::vector<Refusal> refused_blocks() {
  const Network& n = kNetworks[0];
  const auto with = [&](size_t place, const c10::IValue& value) {
    Values arguments = blocks_of(n, 2, {3, 3}, "instance", true);
    arguments[place] = value;
    return arguments;
  };
  const auto with_stride = [&](int64_t stride, int64_t channels) {
    Values arguments = with(0, drawn({2, channels, 3, 3}, 1));
    arguments.insert(arguments.end(), {"all", "sparse", c10::IValue(), stride});
    return arguments;
  };
  const Tensor vector = drawn({9}, 1);
  const std::string expected = "wired_blocks: expected ";
  return {{with(0, drawn({2, 10, 3, 3}, 1)),
           expected + "input of shape [batch, at most 9, height, width], got [2, 10, 3, 3]"},
          {with(1, vector), expected + "weight of shape [channels, columns], got [9]"},
          {with(2, c10::List<Tensor>({vector})),
           expected + "structure of 5 tensors, or of none, got 1"},
          {with(3, vector), expected + "depthwise of shape [9, 1, 3, 3], got [9]"},
          {with(4, drawn({8}, 1)), expected + "norm_weight of shape [9], got [8]"},
          {with(6, vector),
           expected + "mean and variance if norm is `given`, and only then, got norm `instance`"},
          {with(8, std::vector<int64_t>{2, 5}),
           expected + "as many targets as ends, at least one without an entry, got 3 and 2"},
          {with(8, std::vector<int64_t>{2, 2, 9}),
           expected + "ends to ascend from 0 to the weight's channels, got [2, 2, 9] for weight of "
                      "shape [9, 9]"},
          {with(9, std::vector<int64_t>{1, 5, 7}), expected + "targets[0] in [2, 9), got 1"},
          {with(9, std::vector<int64_t>{8, 5, 7}),
           expected + "no target above the last, got [8, 5, 7]"},
          {with(10, "layer"),
           expected + "norm `instance`, `batch`, `batch:<group>` or `given`, got `layer`"},
          {with_stride(-1, 2), expected + "entry_stride of at least 0, got -1"},
          {with_stride(1, 0), expected + "an entry to have channels, got input of none"},
          {with_stride(1, 2),
           expected + "a column of weight for each of 11 channels that send, got weight of shape "
                      "[9, 9]"}};
}

Op blocks_row(const std::string& norm, const std::string& gradient, const std::string& execution,
              bool keep_state = true) {
  Op op{.name = "wired_blocks",
        .gradient = gradient == "kept" ? Gradient::kDerivative : Gradient::kStraightThrough,
        .steps = 20,  // a norm divides by what may be small
        .untold = 1,  // the state
        .any_threads = execution == "sparse",
        .sums = true};
  if (norm == "given") op.gradient = Gradient::kStraightThrough;  // none to the statistics
  if (!keep_state) op.gradient = Gradient::kRefused;
  op.reference = blocks_reference;
  op.refusals = refused_blocks();
  for (const Network& network : kNetworks) {
    const auto add = [&](const std::string& name, int64_t batch, std::vector<int64_t> map,
                         bool structure = true) {
      Values arguments = blocks_of(network, batch, map, norm, structure);
      const bool sampled = gradient == "candidates";
      const auto rates = sampled ? c10::IValue(rates_of(network.channels)) : c10::IValue();
      arguments.insert(arguments.end(),
                       {gradient, execution, rates, network.entry_stride, keep_state});
      op.samples.push_back({network.name + ", " + name, arguments});
    };
    add("small maps", 3, {4, 4});
    add("odd maps", 2, {5, 3});
    add("maps of several tiles", 2, {12, 11});
    add("many images", 21, {2, 3});
    add("no images", 0, {4, 4});
    add("no places", 2, {0, 4});
    if (gradient != "kept") add("every candidate", 3, {4, 4}, false);
  }
  return op;
}

}  // namespace

std::vector<Op> blocks_rows() {
  return {
      blocks_row("instance", "all", "sparse"),    blocks_row("instance", "kept", "dense"),
      blocks_row("batch", "kept", "sparse"),      blocks_row("batch", "all", "dense"),
      blocks_row("given", "kept", "sparse"),      blocks_row("instance", "candidates", "sparse"),
      blocks_row("batch", "candidates", "dense"), blocks_row("instance", "all", "sparse", false),
      blocks_row("batch", "all", "dense", false), blocks_row("given", "all", "sparse", false)};
}

}  // namespace rewire::test
