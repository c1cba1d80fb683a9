// A file that was compiled in; see embed.cmake.
#pragma once

#include <string_view>

namespace rewire::embedded {

struct File {
  std::string_view path;
  std::string_view bytes;
};

}  // namespace rewire::embedded
