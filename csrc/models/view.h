// A model's wiring as graph/picture.h draws it.
#pragma once

#include <string>

#include "graph/picture.h"
#include "models/model.h"

namespace rewire::models {

// Weights by which a convolution reads one channel: k * k; 1 of any other layer.
int64_t taps_of(const Model& model, const Wiring& wiring);

// The edges in use as nodes and links: a column for each group of channels that sends, and one for
// the channels that receive last. Of more than `most` edges the strongest are given. Each tap of a
// convolution is an edge.
graph::WiringView view_of(const Model& model, const Wiring& wiring, int64_t most);

// The adjacency matrix of the edges in use.
graph::Picture matrix_of(const Model& model, const Wiring& wiring);

}  // namespace rewire::models
