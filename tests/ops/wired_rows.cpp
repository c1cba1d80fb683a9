#include "wired_rows.h"

#include <torch/torch.h>

#include <string>

#include "support/reference.h"

namespace rewire::test {
namespace {

using at::Tensor;
using ops::Selection;

Tensor drawn(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

// Layers of `in` to `out` channels with `edges` edges, and inputs of one batch and map size.
struct Shape {
  std::string name;
  int64_t batch, in, out, edges;
  std::vector<int64_t> places;
  bool large = false;
};

// Maps of whole tiles, of parts, of a place each; more columns than a tile and fewer; more channels
// than a panel; none of anything.
const std::vector<Shape> kShapes = {{"a few", 3, 7, 5, 12, {2, 2}},
                                    {"one of each", 1, 1, 1, 1, {1}},
                                    {"no images", 0, 4, 5, 6, {3}},
                                    {"no edges", 2, 4, 5, 0, {3}},
                                    {"no inputs", 2, 0, 5, 0, {3}},
                                    {"no outputs", 2, 4, 0, 0, {3}},
                                    {"no places", 2, 4, 5, 6, {0, 3}},
                                    {"every edge", 2, 6, 5, 30, {4}},
                                    {"maps of a tile", 2, 9, 8, 20, {8, 8}},
                                    {"maps of tiles", 1, 3, 4, 6, {8, 24}},
                                    {"odd maps", 2, 5, 6, 9, {7, 7}},
                                    {"long odd maps", 1, 3, 2, 4, {11, 13}},
                                    {"lines", 70, 5, 6, 9, {}},
                                    {"several panels", 3, 300, 20, 900, {3}, true}};

Selection edges_of(const Shape& shape) {
  const Tensor weight = drawn({shape.out, shape.in}, 2);
  return structure_of(weight, strongest(weight, shape.edges));
}

std::vector<int64_t> input_shape(const Shape& shape, int64_t channels, bool channels_last) {
  std::vector<int64_t> sizes{shape.batch};
  if (channels_last) {
    sizes.insert(sizes.end(), shape.places.begin(), shape.places.end());
    sizes.push_back(channels);
  } else {
    sizes.push_back(channels);
    sizes.insert(sizes.end(), shape.places.begin(), shape.places.end());
  }
  return sizes;
}

void append(Values& values, const ops::Structure& s) {
  for (const Tensor& t : {s.row_offsets, s.columns, s.column_offsets, s.rows, s.order}) {
    values.push_back(t);
  }
}

// Samples of input, what holds the weights, bias, structure and `more`.
template <typename WeightOf>
std::vector<Sample> layers(bool channels_last, const Values& more, WeightOf&& weight_of) {
  std::vector<Sample> samples;
  for (const Shape& shape : kShapes) {
    Values arguments{drawn(input_shape(shape, shape.in, channels_last), 3), weight_of(shape)};
    arguments.push_back(shape.batch == 2 ? c10::IValue() : c10::IValue(drawn({shape.out}, 5)));
    append(arguments, edges_of(shape));
    arguments.insert(arguments.end(), more.begin(), more.end());
    samples.push_back({shape.name, arguments, shape.large});
  }
  return samples;
}

Tensor values_of(const Shape& shape) { return drawn({shape.edges}, 4); }
Tensor candidates_of(const Shape& shape) { return drawn({shape.out, shape.in}, 4); }

std::optional<Tensor> optional(const c10::IValue& value) {
  return value.isNone() ? std::nullopt : std::optional(value.toTensor());
}

// With the channels second; lines have them last.
Tensor apply(const Tensor& matrix, const Tensor& input, const std::optional<Tensor>& bias,
             bool channels_last) {
  if (!channels_last) return multiply(matrix, input, bias);
  const Tensor lines =
      input.reshape({input.numel() / std::max<int64_t>(1, input.size(-1)), input.size(-1), 1});
  std::vector<int64_t> sizes = input.sizes().vec();
  sizes.back() = matrix.size(0);
  if (input.size(-1) == 0) {
    const Tensor none = at::zeros(sizes, input.options());
    return bias ? none + *bias : none;
  }
  return multiply(matrix, lines, bias).reshape(sizes);
}

// A layer of 3 inputs and 2 outputs whose edges are (0, 1), (1, 0) and (1, 2).
const Tensor kInput = torch::tensor({{0.1, -0.9, 0.5}}, torch::kDouble);
const Tensor kValues = torch::tensor({1.0, 2.0, 3.0}, torch::kDouble);
const Tensor kWeight = torch::ones({2, 3}, torch::kDouble);
Tensor ints(const std::vector<int>& values) { return torch::tensor(values, torch::kInt); }
const ops::Structure kEdges{ints({0, 1, 3}), ints({1, 0, 2}), ints({0, 1, 2, 3}), ints({1, 0, 1}),
                            ints({1, 0, 2})};

// What all layers refuse of their structure, in the name of `op`; `first` are the arguments before
// it.
std::vector<Refusal> refused_structures(const std::string& op, const Values& first) {
  const auto with = [&](Tensor ops::Structure::*member, const Tensor& value) {
    ops::Structure edges = kEdges;
    edges.*member = value;
    Values arguments = first;
    append(arguments, edges);
    arguments.push_back("sparse");
    return arguments;
  };
  using S = ops::Structure;
  const std::string expected = op + ": expected ", found = "sparse_pointwise: expected ";
  return {{with(&S::columns, ints({1, 0})), expected + "rows of shape [num_edges = 2], got [3]"},
          {with(&S::row_offsets, kEdges.row_offsets.to(torch::kLong)),
           expected + "row_offsets of dtype Int, got Long"},
          {with(&S::column_offsets, ints({0, 1})),
           expected + "column_offsets of shape [in + 1 = 4], got [2]"},
          {with(&S::row_offsets, ints({1, 1, 3})), found + "row_offsets[0] to be 0, got 1", false},
          {with(&S::row_offsets, ints({0, 4, 3})),
           found + "row_offsets to ascend, got 0 and 4 at 0", false},
          {with(&S::columns, ints({1, 0, 3})),
           found + "columns in [0, 3) and ascending in each list, got 3 at 2", false},
          {with(&S::columns, ints({1, 2, 0})),
           found + "columns in [0, 3) and ascending in each list, got 0 at 2", false},
          {with(&S::rows, ints({0, 0, 1})),
           found + "order[0] to be the position of the edge from 0 to 0, got 1", false},
          {with(&S::order, ints({1, 0, 7})),
           found + "order[2] to be the position of the edge from 2 to 1, got 7", false}};
}

Op sparse_row(const std::string& name, const std::string& execution) {
  const bool lines = name == "sparse_linear";
  Op op{.name = name,
        .gradient = Gradient::kDerivative,
        .launches_kernels = execution == "sparse",
        .any_threads = execution == "sparse",
        .sums = true};
  op.reference = [lines](const Values& a) -> Values {
    const Tensor input = a[0].toTensor();
    const Tensor matrix =
        matrix_of(a[1].toTensor(), a[3].toTensor(), a[4].toTensor(), input.size(lines ? -1 : 1));
    return {apply(matrix, input, optional(a[2]), lines)};
  };
  op.samples = layers(lines, {execution}, values_of);
  const std::string expected = name + ": expected ";
  op.refusals = refused_structures(name, {kInput, kValues, c10::IValue()});
  const auto with = [](const Tensor& input, const Tensor& values, const c10::IValue& bias,
                       const std::string& word) {
    Values arguments{input, values, bias};
    append(arguments, kEdges);
    arguments.push_back(word);
    return arguments;
  };
  op.refusals.push_back({with(kInput, kValues.slice(0, 1), {}, "sparse"),
                         expected + "values of shape [num_edges = 3], got [2]"});
  op.refusals.push_back({with(kInput, kValues.to(torch::kFloat), {}, "sparse"),
                         expected + "values of dtype Double, got Float"});
  op.refusals.push_back(
      {with(kInput, kValues, kValues, "sparse"), expected + "bias of shape [out = 2], got [3]"});
  op.refusals.push_back({with(kInput, kValues, {}, "fast"),
                         expected + "execution `auto`, `sparse` or `dense`, got `fast`"});
  if (lines) {
    std::erase_if(op.refusals, [](const Refusal& refusal) {  // the input's width is compared first
      return refusal.message.find("column_offsets") != std::string::npos;
    });
    op.refusals.push_back({with(kInput.slice(1, 1), kValues, {}, "sparse"),
                           "sparse_linear: expected input of shape [..., in = 3], got [1, 2]"});
  }
  return op;
}

Op sparse_backward_row(const std::string& execution) {
  Op op{.name = "sparse_pointwise_backward",
        .gradient = Gradient::kDerivative,
        .launches_kernels = execution == "sparse",
        .any_threads = execution == "sparse",
        .sums = true};
  op.reference = [](const Values& a) -> Values {
    const Tensor grad = a[0].toTensor(), input = a[1].toTensor(), values = a[2].toTensor();
    const Tensor matrix = matrix_of(values, a[3].toTensor(), a[4].toTensor(), input.size(1));
    const Tensor none = at::empty({0}, input.options());
    // d/dvalues = the entries at the edges of sum over n, p of grad[n, v, p] input[n, u, p]
    const bool half = input.scalar_type() != at::kDouble;
    const auto flat = [&](const Tensor& t) {
      const Tensor rows = t.transpose(0, 1);
      return rows.reshape({rows.size(0), rows.numel() / std::max<int64_t>(1, rows.size(0))})
          .to(half ? at::kFloat : at::kDouble);
    };
    const Tensor ones =
        matrix_of(at::ones_like(values), a[3].toTensor(), a[4].toTensor(), input.size(1)) > 0;
    const Tensor dense = input.numel() * grad.numel() == 0
                             ? at::zeros(matrix.sizes(), input.options())
                             : torch::matmul(flat(grad), flat(input).t()).to(input.scalar_type());
    return {a[8].toBool() ? multiply(matrix.t(), grad, {}) : none,
            a[9].toBool() ? dense.masked_select(ones) : none};
  };
  for (const Shape& shape : kShapes) {
    if (shape.in == 0 || shape.out == 0) continue;  // no numbers for a differentiable zero
    Values arguments{drawn(input_shape(shape, shape.out, false), 6),
                     drawn(input_shape(shape, shape.in, false), 3), values_of(shape)};
    append(arguments, edges_of(shape));
    for (const c10::IValue& last : {c10::IValue(true), c10::IValue(true), c10::IValue(execution)}) {
      arguments.push_back(last);
    }
    op.samples.push_back({shape.name, arguments, shape.large});
  }
  Values arguments{kInput, kInput, kValues};
  append(arguments, kEdges);
  arguments.insert(arguments.end(), {true, true, "sparse"});
  op.refusals = {
      {arguments, "sparse_pointwise_backward: expected grad_output of shape [1, 2], got [1, 3]"}};
  return op;
}

// Some of the rates are 0, so that some outputs' candidates are skipped.
Tensor rates_of(int64_t out) { return drawn({out}, 8).relu(); }

// The weight in use: straight-through to candidates that are not, by the rates there are.
Tensor weight_in_use(const Tensor& weight, const Tensor& mask, const std::string& gradient,
                     const c10::IValue& rates) {
  const Tensor kept = weight * mask;
  if (gradient == "all") return straight_through(weight, kept);
  if (gradient == "kept") return kept;
  return kept + (weight - weight.detach()) * (1 - mask) *
                    rates.toTensor().detach().to(weight).unsqueeze(1);
}

Op wired_row(const std::string& name, const std::string& gradient, const std::string& execution) {
  const bool lines = name == "wired_linear";
  Op op{.name = name,
        .gradient = gradient == "kept" ? Gradient::kDerivative : Gradient::kStraightThrough,
        .launches_kernels = execution == "sparse",
        .any_threads = execution == "sparse",
        .sums = true};
  op.reference = [lines](const Values& a) -> Values {
    const Tensor input = a[0].toTensor(), weight = a[1].toTensor();
    const Tensor mask = matrix_of(at::ones(a[4].toTensor().numel(), weight.options()),
                                  a[3].toTensor(), a[4].toTensor(), weight.size(1));
    return {apply(weight_in_use(weight, mask, a[8].toStringRef(), a[10]), input, optional(a[2]),
                  lines)};
  };
  op.samples = layers(lines, {gradient, execution}, candidates_of);
  for (Sample& sample : op.samples) {
    const bool sampled = gradient == "candidates";
    const int64_t out = sample.arguments[1].toTensor().size(0);
    sample.arguments.push_back(sampled ? c10::IValue(rates_of(out)) : c10::IValue());
  }
  const auto with = [](const Tensor& weight, const std::string& word,
                       const c10::IValue& rates = {}) {
    Values arguments{kInput, weight, c10::IValue()};
    append(arguments, kEdges);
    arguments.insert(arguments.end(), {word, "sparse", rates});
    return arguments;
  };
  const std::string expected = name + ": expected ";
  op.refusals = {
      {with(kWeight.t(), "all"), expected + "weight of shape [out = 2, in = 3], got [3, 2]"},
      {with(kWeight.to(torch::kFloat), "all"), expected + "weight of dtype Double, got Float"},
      {with(kWeight, "none"), expected + "gradient `all`, `kept` or `candidates`, got `none`"},
      {with(kWeight, "candidates"), expected + "gradient_rates if gradient is `candidates`, and "
                                               "only then, got gradient `candidates`"},
      {with(kWeight, "all", rates_of(2)), expected + "gradient_rates if gradient is `candidates`, "
                                                     "and only then, got gradient `all`"},
      {with(kWeight, "candidates", rates_of(3)),
       expected + "gradient_rates of shape [2], got [3]"}};
  return op;
}

Op candidate_gradient_row() {
  Op op{.name = "candidate_gradient",
        .gradient = Gradient::kStraightThrough,  // none to the rates
        .launches_kernels = false,
        .sums = true};
  op.reference = [](const Values& a) -> Values {
    const Tensor grad = a[0].toTensor(), input = a[1].toTensor(), rates = a[2].toTensor();
    const auto wide = grad.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const auto flat = [&](const Tensor& maps) {
      int64_t columns = maps.size(0);
      for (int64_t dim = 2; dim < maps.dim(); ++dim) columns *= maps.size(dim);
      return maps.transpose(0, 1).reshape({maps.size(1), columns}).to(wide);
    };
    return {(torch::matmul(flat(grad), flat(input).t()) * rates.detach().to(wide).unsqueeze(1))
                .to(grad.scalar_type())};
  };
  for (const Shape& shape : kShapes) {
    op.samples.push_back({shape.name,
                          {drawn(input_shape(shape, shape.out, false), 6),
                           drawn(input_shape(shape, shape.in, false), 3), rates_of(shape.out)},
                          shape.large});
  }
  const std::string expected = "candidate_gradient: expected ";
  op.refusals = {{{kInput, drawn({2, 3}, 1), rates_of(3)},
                  expected + "grad_output [batch, out, ...] and input [batch, in, ...] that differ "
                             "in their channels alone, got [1, 3] and [2, 3]"},
                 {{kInput, kInput, rates_of(2)}, expected + "rates of shape [3], got [2]"},
                 {{kInput, kInput.to(torch::kFloat), rates_of(3)},
                  expected + "input of dtype Double, got Float"}};
  return op;
}

Op edge_values_row() {
  Op op{.name = "edge_values", .gradient = Gradient::kDerivative, .launches_kernels = false};
  op.reference = [](const Values& a) -> Values {
    const Tensor weight = a[0].toTensor(), columns = a[2].toTensor();
    const Tensor mask = matrix_of(at::ones(columns.numel(), weight.options()), a[1].toTensor(),
                                  columns, weight.size(1));
    return {weight.masked_select(mask > 0)};
  };
  for (const Shape& shape : kShapes) {
    const Selection edges = edges_of(shape);
    op.samples.push_back(
        {shape.name, {candidates_of(shape), edges.row_offsets, edges.columns}, shape.large});
  }
  const std::string expected = "edge_values: expected ";
  op.refusals = {{{kWeight.t(), kEdges.row_offsets, kEdges.columns},
                  expected + "weight of shape [out = 2, in = 2], got [3, 2]"},
                 {{kWeight, kEdges.row_offsets, kInput},
                  expected + "columns of shape [num_edges], got [1, 3]"},
                 {{kWeight, kEdges.row_offsets, ints({1, 0, 3})},
                  expected + "columns in [0, 3) and ascending in each list, got 3 at 2",
                  false}};
  return op;
}

Op edge_matrix_row() {
  Op op{.name = "edge_matrix", .gradient = Gradient::kDerivative, .launches_kernels = false};
  op.reference = [](const Values& a) -> Values {
    return {matrix_of(a[0].toTensor(), a[1].toTensor(), a[2].toTensor(), a[3].toInt())};
  };
  for (const Shape& shape : kShapes) {
    const Selection edges = edges_of(shape);
    op.samples.push_back(
        {shape.name, {values_of(shape), edges.row_offsets, edges.columns, shape.in}, shape.large});
  }
  const std::string expected = "edge_matrix: expected ";
  op.refusals = {{{kValues.slice(0, 1), kEdges.row_offsets, kEdges.columns, 3},
                  expected + "values of shape [num_edges = 3], got [2]"},
                 {{kValues, kEdges.row_offsets, kEdges.columns, -1},
                  expected + "in_channels of at least 0, got -1"},
                 {{kValues, kEdges.row_offsets, kEdges.columns, 2},
                  expected + "columns in [0, 2) and ascending in each list, got 2 at 2",
                  false}};
  return op;
}

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
          {with(10, "layer"), expected + "norm `instance`, `batch` or `given`, got `layer`"},
          {with_stride(-1, 2), expected + "entry_stride of at least 0, got -1"},
          {with_stride(1, 0), expected + "an entry to have channels, got input of none"},
          {with_stride(1, 2),
           expected + "a column of weight for each of 11 channels that send, got weight of shape "
                      "[9, 9]"}};
}

Op blocks_row(const std::string& norm, const std::string& gradient, const std::string& execution) {
  Op op{.name = "wired_blocks",
        .gradient = gradient == "kept" ? Gradient::kDerivative : Gradient::kStraightThrough,
        .launches_kernels = execution == "sparse",
        .steps = 20,  // a norm divides by what may be small
        .untold = 1,  // the state
        .any_threads = execution == "sparse",
        .sums = true};
  if (norm == "given") op.gradient = Gradient::kStraightThrough;  // none to the statistics
  op.reference = blocks_reference;
  op.refusals = refused_blocks();
  for (const Network& network : kNetworks) {
    const auto add = [&](const std::string& name, int64_t batch, std::vector<int64_t> map,
                         bool structure = true) {
      Values arguments = blocks_of(network, batch, map, norm, structure);
      const bool sampled = gradient == "candidates";
      const auto rates = sampled ? c10::IValue(rates_of(network.channels)) : c10::IValue();
      arguments.insert(arguments.end(), {gradient, execution, rates, network.entry_stride});
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

std::vector<Op> wired_rows() {
  std::vector<Op> rows;
  for (const char* execution : {"sparse", "dense"}) {
    rows.push_back(sparse_row("sparse_linear", execution));
    rows.push_back(sparse_row("sparse_pointwise", execution));
    rows.push_back(sparse_backward_row(execution));
    for (const char* gradient : {"all", "kept", "candidates"}) {
      rows.push_back(wired_row("wired_linear", gradient, execution));
      rows.push_back(wired_row("wired_pointwise", gradient, execution));
    }
  }
  rows.push_back(blocks_row("instance", "all", "sparse"));
  rows.push_back(blocks_row("instance", "kept", "dense"));
  rows.push_back(blocks_row("batch", "kept", "sparse"));
  rows.push_back(blocks_row("batch", "all", "dense"));
  rows.push_back(blocks_row("given", "kept", "sparse"));
  rows.push_back(blocks_row("instance", "candidates", "sparse"));
  rows.push_back(blocks_row("batch", "candidates", "dense"));
  rows.push_back(candidate_gradient_row());
  rows.push_back(edge_values_row());
  rows.push_back(edge_matrix_row());
  return rows;
}

}  // namespace rewire::test
