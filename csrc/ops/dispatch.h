// How a C++ function reaches the op of the same name through the dispatcher.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace rewire::ops {

// The op rewire::<name>, to be kept in a function's static variable: finding it takes a lock.
template <typename Signature>
auto find_op(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace rewire::ops
