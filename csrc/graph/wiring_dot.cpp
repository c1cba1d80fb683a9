// The part of picture.h that writes Graphviz's language.
#include <fmt/format.h>

#include <set>

#include "graph/picture.h"

namespace rewire::graph {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char character : text) {
    if (character == '"' || character == '\\') out += '\\';
    out += character;
  }
  return out + "\"";
}

std::string node(const WiringView& view, int64_t channel) {
  return quoted(fmt::format("{}/{}", view.title, channel));
}

std::string cluster_of(const WiringView& view, size_t index) {
  std::string out = fmt::format("  subgraph cluster_{} {{\n    label = {};\n", index,
                                quoted(view.title + ": " + view.subtitle));
  std::set<int64_t> wired;
  for (const WiringEdge& edge : view.edges) wired.insert({edge.source, edge.target});
  for (const int64_t channel : wired) {
    out += fmt::format("    {} [label = \"{}\"];\n", node(view, channel), channel);
  }
  for (const WiringEdge& edge : view.edges) {
    out +=
        fmt::format("    {} -> {} [label = \"{:.4g}\", color = \"{}\"];\n", node(view, edge.source),
                    node(view, edge.target), edge.weight, edge.weight < 0 ? "#ea580c" : "#2563eb");
  }
  return out + "  }\n";
}

}  // namespace

std::string wiring_dot(std::span<const WiringView> views) {
  std::string out = "digraph wiring {\n  rankdir = LR;\n  node [shape = circle];\n";
  for (size_t i = 0; i < views.size(); ++i) out += cluster_of(views[i], i);
  return out + "}\n";
}

}  // namespace rewire::graph
