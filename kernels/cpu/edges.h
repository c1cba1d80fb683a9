// The edges of a layer as a product walks them: blocks of targets that fit the second cache, for
// each panels of sources that fit the first, and in a panel the edges of one target after another.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace rewire::kernels {

// Edges by target: those of target t are offsets[t] .. offsets[t + 1], their sources ascending. Of
// these, the ones in a rectangle of the matrix: its targets and sources are counted from its
// corner.
struct Edges {
  const int32_t* offsets = nullptr;  // [targets of the whole matrix + 1]
  const int32_t* sources = nullptr;  // [edges of the whole matrix]
  int64_t first_target = 0;
  int64_t num_targets = 0;
  int64_t first_source = 0;
  int64_t num_sources = 0;

  // Calls f(target, source, position in sources) for each edge, by target.
  template <typename F>
  void for_each(F&& f) const {
    for (int64_t target = 0; target < num_targets; ++target) {
      const int32_t* edge = sources + offsets[first_target + target];
      const int32_t* end = sources + offsets[first_target + target + 1];
      if (first_source > 0) edge = std::lower_bound(edge, end, first_source);
      for (; edge != end && *edge < first_source + num_sources; ++edge) {
        f(target, *edge - first_source, edge - sources);
      }
    }
  }
};

// One edge: `weight` times the row of its source, which begins `offset` elements behind the first
// of its panel. Both lie side by side, to be read as one stream.
template <typename T>
struct StreamEdge {
  uint32_t offset;
  T weight;
};

// Targets of a block: 512 rows of 64 float32 columns are 128 KB.
inline constexpr int64_t kBlockTargets = 512;

template <typename T>
struct EdgeStream {
  int64_t num_targets = 0;
  int64_t num_sources = 0;
  int64_t num_panels = 0;
  int64_t source_stride = 0;     // elements from one source's row to the next
  int64_t panel_stride = 0;      // from a panel's first row to the next one's
  std::vector<uint32_t> starts;  // [num_panels * num_targets + 1] into edges, as they are walked
  std::vector<StreamEdge<T>> edges;
  std::vector<uint32_t> positions;  // of each edge in Edges::sources
};

// log2 of the rows of a panel. 128 rows of 64 float32 columns are 32 KB, two thirds of a first
// cache; but a target that has hardly an edge in a panel costs more than the second cache does. A
// panel's elements have 32-bit offsets.
inline int panel_bits(const Edges& edges, int64_t source_stride) {
  constexpr int64_t kFewestEdges = 6, kMostElements = int64_t{1} << 31;
  int64_t num_edges = 0;
  edges.for_each([&](int64_t, int64_t, int64_t) { ++num_edges; });
  int bits = 7;
  while (bits > 0 && source_stride > kMostElements >> bits) --bits;
  while ((int64_t{1} << bits) < edges.num_sources && source_stride <= kMostElements >> (bits + 1) &&
         (num_edges << bits) < kFewestEdges * edges.num_targets * edges.num_sources) {
    ++bits;
  }
  return bits;
}

// The stream of `edges` over rows `source_stride` elements apart, in panels of 2^bits of them;
// weight_of(target, source, position) is the weight of an edge. The sum of an edge's gradient
// depends on the panels: who shares targets among threads takes the bits of all. O(edges + panels *
// targets).
template <typename T, typename WeightOf>
EdgeStream<T> stream_edges(const Edges& edges, int64_t source_stride, int bits,
                           WeightOf&& weight_of) {
  EdgeStream<T> stream;
  stream.num_targets = edges.num_targets;
  stream.num_sources = edges.num_sources;
  stream.source_stride = source_stride;
  stream.num_panels = std::max<int64_t>(1, ((edges.num_sources - 1) >> bits) + 1);
  const auto place_of = [&](int64_t target, int64_t source) {
    const int64_t first = target / kBlockTargets * kBlockTargets;
    const int64_t block = std::min(kBlockTargets, edges.num_targets - first);
    return first * stream.num_panels + (source >> bits) * block + (target - first);
  };
  stream.panel_stride = source_stride << bits;
  stream.starts.assign(stream.num_panels * edges.num_targets + 1, 0);
  edges.for_each([&](int64_t target, int64_t source, int64_t) {
    ++stream.starts[place_of(target, source) + 1];
  });
  for (size_t i = 1; i < stream.starts.size(); ++i) stream.starts[i] += stream.starts[i - 1];

  stream.edges.resize(stream.starts.back());
  stream.positions.resize(stream.starts.back());
  std::vector<uint32_t> next(stream.starts.begin(), stream.starts.end() - 1);
  const int64_t in_panel = (int64_t{1} << bits) - 1;
  edges.for_each([&](int64_t target, int64_t source, int64_t position) {
    const uint32_t i = next[place_of(target, source)]++;
    stream.edges[i] = {static_cast<uint32_t>((source & in_panel) * source_stride),
                       weight_of(target, source, position)};
    stream.positions[i] = position;
  });
  return stream;
}

}  // namespace rewire::kernels
