// Bar charts: how many channels have how many edges, how many edges changed at each epoch.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rewire::graph {

// One panel. Bar i stands at first + i * step of the horizontal axis.
struct Chart {
  std::string title;
  std::string subtitle;
  std::string axis;  // what the horizontal one counts
  std::vector<int64_t> bars;
  int64_t first = 0;
  int64_t step = 1;
};

// How many channels have how many edges, in at most 64 bars of equal width.
// degrees: the edges of each channel.
Chart degree_chart(std::string title, std::span<const int64_t> degrees);

// The panels, at most four in a row, as one self-contained SVG document: text and shapes, no
// script, no font, no reference to another file.
std::string draw_charts_svg(std::span<const Chart> charts);

}  // namespace rewire::graph
