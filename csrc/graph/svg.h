// What every SVG document of ours is made of.
#pragma once

#include <string>

namespace rewire::graph::svg {

// A number rounded to tenths, as short as it can be written.
std::string number(double value);

// Without characters that mean something in XML.
std::string escape(const std::string& text);

// style: further attributes.
std::string text_at(double x, double y, const std::string& style, const std::string& text);

// A document of that size around `body`, whose text is centred on where it stands.
std::string document(double width, double height, const std::string& body);

// A white panel with round corners.
std::string panel(double width, double height);

}  // namespace rewire::graph::svg
