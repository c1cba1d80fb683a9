#include "rows.h"

#include <torch/torch.h>

#include <string>

#include "support/reference.h"

namespace rewire::test {
namespace {

using at::Tensor;
using ops::Selection;

// Layers of `in` to `out` channels with `edges` edges, and inputs of one batch and map size.
struct Shape {
  std::string name;
  int64_t batch, in, out, edges;
  std::vector<int64_t> places;
  bool large = false;
};

// Maps of whole tiles, of parts, of a place each; more columns than a tile and fewer; more channels
// than a panel or a block, and columns than a share or all shares; none of anything.
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
                                    {"several panels", 3, 300, 20, 900, {3}, true},
                                    {"several blocks", 4, 3, 516, 700, {8, 8}, true},
                                    {"many lines", 300, 5, 6, 9, {}, true},
                                    {"many columns", 1, 2, 2, 3, {8451}, true}};

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
    const Tensor grad = a[0].toTensor(), input = a[1].toTensor();
    const Tensor rates = a[2].isNone() ? torch::ones({grad.size(1)}) : a[2].toTensor();
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
    const Tensor grad = drawn(input_shape(shape, shape.out, false), 6);
    const Tensor input = drawn(input_shape(shape, shape.in, false), 3);
    op.samples.push_back({shape.name, {grad, input, rates_of(shape.out)}, shape.large});
    op.samples.push_back({shape.name + ", all", {grad, input, c10::IValue()}, shape.large});
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

}  // namespace

Tensor drawn(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

Tensor rates_of(int64_t out) { return drawn({out}, 8).relu(); }

Tensor weight_in_use(const Tensor& weight, const Tensor& mask, const std::string& gradient,
                     const c10::IValue& rates) {
  const Tensor kept = weight * mask;
  if (gradient == "all") return straight_through(weight, kept);
  if (gradient == "kept") return kept;
  return kept + (weight - weight.detach()) * (1 - mask) *
                    rates.toTensor().detach().to(weight).unsqueeze(1);
}

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
  rows.push_back(candidate_gradient_row());
  rows.push_back(edge_values_row());
  rows.push_back(edge_matrix_row());
  return rows;
}

}  // namespace rewire::test
