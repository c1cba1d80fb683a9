// neuron_graph: a graph of neurons on a batch of samples. Contract: rewire.h.
#include "ops/neuron_graph.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/dispatch.h"
#include "ops/pointwise.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Given = std::optional<Tensor>;

NeuronOutputs neurons_meta(const Tensor& input, const Tensor& weight, const Tensor& bias,
                           at::TensorList structure, const Given& mask, const Given& keep,
                           std::string_view gradient, bool keep_state) {
  check_neuron_graph({weight, structure, mask, gradient}, input, bias, keep);
  return {at::empty_symint({input.sym_size(0), structure[9].sym_size(0)}, weight.options()),
          at::empty_symint(state_sizes(structure[0].sym_size(0), input.sym_size(0), keep_state),
                           weight.options().dtype(summing_dtype(weight)))};
}

NeuronGradientOutputs neurons_backward_meta(const Tensor& grad_output, const Tensor& weight,
                                            at::TensorList structure, const Tensor& state,
                                            const Given& mask, std::string_view gradient,
                                            c10::SymInt num_inputs, bool to_input, bool to_weight) {
  check_neuron_graph_backward({weight, structure, mask, gradient}, grad_output, state);
  const auto like = [&](bool asked, std::vector<c10::SymInt> sizes) {
    return at::empty_symint(asked ? sizes : std::vector<c10::SymInt>{0}, weight.options());
  };
  return {like(to_input, {grad_output.sym_size(0), num_inputs}),
          like(to_weight, {weight.sym_size(0)}), like(to_weight, {structure[0].sym_size(0)})};
}

NeuronOutputs call_neurons(const Tensor& input, const Tensor& weight, const Tensor& bias,
                           at::TensorList structure, const Given& mask, const Given& keep,
                           std::string_view gradient, bool keep_state) {
  static const auto op = find_op<decltype(neurons_meta)>("rewire::neuron_graph");
  return op.call(input, weight, bias, structure, mask, keep, gradient, keep_state);
}

NeuronGradientOutputs call_neurons_backward(const Tensor& grad_output, const Tensor& weight,
                                            at::TensorList structure, const Tensor& state,
                                            const Given& mask, std::string_view gradient,
                                            c10::SymInt num_inputs, bool to_input, bool to_weight) {
  static const auto op =
      find_op<NeuronGradientOutputs(const Tensor&, const Tensor&, at::TensorList, const Tensor&,
                                    const Given&, std::string_view, c10::SymInt, bool, bool)>(
          "rewire::neuron_graph_backward");
  return op.call(grad_output, weight, structure, state, mask, gradient, num_inputs, to_input,
                 to_weight);
}

struct Neurons : torch::autograd::Function<Neurons> {
  static variable_list forward(AutogradContext* ctx, const Tensor& input, const Tensor& weight,
                               const Tensor& bias, const std::vector<Tensor>& structure,
                               const Given& mask, const Given& keep, std::string_view gradient) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [output, state] =
        call_neurons(input, weight, bias, structure, mask, keep, gradient, true);
    variable_list saved{weight, state, mask.value_or(Tensor())};
    saved.insert(saved.end(), structure.begin(), structure.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["gradient"] = std::string(gradient);
    ctx->saved_data["num_inputs"] = input.sym_size(1);
    ctx->mark_non_differentiable({state});
    ctx->set_materialize_grads(false);  // the state is large, and has no gradient
    return {output, state};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    variable_list results(7);
    if (!grads[0].defined()) return results;
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<Tensor> structure(saved.begin() + 3, saved.end());
    const bool to_input = ctx->needs_input_grad(0);
    const bool to_weight = ctx->needs_input_grad(1) || ctx->needs_input_grad(2);
    const auto [input, weight, bias] = call_neurons_backward(
        grads[0], saved[0], structure, saved[1], saved[2].defined() ? Given(saved[2]) : Given(),
        ctx->saved_data["gradient"].toStringRef(), ctx->saved_data["num_inputs"].toSymInt(),
        to_input, to_weight);
    if (to_input) results[0] = input;
    if (to_weight) {
      results[1] = weight;
      results[2] = bias;
    }
    return results;
  }
};

NeuronOutputs neurons_autograd(const Tensor& input, const Tensor& weight, const Tensor& bias,
                               at::TensorList structure, const Given& mask, const Given& keep,
                               std::string_view gradient, bool keep_state) {
  if (!keep_state) {
    for (const Tensor& tensor : {input, weight, bias}) {
      TORCH_CHECK(!at::GradMode::is_enabled() || !tensor.requires_grad(), kNeuronGraph,
                  ": without keep_state there is no gradient: call it under torch.no_grad()");
    }
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    return call_neurons(input, weight, bias, structure, mask, keep, gradient, false);
  }
  const auto out = Neurons::apply(input, weight, bias, structure.vec(), mask, keep, gradient);
  return {out[0], out[1]};
}

// Its derivative is not there: better no answer than 0.
struct NeuronsBackward : torch::autograd::Function<NeuronsBackward> {
  static variable_list forward(AutogradContext*, const Tensor& grad_output, const Tensor& weight,
                               const std::vector<Tensor>& structure, const Tensor& state,
                               const Given& mask, std::string_view gradient, c10::SymInt num_inputs,
                               bool to_input, bool to_weight) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto grads = call_neurons_backward(grad_output, weight, structure, state, mask, gradient,
                                             num_inputs, to_input, to_weight);
    return {std::get<0>(grads), std::get<1>(grads), std::get<2>(grads)};
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK(false, "neuron_graph_backward: has no derivative: neuron_graph can be ",
                "differentiated once");
  }
};

NeuronGradientOutputs neurons_backward_autograd(const Tensor& grad_output, const Tensor& weight,
                                                at::TensorList structure, const Tensor& state,
                                                const Given& mask, std::string_view gradient,
                                                c10::SymInt num_inputs, bool to_input,
                                                bool to_weight) {
  const auto grads = NeuronsBackward::apply(grad_output, weight, structure.vec(), state, mask,
                                            gradient, num_inputs, to_input, to_weight);
  return {grads[0], grads[1], grads[2]};
}

}  // namespace

NeuronOutputs neuron_graph(const Tensor& input, const Tensor& weight, const Tensor& bias,
                           const NeuronStructure& structure, const Given& mask, const Given& keep,
                           std::string_view gradient, bool keep_state) {
  return call_neurons(input, weight, bias, as_list(structure), mask, keep, gradient, keep_state);
}

TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("neuron_graph", neurons_meta);
  m.impl("neuron_graph_backward", neurons_backward_meta);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) {
  m.impl("neuron_graph", neurons_autograd);
  m.impl("neuron_graph_backward", neurons_backward_autograd);
}

}  // namespace rewire::ops
