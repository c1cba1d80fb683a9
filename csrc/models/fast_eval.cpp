#include "models/fast_eval.h"

#include <torch/torch.h>

#include "models/neurons.h"
#include "models/wiring.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;
using at::Tensor;

jit::Module child(const jit::Module& module, const std::string& name) {
  return module.attr(name).toModule();
}
Tensor tensor(const jit::Module& module, const std::string& name) {
  return module.attr(name).toTensor();
}

// The places of true in a mask, at least one: a layer of no channels is no layer.
Tensor kept(const Tensor& mask) {
  const Tensor places = mask.nonzero().squeeze(1);
  return places.numel() > 0 ? places : torch::zeros({1}, at::kLong);
}

// Sets a module's tensor to some of its slices.
void cut(jit::Module module, const std::string& name, int64_t dim, const Tensor& places) {
  const Tensor whole = tensor(module, name);
  const Tensor part =
      whole.detach().index_select(dim, places).requires_grad_(whole.requires_grad());
  module.setattr(name, part);
}
void cut_norm(const jit::Module& norm, const Tensor& places) {
  for (const char* name : {"weight", "bias", "running_mean", "running_var"}) {
    cut(norm, name, 0, places);
  }
}
void cut_depthwise(jit::Module conv, const Tensor& places) {
  cut(conv, "weight", 0, places);
  conv.setattr("groups", places.numel());
}

// What a channel that is 0 everywhere becomes behind a norm and ReLU, [channels] in float64.
Tensor norm_of_zero(const jit::Module& norm) {
  const auto of = [&](const char* name) { return tensor(norm, name).detach().to(at::kDouble); };
  const Tensor scale = of("weight") / (of("running_var") + 1e-5).sqrt();
  return torch::relu(of("bias") - of("running_mean") * scale);
}

// The candidates as evaluation uses them.
Tensor weights_of(const Model& model, const Wiring& wiring) {
  const at::NoGradGuard no_grad;
  return wiring_module(model, wiring).get_method("candidates")({}).toTensor().detach().clone();
}

// Counts a layer with `left` of its channels.
void scale(Layer& layer, int64_t left, int64_t of) {
  layer.parameters = layer.parameters / of * left;
  layer.macs = layer.macs / of * left;
}

// The channels of a stage that are left.
struct StageCut {
  Tensor inputs, inner, outputs;
};

// Cuts stage `index`, built whole, to what is left of it, with the edges of `model`.
void cut_stage(const Model& model, Model& pruned, int64_t index, const StageCut& left) {
  const Wiring& wiring = model.wirings[index];
  const Tensor weight = weights_of(model, wiring), edges = edges_kept(model, wiring);
  jit::Module stage = child(child(pruned.module, "layers"), std::to_string(index));
  const int64_t in = wiring.groups[0], out = wiring.outputs;
  const int64_t inner = weight.size(0) - out;  // of the outputs, those that are inputs too
  cut_depthwise(child(child(stage, "downsample"), "0"), left.inputs);
  cut_norm(child(child(stage, "norm"), "0"), left.inputs);
  std::vector<int64_t> ends, targets;
  int64_t end = 0;
  for (size_t group = 1; group < wiring.groups.size(); ++group) {
    const int64_t begin = int64_t(group - 1) * out;
    const Tensor own =
        left.inner.masked_select((left.inner >= begin).logical_and(left.inner < begin + out));
    cut_norm(child(child(stage, "norm"), std::to_string(group)), own - begin);
    end += own.numel();
    if (own.numel() == 0) continue;  // a block that nothing reads
    ends.push_back(end);
    targets.push_back(end);
  }
  if (inner > 0) cut_depthwise(child(stage, "conv"), left.inner);
  stage.setattr("ends", c10::List<int64_t>(ends));
  stage.setattr("targets", c10::List<int64_t>(targets));
  const Tensor rows = torch::cat({left.inner, left.outputs + inner});
  const Tensor columns = torch::cat({left.inputs, left.inner + in});
  const auto part = [&](const Tensor& matrix) {
    return matrix.index_select(0, rows).index_select(1, columns);
  };
  fix_wiring(child(stage, "graph"), part(weight), part(edges));
  Wiring& counted = pruned.wirings[index];
  counted.readable = part(counted.readable);
  counted.outputs = left.outputs.numel();
  counted.groups = {left.inputs.numel()};
  counted.first_target = left.inputs.numel();
  for (size_t i = 0; i < ends.size(); ++i) {
    counted.groups.push_back(ends[i] - (i == 0 ? 0 : ends[i - 1]));
  }
  scale(pruned.layers[index + 1], columns.numel(), weight.size(1));
}

void remove_dead(const Model& model, Model& pruned,
                 const WiredMobileNetV1Description& description) {
  const int64_t stages = int64_t(model.wirings.size()) - (description.small ? 1 : 0);
  std::vector<StageCut> left;
  for (int64_t i = 0; i < stages; ++i) {
    const Alive alive = alive_channels(model, model.wirings[i]);
    left.push_back({kept(alive.inputs), alive.inner.nonzero().squeeze(1), kept(alive.outputs)});
  }
  for (int64_t i = 0; i + 1 < stages; ++i) left[i].outputs = left[i + 1].inputs;

  jit::Module& net = pruned.module;
  cut(child(net, "conv1"), "weight", 0, left[0].inputs);
  scale(pruned.layers[0], left[0].inputs.numel(), model.wirings[0].groups[0]);
  for (int64_t i = 0; i < stages; ++i) cut_stage(model, pruned, i, left[i]);

  const Tensor& outputs = left.back().outputs;
  scale(pruned.layers[stages + 1], outputs.numel(), model.wirings[stages - 1].outputs);  // the pool
  jit::Module linear = child(net, "linear");
  Tensor constant = norm_of_zero(child(net, "bn"));
  constant.index_fill_(0, outputs, 0);  // those stay
  cut_norm(child(net, "bn"), outputs);
  Tensor weight;
  if (description.small) {
    const Wiring& wiring = model.wirings.back();
    const Tensor edges = edges_kept(model, wiring);
    weight = weights_of(model, wiring);
    fix_wiring(child(linear, "graph"), weight.index_select(1, outputs),
               edges.index_select(1, outputs));
    weight = weight.flatten(1) * edges;
    pruned.wirings.back().readable = pruned.wirings.back().readable.index_select(1, outputs);
    pruned.wirings.back().groups = {outputs.numel()};
  } else {
    weight = tensor(linear, "weight").detach();
    cut(linear, "weight", 1, outputs);
    scale(pruned.layers.back(), outputs.numel(), constant.numel());
  }
  const Tensor bias =
      tensor(linear, "bias").detach().to(at::kDouble) + weight.to(at::kDouble).matmul(constant);
  linear.setattr("bias", bias.to(weight.scalar_type()).requires_grad_());
}

}  // namespace

Alive alive_channels(const Model& model, const Wiring& wiring) {
  const Tensor edges = edges_kept(model, wiring);
  const Tensor senders = edges.any(0), receivers = edges.any(1);
  const int64_t in = wiring.groups[0];
  return {senders.slice(0, 0, in), senders.slice(0, in),
          receivers.slice(0, receivers.size(0) - wiring.outputs), senders};
}

Model fast_eval(const Model& model, const Description& description, const data::ImageSpec& spec) {
  const at::NoGradGuard no_grad;
  if (const auto* neurons = std::get_if<NeuronsDescription>(&description)) {
    return fast_eval_neurons(model, *neurons);
  }
  Description fixed = description;
  std::visit(
      [](auto& family) {
        if constexpr (requires { family.wiring; }) family.wiring.kind = kFixed;
      },
      fixed);
  Model pruned = build(fixed, spec, 0);
  const auto tensors = script::named_tensors(model.module);
  std::map<std::string, Tensor> own;
  for (const auto& [name, tensor] : script::named_tensors(pruned.module)) own[name] = tensor;
  for (const auto& [name, tensor] : tensors) {
    if (const auto found = own.find(name); found != own.end()) found->second.copy_(tensor);
  }
  if (const auto* family = std::get_if<WiredMobileNetV1Description>(&description)) {
    remove_dead(model, pruned, *family);
  } else {
    for (const Wiring& wiring : model.wirings) {
      fix_wiring(wiring_module(pruned, wiring), weights_of(model, wiring),
                 edges_kept(model, wiring));
    }
  }
  pruned.module.eval();
  return pruned;
}

}  // namespace rewire::models
