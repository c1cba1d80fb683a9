// A model's wiring as graph/picture.h draws it.
#pragma once

#include <string>

#include "graph/picture.h"
#include "models/model.h"

namespace rewire::models {

// The edges in use of a wired layer by target, then source and tap; of a graph of neurons by
// target.
struct EdgeList {
  int64_t num_sources = 0;
  int64_t num_targets = 0;
  int64_t num_taps = 1;  // weights by which a convolution reads one channel: k * k
  at::Tensor sources;    // [edges] int64, in [0, num_sources)
  at::Tensor targets;    // [edges] int64
  at::Tensor taps;       // [edges] int64
  at::Tensor weights;    // [edges] float32
};
EdgeList list_edges(const Model& model, const Wiring& wiring);

// How many edges in use each channel that may receive has, and each that may send; int64.
struct Degrees {
  at::Tensor received;
  at::Tensor sent;
};
Degrees degrees_of(const Model& model, const Wiring& wiring);

// The edges in use as nodes and links: a column for each group of channels that sends, and one for
// the channels that receive last. Of more than `most` edges the strongest are given. Each tap of a
// convolution is an edge.
graph::WiringView view_of(const Model& model, const Wiring& wiring, int64_t most);

// The adjacency matrix of the edges in use; of parallel ones the sum.
graph::Picture matrix_of(const Model& model, const Wiring& wiring);

}  // namespace rewire::models
