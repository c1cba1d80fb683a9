// What an op says when it refuses.
#pragma once

#include <c10/util/Exception.h>

#include <string>

namespace rewire::test {

// The message of the c10::Error that f throws, without backtrace; "no error" if it throws none.
template <typename F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "no error";
}

}  // namespace rewire::test
