// What the `model` section of an experiment says. Plain data: filled by config, used by the
// builders.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "graph/neuron_groups.h"

namespace rewire::models {

// Of the gradient of candidates that are not in use, a part of the outputs passes on at each step.
struct SampledGradient {
  double candidates = 1;  // that part, as a fraction of the outputs; the nearest 1 / n is taken
};

// How a layer's candidate edges become the edges in use.
// Source: Wortsman, Farhadi, Rastegari 2019, and its published code.
struct WiringDescription {
  std::string kind;              // complete, dnw, dnw_no_update, random, fine_tune, reg_td, td
  double prune_rate = 0;         // trunc(prune_rate x candidates) are not in use
  std::string gradient = "all";  // dnw: "all" candidates get the gradient, or the "kept" ones
  std::optional<SampledGradient>
      sampled;                // dnw: a rotating part of them, in the place of `gradient`
  std::optional<double> rho;  // reg_td, td: probability of dropping a candidate; absent: prune_rate
  bool keep_sign = true;      // reg_td, td: false returns absolute values, as published
};

// The small classifiers, of one wired layer: read block by block (kind `static`), `steps` times
// (kind `discrete`), or as the right-hand side of a differential equation (kind `continuous`).
struct SmallDescription {
  std::string kind = "static";
  int64_t dim = 0;             // channels of the state, D
  int64_t layers = 5;          // static: blocks
  int64_t steps = 5;           // discrete
  double tolerance = 1e-3;     // continuous: of the solver, relative and absolute
  int64_t downsample_dim = 0;  // channels of the stem, d
  int64_t feature_dim = 0;     // channels read by the classifier, f
  std::string stem =
      "strided";  // strided: as published, maps a quarter the image's size; single: one 3x3
  std::string pool = "center";  // center: as published, a 2x2 window; global: the whole map
  WiringDescription wiring{};
};

// Side of the map that the stem makes of an image of `image_size` pixels a side: the published one
// halves it twice, rounding up.
inline int64_t map_size(const SmallDescription& description, int64_t image_size) {
  return description.stem == "single" ? image_size : ((image_size + 1) / 2 + 1) / 2;
}

// MobileNetV1's convolutions, their 1x1 layers wired: five stages, a graph each (kind
// `wired_mobilenet_v1`). The wiring's prune rate is 1 - the width of the plain network that has as
// many edges.
struct WiredMobileNetV1Description {
  std::string kind = "wired_mobilenet_v1";
  bool small = false;  // the classifier is wired too, without bias
  WiringDescription wiring{};
};

// MobileNetV1, its channels multiplied by `width` (kind `mobilenet_v1`): nothing is wired.
// Source: Howard et al. 2017, arXiv 1704.04861.
struct MobileNetV1Description {
  std::string kind = "mobilenet_v1";
  double width = 1;
};

// ShuffleNetV2 (kind `shufflenet_v2`): nothing is wired. The width is 0.5, 1, 1.5 or 2.
// Source: Ma, Zhang, Zheng, Sun 2018, arXiv 1807.11164.
struct ShuffleNetV2Description {
  std::string kind = "shufflenet_v2";
  double width = 1;
};

// ResNet of 18, 34, 50, 101 or 152 layers, the stride of a bottleneck on its 3x3 convolution, every
// convolution and the classifier wired, each layer at the same prune rate (kind `resnet`).
// Source: He et al. 2015, arXiv 1512.03385; the sparse ones: Wortsman, Farhadi, Rastegari 2019.
struct ResNetDescription {
  std::string kind = "resnet";
  int64_t depth = 50;
  bool dense_first = false;     // the first convolution is not wired
  std::string init = "fan_in";  // of normal weights, variance 2 / fan_in, or 2 / fan_out
  WiringDescription wiring{};
};

// A graph of single neurons (kind `neurons`). All its edges together are the candidates of one
// wiring.
struct NeuronsDescription {
  std::string kind = "neurons";
  // Of weights, normal but for `uniform` in (-1, 1), by the deviation: he sqrt(2 / fan-in), xavier
  // 1 / sqrt(fan-in), self_normalized 1, connex 0.1. Biases are 0, of connex as the weights.
  std::string init = "he";
  std::vector<graph::NeuronGroup> groups;
  std::vector<std::string> outputs{};  // groups; none: the last one
  WiringDescription wiring{};
};

using Description =
    std::variant<SmallDescription, WiredMobileNetV1Description, MobileNetV1Description,
                 ShuffleNetV2Description, ResNetDescription, NeuronsDescription>;

// Every kind of network with its defaults.
std::vector<Description> families();
// The word that names a network's kind in an experiment file.
std::string kind_of(const Description& description);
// The kind of its wiring, or "" where nothing is wired.
std::string wiring_kind(const Description& description);

}  // namespace rewire::models
