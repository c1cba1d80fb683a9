#include "train/pickle_objects.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "error.h"

namespace rewire::train {
namespace {

using Kind = Value::Kind;

// torch's storages by name.
const std::map<std::string, at::ScalarType>& storages() {
  static const std::map<std::string, at::ScalarType> types = {
      {"torch FloatStorage", at::kFloat}, {"torch DoubleStorage", at::kDouble},
      {"torch HalfStorage", at::kHalf},   {"torch BFloat16Storage", at::kBFloat16},
      {"torch LongStorage", at::kLong},   {"torch IntStorage", at::kInt},
      {"torch ShortStorage", at::kShort}, {"torch CharStorage", at::kChar},
      {"torch ByteStorage", at::kByte},   {"torch BoolStorage", at::kBool}};
  return types;
}

constexpr std::string_view kOrderedDict = "collections OrderedDict", kEncode = "_codecs encode",
                           kDtype = "numpy dtype", kScalar = "numpy.core.multiarray scalar",
                           kNewScalar = "numpy._core.multiarray scalar",
                           kTensor = "torch._utils _rebuild_tensor_v2",
                           kOldTensor = "torch._utils _rebuild_tensor",
                           kParameter = "torch._utils _rebuild_parameter",
                           kMeter = "train ScalarMeter";

bool allowed(const std::string& name) {
  for (const std::string_view known : {kOrderedDict, kEncode, kDtype, kScalar, kNewScalar, kTensor,
                                       kOldTensor, kParameter, kMeter}) {
    if (name == known) return true;
  }
  return storages().contains(name);
}

// Of nothing, or of a list of pairs.
Value* ordered_dict(PickledValues& values, const std::vector<Value*>& arguments) {
  Value* dict = values.make(Kind::kDict);
  if (arguments.empty()) return dict;
  if (arguments.size() > 1 || arguments[0]->kind != Kind::kList) {
    values.fail("a dict of no known kind");
  }
  values.charge(2 * arguments[0]->items.size());
  for (const Value* pair : arguments[0]->items) {
    if (pair->items.size() != 2) values.fail("a dict of no known kind");
    dict->items.insert(dict->items.end(), pair->items.begin(), pair->items.end());
  }
  return dict;
}

// A text of code points below 256, as bytes.
Value* encoded(PickledValues& values, const Value& text) {
  values.charge(text.text.size());
  Value* bytes = values.make(Kind::kBytes);
  for (size_t i = 0; i < text.text.size(); ++i) {
    const uint8_t c = uint8_t(text.text[i]);
    if (c < 0x80) {
      bytes->text += char(c);
      continue;
    }
    if ((c != 0xC2 && c != 0xC3) || i + 1 == text.text.size()) values.fail("bytes that are none");
    bytes->text += char(c << 6 | (uint8_t(text.text[++i]) & 0x3F));
  }
  return bytes;
}

Value* scalar(PickledValues& values, const std::string& dtype, const std::string& bytes) {
  Value* value = values.make(Kind::kFloat);
  const auto read = [&](auto number) {
    if (bytes.size() != sizeof(number)) values.fail("a number of another size than its type has");
    std::memcpy(&number, bytes.data(), sizeof(number));
    return number;
  };
  if (dtype == "f4") {
    value->real = read(float());
  } else if (dtype == "f8") {
    value->real = read(double());
  } else if (dtype == "i4" || dtype == "i8") {
    value->kind = Kind::kInt;
    value->number = dtype == "i4" ? read(int32_t()) : read(int64_t());
  } else {
    values.fail("a number of numpy type " + printable(dtype));
  }
  return value;
}

}  // namespace

Value* PickledValues::make(Kind kind) {
  if (pickle_.values.size() >= kMaxPickled) fail("a pickle of more than a million values");
  Value& value = pickle_.values.emplace_back();
  value.kind = kind;
  return &value;
}

void PickledValues::charge(size_t bytes) {
  copied_ += bytes;
  if (copied_ > 4 * bytes_) fail("a pickle that repeats itself");
}

void PickledValues::fail(const std::string& cause) const {
  throw CheckpointError(name_ + ": " + cause);
}

Value* pickled_class(PickledValues& values, const std::string& name) {
  if (!allowed(name)) {
    std::string shown = printable(name);
    std::replace(shown.begin(), shown.end(), ' ', '.');
    values.fail("names " + shown +
                ", which no plain checkpoint needs: refused, nothing was executed");
  }
  Value* known = values.make(Kind::kClass);
  known->text = name;
  return known;
}

// ("storage", class, key, device, elements[, a view of all of it])
Value* pickled_storage(PickledValues& values, const Value& id) {
  const auto& parts = id.items;
  const auto is = [&](size_t i, Kind kind) { return parts[i]->kind == kind; };
  if (id.kind != Kind::kTuple || parts.size() < 5 || parts.size() > 6 || !is(0, Kind::kText) ||
      parts[0]->text != "storage" || !is(1, Kind::kClass) || !is(2, Kind::kText) ||
      !is(4, Kind::kInt) || parts[4]->number < 0 || !storages().contains(parts[1]->text) ||
      (parts.size() == 6 && !is(5, Kind::kNone))) {
    values.fail("a storage that is described in no known way");
  }
  Value* storage = values.make(Kind::kStorage);
  values.charge(parts[2]->text.size());
  storage->type = storages().at(parts[1]->text);
  storage->text = parts[2]->text;
  storage->number = parts[4]->number;
  return storage;
}

Value* call_class(PickledValues& values, const std::string& name,
                  const std::vector<Value*>& arguments) {
  const auto is = [&](size_t i, Kind kind) {
    return i < arguments.size() && arguments[i]->kind == kind;
  };
  if (name == kOrderedDict) return ordered_dict(values, arguments);
  if (name == kTensor || name == kOldTensor) {
    if (!is(0, Kind::kStorage) || !is(1, Kind::kInt) || !is(2, Kind::kTuple) ||
        !is(3, Kind::kTuple) || arguments[2]->items.size() != arguments[3]->items.size()) {
      values.fail("a tensor that is described in no known way");
    }
    Value* tensor = values.make(Kind::kTensor);
    tensor->items.assign(arguments.begin(), arguments.begin() + 4);
    return tensor;
  }
  if (name == kParameter && is(0, Kind::kTensor)) return arguments[0];
  if (name == kEncode && is(0, Kind::kText)) return encoded(values, *arguments[0]);
  if (name == kDtype && is(0, Kind::kText)) {
    values.charge(arguments[0]->text.size());
    Value* dtype = values.make(Kind::kDtype);
    dtype->text = arguments[0]->text;
    return dtype;
  }
  if ((name == kScalar || name == kNewScalar) && is(0, Kind::kDtype) &&
      (is(1, Kind::kBytes) || is(1, Kind::kText))) {
    return scalar(values, arguments[0]->text, arguments[1]->text);
  }
  if (name == kMeter && arguments.empty()) {
    Value* object = values.make(Kind::kObject);
    object->text = name;
    return object;
  }
  values.fail("calls " + name + " in no known way");
}

void tell_object(const PickledValues& values, const Value& object, const Value& state) {
  const bool known = object.kind == Kind::kObject || object.kind == Kind::kDict;
  if (known && state.kind == Kind::kDict) return;
  if (object.kind == Kind::kDtype && state.kind == Kind::kTuple && state.items.size() > 1 &&
      (state.items[1]->text == "<" || state.items[1]->text == "|")) {
    return;
  }
  values.fail("tells an object something in no known way");
}

}  // namespace rewire::train
