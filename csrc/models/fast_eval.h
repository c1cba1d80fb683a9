// Fast evaluation: a network without its dead channels, whose wiring no longer changes.
// Source: Wortsman, Farhadi, Rastegari 2019, section 4.2, and its published code.
#pragma once

#include <vector>

#include "models/model.h"

namespace rewire::models {

// Which channels of one wired layer an edge touches; bool.
struct Alive {
  at::Tensor inputs;   // of the first group of its inputs: those that send
  at::Tensor inner;    // of the inputs behind: those that send
  at::Tensor outputs;  // of the last group of its outputs: those that receive
  at::Tensor senders;  // inputs and inner
};
Alive alive_channels(const Model& model, const Wiring& wiring);

// The network of `description` in evaluation mode with the wiring that `model`, on the CPU, has
// now, fixed. A wired MobileNetV1 loses the channels that nothing reads; what its dead outputs add
// to the logits, which is constant, goes to the classifier's bias: the logits are the same. A graph
// of neurons loses those from which no path leads to an output.
Model fast_eval(const Model& model, const Description& description, const data::ImageSpec& spec);

}  // namespace rewire::models
