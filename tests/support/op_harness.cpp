#include "support/op_harness.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include "ops/gpu.h"
#include "support/cuda/on_emulation.h"
#include "support/error.h"
#include "support/golden.h"
#include "support/op_values.h"

namespace rewire::test {
namespace {

using at::Tensor;

constexpr at::ScalarType kDtypes[] = {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16};

// Of a sum of a few hundred terms of one size, relative to the largest result: about ten times the
// dtype's rounding; the CPU sums half types in float32 and rounds once.
double rounding(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return 1e-14;
    case at::kFloat:
      return 2e-6;
    case at::kHalf:
      return 2e-3;
    default:
      return 2e-2;  // bfloat16
  }
}

void expect_values(const Op& op, const Values& actual, const Values& expected) {
  const auto a = tensors(actual);
  const auto b = tensors(expected);
  ASSERT_LE(b.size(), a.size());
  ASSERT_LE(a.size(), b.size() + op.untold);
  for (size_t i = 0; i < b.size(); ++i) {
    SCOPED_TRACE(i);
    if (op.sums && a[i].is_floating_point()) {
      EXPECT_EQ(a[i].scalar_type(), b[i].scalar_type());
      EXPECT_TRUE(same(a[i], b[i]) ||  // NaN too
                  close(a[i], b[i], op.steps * rounding(a[i].scalar_type())));
    } else {
      EXPECT_TRUE(same(a[i], b[i]));
    }
  }
}

// Calls f with each sample, and says which it was where f fails.
template <typename F>
void for_each_sample(const Op& op, F&& f) {
  for (const Sample& sample : op.samples) {
    SCOPED_TRACE(op.name + ", " + sample.name);
    f(sample);
  }
}

template <typename F>
void for_each_sample_and_dtype(const Op& op, F&& f) {
  for_each_sample(op, [&](const Sample& sample) {
    for (const auto dtype : kDtypes) {
      SCOPED_TRACE(toString(dtype));
      f(to(sample.arguments, dtype));
    }
  });
}

Values leaves(const Values& arguments) {
  return map_tensors(arguments, [](const Tensor& t) {
    return t.is_floating_point() ? t.detach().clone().requires_grad_() : t;
  });
}

// Gradients of the outputs weighted by `weights`, with respect to the floating arguments; an
// undefined one is zero.
std::vector<Tensor> gradients(const Values& outputs, const Values& arguments,
                              const std::vector<Tensor>& weights) {
  std::vector<Tensor> roots, root_gradients, inputs;
  const auto found = tensors(outputs);
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i].requires_grad()) continue;
    roots.push_back(found[i]);
    root_gradients.push_back(weights[i]);
  }
  for (const Tensor& t : tensors(arguments)) {
    if (t.is_floating_point()) inputs.push_back(t);
  }
  auto grads = torch::autograd::grad(roots, inputs, root_gradients, true, false, true);
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) grads[i] = at::zeros_like(inputs[i]);
  }
  return grads;
}

// Weights for the outputs of one call, which differ from entry to entry.
std::vector<Tensor> some_weights(const Values& outputs, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  std::vector<Tensor> weights;
  for (const Tensor& t : tensors(outputs)) {
    weights.push_back(at::randn(t.sizes(), generator, at::kDouble).to(t.options()));
  }
  return weights;
}

bool has_gradient(const Op& op) {
  return op.gradient != Gradient::kNone && op.gradient != Gradient::kRefused;
}

// Those of a call with arguments in float64.
std::vector<Tensor> gradients_of(const Op& op, const Values& arguments) {
  const Values variables = leaves(arguments);
  const Values outputs = call(op, variables);
  return gradients(outputs, variables, some_weights(outputs, 1));
}

void expect_gradients(const Op& op, const std::vector<Tensor>& actual,
                      const std::vector<Tensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(close(actual[i], expected[i], op.sums ? op.steps * rounding(at::kDouble) : 0))
        << "gradient of input " << i;
  }
}

// d sum(f(x) * weights) / dx by differences, in float64.
void expect_derivative(const Op& op, const Values& arguments) {
  constexpr double kStep = 1e-6;
  const Values variables = leaves(arguments);
  const Values outputs = call(op, variables);
  const auto weights = some_weights(outputs, 3);
  std::vector<bool> differentiable;
  for (const Tensor& t : tensors(outputs)) differentiable.push_back(t.requires_grad());
  const auto grads = gradients(outputs, variables, weights);
  const auto weighted = [&] {
    const c10::InferenceMode no_gradient;
    const auto found = tensors(call(op, variables));
    double sum = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      if (differentiable[i]) sum += (found[i] * weights[i]).sum().item<double>();
    }
    return sum;
  };
  size_t input = 0;
  for (const Tensor& t : tensors(variables)) {
    if (!t.is_floating_point()) continue;
    double* const values = t.mutable_data_ptr<double>();
    const Tensor grad = grads[input++].contiguous();
    for (int64_t i = 0; i < t.numel(); ++i) {
      const double value = values[i];
      values[i] = value + kStep;
      const double above = weighted();
      values[i] = value - kStep;
      const double below = weighted();
      values[i] = value;
      const double difference = (above - below) / (2 * kStep);
      EXPECT_NEAR(grad.const_data_ptr<double>()[i], difference,
                  1e-6 * std::max(1.0, std::abs(difference)))
          << "input " << input - 1 << ", entry " << i;
    }
  }
}

// Asked before any test lets LibTorch find that there is none.
const std::string kNoGpu = ops::load_gpu();

}  // namespace

void PrintTo(const Op& op, std::ostream* out) { *out << op.name; }

Values call(const Op& op, Values arguments) {
  const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow(("rewire::" + op.name).c_str(), "");
  const auto& schema = handle.schema().arguments();
  for (size_t i = arguments.size(); i < schema.size(); ++i) {
    arguments.push_back(schema[i].default_value().value());
  }
  handle.callBoxed(&arguments);
  return arguments;
}

void check_values(const Op& op) {
  bool any_empty = false;
  for_each_sample_and_dtype(op, [&](const Values& arguments) {
    const Values expected = op.reference(arguments);
    expect_values(op, call(op, arguments), expected);
    const c10::InferenceMode guard;
    expect_values(op, call(op, arguments), expected);
    any_empty |= tensors(arguments)[0].numel() == 0;
  });
  EXPECT_TRUE(any_empty) << "no sample of " << op.name << " is empty";
}

void check_layouts(const Op& op) {
  for_each_sample_and_dtype(op, [&](const Values& arguments) {
    const Values expected = call(op, arguments);
    const Values elsewhere = map_tensors(arguments, scattered);
    ASSERT_TRUE(tensors(elsewhere)[0].numel() < 2 || !tensors(elsewhere)[0].is_contiguous());
    expect_same_bits(call(op, elsewhere), expected);

    const Values rows = map_tensors(arguments, expanded);
    const Values copies = map_tensors(rows, [](const Tensor& t) { return t.contiguous(); });
    expect_same_bits(call(op, rows), call(op, copies));
  });
}

void check_gradients(const Op& op) {
  for_each_sample(op, [&](const Sample& sample) {
    const Values variables = leaves(sample.arguments);
    if (op.gradient == Gradient::kRefused) {
      const std::string message = error_of([&] { call(op, variables); });
      EXPECT_NE(message.find("there is no gradient"), std::string::npos) << message;
      return;
    }
    const Values outputs = call(op, variables);
    if (op.gradient == Gradient::kNone) {
      for (const Tensor& t : tensors(outputs)) EXPECT_FALSE(t.requires_grad());
      return;
    }
    const Values expected = op.reference(variables);
    const auto weights = some_weights(outputs, 1);
    const auto grads = gradients(outputs, variables, weights);
    const auto expected_grads = gradients(expected, variables, weights);
    expect_gradients(op, grads, expected_grads);
    if (op.gradient == Gradient::kDerivative && tensors(sample.arguments)[0].numel() < 1000) {
      expect_derivative(op, sample.arguments);
    }
  });
}

void check_shapes(const Op& op) {
  for_each_sample_and_dtype(op, [&](const Values& arguments) {
    const auto expected = tensors(call(op, arguments));
    const auto shapes = tensors(call(op, to(arguments, at::Device(at::kMeta))));
    ASSERT_EQ(shapes.size(), expected.size());
    for (size_t i = 0; i < shapes.size(); ++i) {
      EXPECT_TRUE(shapes[i].is_meta());
      EXPECT_EQ(shapes[i].sizes(), expected[i].sizes());
      EXPECT_EQ(shapes[i].strides(), expected[i].strides());
      EXPECT_EQ(shapes[i].scalar_type(), expected[i].scalar_type());
    }
  });
}

void check_refusals(const Op& op) {
  EXPECT_FALSE(op.refusals.empty());
  for (const Refusal& refusal : op.refusals) {
    const auto message = [&](const Values& arguments) {
      return error_of([&] { call(op, arguments); });
    };
    EXPECT_EQ(message(refusal.arguments), refusal.message);
    {
      const c10::InferenceMode guard;
      EXPECT_EQ(message(refusal.arguments), refusal.message);
    }
    if (!refusal.everywhere) continue;
    EXPECT_EQ(message(to(refusal.arguments, at::Device(at::kMeta))), refusal.message);
    const OnEmulation emulation;
    EXPECT_EQ(message(refusal.arguments), refusal.message);
  }
}

void check_purity(const Op& op) {
  for_each_sample_and_dtype(op, [&](const Values& arguments) {
    const Values before = map_tensors(arguments, [](const Tensor& t) { return t.clone(); });
    const Values outputs = call(op, arguments);
    expect_same_bits(arguments, before);
    for (const Tensor& output : tensors(outputs)) {
      EXPECT_TRUE(output.is_contiguous());
      for (const Tensor& argument : tensors(arguments)) {
        EXPECT_TRUE(output.numel() == 0 || !output.is_alias_of(argument));
      }
    }
  });
}

void check_determinism(const Op& op) {
  const int threads = at::get_num_threads();
  for_each_sample_and_dtype(op, [&](const Values& arguments) {
    at::set_num_threads(1);
    Values expected = call(op, arguments);
    at::set_num_threads(3);
    if (!op.any_threads) {  // in another order, but always the same one
      expect_values(op, call(op, arguments), expected);
      expected = call(op, arguments);
    }
    expect_same_bits(call(op, arguments), expected);
    // New memory is filled with a pattern: an output that is not written in full shows it.
    at::globalContext().setDeterministicAlgorithms(true, false);
    expect_same_bits(call(op, arguments), expected);
    at::globalContext().setDeterministicAlgorithms(false, false);
  });
  at::set_num_threads(threads);
}

void check_emulated_cuda(const Op& op) {
  int64_t launches = 0;
  at::globalContext().setDeterministicAlgorithms(true, false);  // as in check_determinism
  const auto emulated = [&](const Values& arguments, Order order) {
    const OnEmulation emulation(order, 7);
    const Values results = call(op, arguments);
    launches += emulation.launches();
    return results;
  };
  for_each_sample(op, [&](const Sample& sample) {
    for (const auto dtype : kDtypes) {
      if (sample.large && dtype != at::kFloat) continue;
      SCOPED_TRACE(toString(dtype));
      const Values arguments = to(sample.arguments, dtype);
      const Values expected = call(op, arguments);
      const Values results = emulated(arguments, Order::kShuffled);
      op.sums ? expect_values(op, results, expected) : expect_same_bits(results, expected);
      // An order is one of threads, whatever they compute with: one dtype tells.
      if (sample.large || dtype != at::kFloat) continue;
      expect_same_bits(emulated(arguments, Order::kForward), results);
      expect_same_bits(emulated(map_tensors(arguments, scattered), Order::kBackward), results);
    }
    if (!has_gradient(op) || sample.large) return;
    const auto expected = gradients_of(op, sample.arguments);
    const OnEmulation emulation(Order::kShuffled, 7);
    expect_gradients(op, gradients_of(op, sample.arguments), expected);
  });
  at::globalContext().setDeterministicAlgorithms(false, false);
  EXPECT_EQ(launches > 0, op.launches_kernels);
}

void check_cuda(const Op& op) {
  if (!REWIRE_WITH_CUDA) GTEST_SKIP() << "built without CUDA kernels";
  if (!kNoGpu.empty()) GTEST_SKIP() << kNoGpu;
  for_each_sample_and_dtype(op, [&](const Values& arguments) {
    const Values expected = call(op, arguments);
    const Values on_gpu = to(arguments, at::Device(at::kCUDA));
    const auto results_of = [&](const Values& given) {
      return to(call(op, given), at::Device(at::kCPU));
    };
    const Values first = results_of(on_gpu);
    op.sums ? expect_values(op, first, expected) : expect_same_bits(first, expected);
    for (int run = 0; run < 3; ++run) expect_same_bits(results_of(on_gpu), first);
    expect_same_bits(results_of(map_tensors(on_gpu, scattered)), first);
    if (!has_gradient(op) || tensors(arguments)[0].scalar_type() != at::kDouble) return;
    auto on_cpu = gradients_of(op, on_gpu);
    for (Tensor& gradient : on_cpu) gradient = gradient.cpu();
    expect_gradients(op, on_cpu, gradients_of(op, arguments));
  });
}

}  // namespace rewire::test
