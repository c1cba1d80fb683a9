// What every op owes, checked for any op from one description of it. tests/ops/every_op_test.cpp
// holds the table of ops and runs each check below as a test of its own.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "support/op_values.h"

namespace rewire::test {

struct Sample {
  std::string name;
  Values arguments;    // as the schema has them, without trailing defaults; weights in float64
  bool large = false;  // so that threads share the work; the emulation runs it once
};

struct Refusal {
  Values arguments;
  std::string message;
  bool everywhere = true;  // false where a value or a device is at fault
};

enum class Gradient {
  kNone,             // no output ever requires one
  kRefused,          // asking for one is an error
  kStraightThrough,  // as the reference has it, which is no derivative
  kDerivative,       // that of the reference, and of the function itself
};

struct Op {
  std::string name;  // without "rewire::"
  Gradient gradient = Gradient::kNone;
  bool launches_kernels = true;  // on CUDA, kernels of ours; or else torch's alone
  int steps = 1;                 // of rounding, where results are sums of sums
  int untold = 0;                // last results that the reference does not give
  bool any_threads = true;       // the same bits at every number of threads, or at each
  bool sums = false;             // results are rounded sums: close to the reference, not the same
  // Slow, obvious and differentiable, of torch's own ops alone; it returns the results' dtypes.
  std::function<Values(const Values&)> reference;
  std::vector<Sample> samples;
  std::vector<Refusal> refusals;
};

void PrintTo(const Op& op, std::ostream* out);

// The op by its name, through the dispatcher.
Values call(const Op& op, Values arguments);

void check_values(const Op& op);       // of the reference, at every dtype; in InferenceMode too
void check_layouts(const Op& op);      // any strides, offset and expansion: the same bits
void check_gradients(const Op& op);    // of the reference, and by differences in float64
void check_shapes(const Op& op);       // Meta: what the CPU gives, without its values
void check_refusals(const Op& op);     // the message; in InferenceMode, on Meta and CUDA too
void check_purity(const Op& op);       // changes no argument and returns none
void check_determinism(const Op& op);  // by threads; every output written in full
// The bits of the CPU, or of other sums close to its own; the same in every order of threads. And
// the gradients.
void check_emulated_cuda(const Op& op);
void check_cuda(const Op& op);  // the same on a GPU, where there is one

}  // namespace rewire::test
