// What a network costs: parameters and multiply-accumulates of an image, layer by layer.
#pragma once

#include <string>
#include <vector>

#include "models/model.h"

namespace rewire::models {

struct Cost {
  int64_t parameters = 0;  // weights of convolutions and linear layers; no norms, no biases
  int64_t macs = 0;
};

struct LayerProfile {
  std::string name;
  Cost dense;      // with every candidate edge that the network reads
  Cost wired;      // with the edges in use alone
  Cost fast_eval;  // without its dead channels; of a wired MobileNetV1 by the published rule
};

// The published rule counts floor(candidates x (1 - the layer's
// prune rate) x places of a map) edges in a stage, whether the network reads them or not; 9 taps
// for each channel that sends; the first convolution's and the classifier's weights to and from
// alive channels; and an addition for each place that the pool reads. Source: Wortsman, Farhadi,
// Rastegari 2019, and its published code.
std::vector<LayerProfile> profile(const Model& model, const Description& description);

}  // namespace rewire::models
