// Python's pickles of state dicts, read without executing anything: a machine for the few
// instructions that torch.save writes, whose only classes are those of an allow-list, each known
// here as data.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace rewire::train {

struct Value {
  enum class Kind {
    kNone,
    kBool,     // number
    kInt,      // number
    kFloat,    // real
    kText,     // text
    kBytes,    // text
    kTuple,    // items
    kList,     // items
    kDict,     // items: key, value, key, value, ...
    kClass,    // text: "module name"
    kDtype,    // text: numpy's word, "f4"
    kStorage,  // text: its key; type; number: its elements
    kTensor,   // items: storage, offset, sizes, strides
    kObject,   // an object of no use, of the class `text`
  };
  Kind kind = Kind::kNone;
  int64_t number = 0;
  double real = 0;
  std::string text;
  std::vector<Value*> items;
  at::ScalarType type = at::kFloat;

  // Of a dict: the value of a key that is a text, or null.
  const Value* find(std::string_view key) const;
};

// A pickle's values, which live as long as it does.
struct Pickle {
  std::deque<Value> values;
  Value* root = nullptr;
  size_t size = 0;  // bytes read, up to the end of the pickle
};

// Reads the pickle that `bytes` begin with. Memory and time are linear in its size; a pickle may
// name a value in many places, or within itself: whoever walks through it bounds his way.
// Classes: collections.OrderedDict; of torch tensors, parameters and storages; numpy's scalars and
// their dtype; _codecs.encode, which wraps bytes; train.ScalarMeter, an object of no use.
// Throws CheckpointError, "<name>: <cause>": another class, wherever it stands, an instruction that
// state dicts do not need, or bytes that are no pickle.
Pickle read_pickle(std::string_view bytes, const std::string& name);

}  // namespace rewire::train
