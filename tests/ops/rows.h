// Rows of the table of ops, by subject, and what they are made with.
#pragma once

#include <string>
#include <vector>

#include "support/op_harness.h"

namespace rewire::test {

std::vector<Op> wired_rows();   // layers whose edges are data
std::vector<Op> blocks_rows();  // blocks of such layers that share a state
std::vector<Op> ode_rows();     // a solver's step
std::vector<Op> neuron_rows();  // graphs of neurons

// Normal random numbers in float64.
at::Tensor drawn(at::IntArrayRef shape, uint64_t seed);
// Rates of outputs, some of which are 0, so that those outputs' candidates are skipped.
at::Tensor rates_of(int64_t out);
// The weight in use: straight-through to candidates that are not, by the rates there are.
at::Tensor weight_in_use(const at::Tensor& weight, const at::Tensor& mask,
                         const std::string& gradient, const c10::IValue& rates);

}  // namespace rewire::test
