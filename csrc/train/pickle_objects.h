// What the classes that a pickle may name make of their arguments: data, nothing else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "train/pickle.h"

namespace rewire::train {

constexpr size_t kMaxPickled = 1'000'000;  // of anything; published checkpoints have ten thousand

// A pickle's values while it is read.
class PickledValues {
 public:
  // `bytes`: size of the file; `name`: of it, in complaints.
  PickledValues(size_t bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Value* make(Value::Kind kind);
  // Counts what is copied out of another value, so that a few instructions cannot fill the memory.
  void charge(size_t bytes);
  // Throws CheckpointError, "<name>: <cause>".
  [[noreturn]] void fail(const std::string& cause) const;

  Pickle take() { return std::move(pickle_); }

 private:
  const size_t bytes_;
  const std::string& name_;
  size_t copied_ = 0;
  Pickle pickle_;
};

// A class, "module name". Throws where it is not of the allow-list.
Value* pickled_class(PickledValues& values, const std::string& name);
// What a class makes of arguments.
Value* call_class(PickledValues& values, const std::string& name,
                  const std::vector<Value*>& arguments);
// The storage that a persistent id describes.
Value* pickled_storage(PickledValues& values, const Value& id);
// What an object is told of itself: a meter's numbers, attributes of a dict, a dtype's byte order.
// Throws where it is anything else.
void tell_object(const PickledValues& values, const Value& object, const Value& state);

}  // namespace rewire::train
