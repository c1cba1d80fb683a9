// A wiring to look at: as an adjacency matrix in pixels, and as nodes and links in SVG and for
// Graphviz. A blue edge has a positive weight and an orange one a negative weight.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rewire::graph {

// rgb[3 * (y * width + x)]: red, green, blue of a pixel; row 0 on top.
struct Picture {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;
};

// The adjacency matrix, targets downwards and sources to the right. Entries that are no edge are
// white; those that no path of the network reads are light grey.
// weight_in_use [out * in]: the weight of the edge, 0 where there is none.
// usable [out * in]: 0 where nothing reads the entry; empty: all are read.
// An entry is a square of several pixels in a small matrix, one pixel from 257 rows or columns up;
// beyond 1,000 a pixel is the average colour of a square of entries.
// Throws std::invalid_argument where a span is not of out * in entries.
Picture draw_matrix(int64_t out, int64_t in, std::span<const float> weight_in_use,
                    std::span<const uint8_t> usable);

// The pictures below each other, from the left, on white.
Picture stack(std::span<const Picture> pictures);

// Channels drawn as one vertical line of nodes.
struct WiringColumn {
  std::string name;  // below the column; may be empty
  int64_t size = 0;  // channels, counted on from the columns before
};

struct WiringEdge {
  int64_t source = 0;  // channels
  int64_t target = 0;
  float weight = 0;
};

// One panel of a drawing.
struct WiringView {
  std::string title;
  std::string subtitle;
  std::vector<WiringColumn> columns;  // left to right
  std::vector<WiringEdge> edges;      // in any direction, within a column too
};

// The panels side by side as one self-contained SVG document: text and shapes, no script, no font,
// no reference to another file. The stronger an edge's weight within its panel, the more opaque it
// is; channels without an edge are pale. About 65 bytes an edge.
// Throws std::invalid_argument for an edge whose channel is in no column.
std::string draw_wiring_svg(std::span<const WiringView> views);

// The same views for Graphviz, a cluster of each, in its DOT language: nodes "view/channel" of
// those channels that have an edge, and edges with their weight as a label.
std::string wiring_dot(std::span<const WiringView> views);

}  // namespace rewire::graph
