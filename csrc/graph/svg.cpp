#include "graph/svg.h"

#include <array>
#include <charconv>
#include <cmath>

namespace rewire::graph::svg {

std::string number(double value) {
  std::array<char, 32> text;
  const double rounded = std::round(value * 10) / 10 + 0.0;  // + 0.0 turns -0 into 0
  const auto end = std::to_chars(text.data(), text.data() + text.size(), rounded).ptr;
  return {text.data(), end};
}

std::string escape(const std::string& text) {
  std::string out;
  for (const char character : text) {
    switch (character) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += character;
    }
  }
  return out;
}

std::string text_at(double x, double y, const std::string& style, const std::string& text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" " + style + ">" + escape(text) +
         "</text>\n";
}

std::string document(double width, double height, const std::string& body) {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width) + " " +
         number(height) + "\" width=\"" + number(width) + "\" height=\"" + number(height) +
         "\" font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, "
         "sans-serif\" text-anchor=\"middle\">\n" +
         "<rect width=\"100%\" height=\"100%\" fill=\"#f8fafc\"/>\n" + body + "</svg>\n";
}

std::string panel(double width, double height) {
  return "<rect width=\"" + number(width) + "\" height=\"" + number(height) +
         "\" rx=\"14\" fill=\"#ffffff\" stroke=\"#e2e8f0\"/>\n";
}

}  // namespace rewire::graph::svg
