// MobileNetV1-like networks whose 1x1 convolutions are wired.
#pragma once

#include "models/model.h"

namespace rewire::models {

// `depth` convolutions of `in` and of `out` channels, the first with `stride`; one graph.
struct StageShape {
  int64_t in = 0;
  int64_t out = 0;
  int64_t stride = 1;
  int64_t depth = 1;
};

// The prune rate of a stage's graph: it has as many edges as MobileNetV1 of width 1 - prune_rate,
//   1 - (1 - prune_rate)^2 (in out + (depth - 1) out^2) / ((in + (depth - 1) out) depth out)
double stage_prune_rate(const StageShape& shape, double prune_rate);

// A module [batch, in, h, w] -> [batch, out, h / stride, w / stride], rounded up; published names:
// downsample.0, conv (where depth > 1), norm.{i}, graph. The rule's prune rate is the stage's own.
torch::jit::Module wired_stage(const StageShape& shape, const WiringDescription& rule,
                               at::Generator& generator);

// Names of parameters and buffers are the published ones: conv1, layers.{b}, bn, linear.
// Source: Wortsman, Farhadi, Rastegari 2019, section 4.2, and its published code.
Model build_wired_mobilenet_v1(const WiredMobileNetV1Description& description,
                               const data::ImageSpec& spec, at::Generator& generator);

}  // namespace rewire::models
