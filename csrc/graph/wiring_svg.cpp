// The half of picture.h that draws nodes and links.
#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "graph/picture.h"
#include "graph/svg.h"

namespace rewire::graph {
namespace {

using svg::number;

// The geometry, in pixels.
constexpr double kPanelWidth = 480, kPanelHeight = 520;
constexpr double kGap = 24, kMargin = 24;
constexpr double kPlotLeft = 44, kPlotRight = kPanelWidth - 44;
constexpr double kPlotTop = 92, kPlotBottom = kPanelHeight - 74;
constexpr double kMaxSpacing = 60;  // between the nodes of a column
constexpr double kLegendHeight = 40;

constexpr const char* kPositiveLine = "#2563eb";
constexpr const char* kNegativeLine = "#ea580c";

// Edges are drawn in classes of |weight| relative to the panel's largest, the weakest first.
constexpr int kClasses = 5;

struct Point {
  double x = 0;
  double y = 0;
};

std::string text_at(Point at, const std::string& style, const std::string& text) {
  return svg::text_at(at.x, at.y, style, text);
}

int64_t largest_column(const WiringView& view) {
  int64_t largest = 1;
  for (const WiringColumn& column : view.columns) largest = std::max(largest, column.size);
  return largest;
}

double column_x(size_t column, size_t columns) {
  if (columns == 1) return (kPlotLeft + kPlotRight) / 2;
  return kPlotLeft +
         (kPlotRight - kPlotLeft) * static_cast<double>(column) / static_cast<double>(columns - 1);
}

// The place of every channel. A column is centred and grows with the root of its size, so that a
// small one is neither a dot nor as tall as a large one.
std::vector<Point> place_nodes(const WiringView& view) {
  const int64_t largest = largest_column(view);
  std::vector<Point> nodes;
  for (size_t c = 0; c < view.columns.size(); ++c) {
    const auto size = static_cast<double>(view.columns[c].size);
    const double share = std::sqrt(size / static_cast<double>(largest));
    const double height = std::min((kPlotBottom - kPlotTop) * share, kMaxSpacing * (size - 1));
    const double top = (kPlotTop + kPlotBottom - height) / 2;
    const double spacing = size > 1 ? height / (size - 1) : 0;
    for (int64_t i = 0; i < view.columns[c].size; ++i) {
      nodes.push_back({column_x(c, view.columns.size()), top + spacing * static_cast<double>(i)});
    }
  }
  return nodes;
}

void check_edges(const WiringView& view, size_t nodes) {
  const auto channels = static_cast<int64_t>(nodes);
  for (const WiringEdge& edge : view.edges) {
    const auto [low, high] = std::minmax(edge.source, edge.target);
    if (low < 0 || high >= channels) {
      throw std::invalid_argument("draw_wiring_svg: edge (" + std::to_string(edge.source) + ", " +
                                  std::to_string(edge.target) + ") of '" + view.title +
                                  "', expected channels below " + std::to_string(channels));
    }
  }
}

// A path from one point to another, drawn towards the two control points between.
std::string path(Point from, Point first, Point second, Point to) {
  std::string out = "<path d=\"M" + number(from.x) + " " + number(from.y) + "C";
  for (const Point& point : {first, second, to}) {
    out += number(point.x) + " " + number(point.y) + " ";
  }
  out.back() = '"';
  return out + "/>\n";
}

// An edge onwards leaves and arrives horizontally; one within a column is a bow to its right, one
// that goes back a bow below.
std::string curve(Point from, Point to) {
  const double dx = to.x - from.x;
  if (dx > 0) {
    const double reach = 0.45 * dx;
    return path(from, {from.x + reach, from.y}, {to.x - reach, to.y}, to);
  }
  if (dx == 0) {
    const double reach = 10 + std::abs(to.y - from.y) / 6;
    return path(from, {from.x + reach, from.y}, {to.x + reach, to.y}, to);
  }
  const double depth = std::min(std::max(from.y, to.y) - 0.4 * dx, kPlotBottom + 30);
  return path(from, {from.x, depth}, {to.x, depth}, to);
}

// How an edge of class `strength` is drawn; in a crowd all are fainter and thinner.
std::string stroke_of(int strength, size_t edges) {
  const double alone = std::min(1.0, std::sqrt(300 / static_cast<double>(edges + 1)));
  const double opacity = (strength + 1.0) / kClasses * (0.25 + 0.7 * alone);
  const double width = (0.6 + 0.15 * strength) * (0.7 + 1.0 * alone);
  return "stroke-opacity=\"" + std::to_string(opacity) + "\" stroke-width=\"" + number(width) +
         "\"";
}

std::string draw_edges(const WiringView& view, const std::vector<Point>& nodes) {
  float strongest = 0;
  for (const WiringEdge& edge : view.edges) strongest = std::max(strongest, std::abs(edge.weight));
  std::array<std::string, 2 * kClasses> curves;  // by class, negative before positive
  for (const WiringEdge& edge : view.edges) {
    const float relative = std::abs(edge.weight) / strongest;  // not a number where all are 0
    const int strength = relative < 1 ? static_cast<int>(relative * kClasses) : kClasses - 1;
    curves[2 * strength + (edge.weight < 0 ? 0 : 1)] +=
        curve(nodes[edge.source], nodes[edge.target]);
  }
  std::string out;
  for (int i = 0; i < 2 * kClasses; ++i) {
    if (curves[i].empty()) continue;
    out += std::string("<g fill=\"none\" stroke=\"") +
           (i % 2 == 1 ? kPositiveLine : kNegativeLine) + "\" " +
           stroke_of(i / 2, view.edges.size()) + ">\n" + curves[i] + "</g>\n";
  }
  return out;
}

std::string draw_nodes(const WiringView& view, const std::vector<Point>& nodes) {
  std::vector<bool> wired(nodes.size(), false);
  for (const WiringEdge& edge : view.edges) wired[edge.source] = wired[edge.target] = true;
  // Small enough to stay apart in the fullest column.
  const double radius = std::clamp(120 / static_cast<double>(largest_column(view)), 1.6, 4.5);
  std::array<std::string, 2> circles;
  for (size_t i = 0; i < nodes.size(); ++i) {
    circles[wired[i]] += "<circle cx=\"" + number(nodes[i].x) + "\" cy=\"" + number(nodes[i].y) +
                         "\" r=\"" + number(radius) + "\"/>\n";
  }
  return "<g fill=\"#cbd5e1\">\n" + circles[0] + "</g>\n<g fill=\"#1e293b\">\n" + circles[1] +
         "</g>\n";
}

std::string draw_captions(const WiringView& view) {
  std::string out =
      text_at({kPanelWidth / 2, 38}, R"(font-size="19" font-weight="600" fill="#0f172a")",
              view.title) +
      text_at({kPanelWidth / 2, 61}, R"(font-size="13" fill="#64748b")", view.subtitle);
  for (size_t c = 0; c < view.columns.size(); ++c) {
    const double x = column_x(c, view.columns.size());
    out += text_at({x, kPanelHeight - 40}, R"(font-size="12" fill="#475569")",
                   std::to_string(view.columns[c].size));
    out +=
        text_at({x, kPanelHeight - 23}, R"(font-size="11" fill="#94a3b8")", view.columns[c].name);
  }
  return out;
}

std::string draw_panel(const WiringView& view, double left) {
  const std::vector<Point> nodes = place_nodes(view);
  check_edges(view, nodes.size());
  return "<g transform=\"translate(" + number(left) + " " + number(kMargin) + ")\">\n" +
         svg::panel(kPanelWidth, kPanelHeight) + draw_edges(view, nodes) + draw_nodes(view, nodes) +
         draw_captions(view) + "</g>\n";
}

std::string draw_legend(Point middle) {
  const auto line = [&](double x, const char* color) {
    return "<path d=\"M" + number(x) + " " + number(middle.y - 4) + "h22\" stroke=\"" + color +
           "\" stroke-width=\"2.5\" stroke-linecap=\"round\"/>\n";
  };
  const std::string style = R"(font-size="12" fill="#475569")";
  return line(middle.x - 132, kPositiveLine) +
         text_at({middle.x - 56, middle.y}, style, "positive weight") +
         line(middle.x + 20, kNegativeLine) +
         text_at({middle.x + 97, middle.y}, style, "negative weight");
}

}  // namespace

std::string draw_wiring_svg(std::span<const WiringView> views) {
  const auto panels = static_cast<double>(views.size());
  const double width = std::max(2 * kMargin + panels * kPanelWidth + (panels - 1) * kGap, 320.0);
  const double height = kMargin + kPanelHeight + kLegendHeight;
  std::string out;
  for (size_t i = 0; i < views.size(); ++i) {
    out += draw_panel(views[i], kMargin + static_cast<double>(i) * (kPanelWidth + kGap));
  }
  return svg::document(width, height, out + draw_legend({width / 2, height - 15}));
}

}  // namespace rewire::graph
