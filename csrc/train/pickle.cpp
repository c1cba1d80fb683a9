#include "train/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <unordered_map>

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

constexpr size_t kMaxValues = 1'000'000;  // published checkpoints have ten thousand

bool allowed(const std::string& name) {
  for (const std::string_view known : {kOrderedDict, kEncode, kDtype, kScalar, kNewScalar, kTensor,
                                       kOldTensor, kParameter, kMeter}) {
    if (name == known) return true;
  }
  return storages().contains(name);
}

class Machine {
 public:
  Machine(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Pickle run() {
    while (!done_) step(take(1)[0]);
    pickle_.size = at_;
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void fail(const std::string& cause) const {
    throw CheckpointError(name_ + ": " + cause);
  }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) fail("cut: a pickle that does not end");
    const std::string_view taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }
  // Little endian, of up to 8 bytes.
  uint64_t number(int count) {
    uint64_t value = 0;
    const std::string_view digits = take(count);
    for (int i = count - 1; i >= 0; --i) value = value << 8 | uint8_t(digits[i]);
    return value;
  }
  std::string line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == bytes_.npos) fail("cut: a pickle that does not end");
    const std::string text(take(end - at_));
    take(1);
    return text;
  }

  // What is copied out of another value, so that a few instructions cannot fill the memory.
  void charge(size_t bytes) {
    copied_ += bytes;
    if (copied_ > 4 * bytes_.size()) fail("a pickle that repeats itself");
  }

  Value* make(Kind kind) {
    if (pickle_.values.size() >= kMaxValues) fail("a pickle of more than a million values");
    Value& value = pickle_.values.emplace_back();
    value.kind = kind;
    return &value;
  }
  void push(Value* value) {
    if (stack_.size() >= kMaxValues) fail("a pickle of more than a million values");
    stack_.push_back(value);
  }
  void push_int(int64_t value) {
    push(make(Kind::kInt));
    stack_.back()->number = value;
  }
  void push_bool(bool value) {
    push(make(Kind::kBool));
    stack_.back()->number = value;
  }
  void push_text(Kind kind, uint64_t size) {
    const std::string_view text = take(size);
    push(make(kind));
    stack_.back()->text = text;
  }
  Value* pop() {
    if (stack_.size() == bottom()) fail("a pickle that takes more than it has");
    Value* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  Value* top(Kind kind) {
    Value* value = pop();
    stack_.push_back(value);
    if (value->kind != kind) fail("a pickle that fills what is no list or dict");
    return value;
  }
  size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }
  std::vector<Value*> pop_to_mark() {
    if (marks_.empty()) fail("a pickle that takes more than it has");
    const auto from = stack_.begin() + std::ptrdiff_t(marks_.back());
    std::vector<Value*> items(from, stack_.end());
    stack_.erase(from, stack_.end());
    marks_.pop_back();
    return items;
  }
  void push_tuple(std::vector<Value*> items) {
    push(make(Kind::kTuple));
    stack_.back()->items = std::move(items);
  }
  void push_tuple(int count) {
    std::vector<Value*> items(count);
    for (int i = count - 1; i >= 0; --i) items[i] = pop();
    push_tuple(std::move(items));
  }
  void append(Kind kind, const std::vector<Value*>& items) {
    if (kind == Kind::kDict && items.size() % 2 != 0) fail("a pickled dict with half an entry");
    Value* target = top(kind);
    target->items.insert(target->items.end(), items.begin(), items.end());
  }

  void put(uint64_t index) {
    Value* value = pop();
    push(value);
    if (memo_.size() >= kMaxValues) fail("a pickle of more than a million names");
    memo_[index] = value;
  }
  void get(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail("a pickle that names what it has not");
    push(found->second);
  }

  void push_class(const std::string& name) {
    if (!allowed(name)) {
      std::string shown = printable(name);
      std::replace(shown.begin(), shown.end(), ' ', '.');
      fail("names " + shown + ", which no plain checkpoint needs: refused, nothing was executed");
    }
    push(make(Kind::kClass));
    stack_.back()->text = name;
  }

  // ("storage", class, key, device, elements[, a view of all of it])
  void persistent() {
    const Value* id = pop();
    const auto& parts = id->items;
    const auto is = [&](size_t i, Kind kind) { return parts[i]->kind == kind; };
    if (id->kind != Kind::kTuple || parts.size() < 5 || parts.size() > 6 || !is(0, Kind::kText) ||
        parts[0]->text != "storage" || !is(1, Kind::kClass) || !is(2, Kind::kText) ||
        !is(4, Kind::kInt) || parts[4]->number < 0 || !storages().contains(parts[1]->text) ||
        (parts.size() == 6 && !is(5, Kind::kNone))) {
      fail("a storage that is described in no known way");
    }
    Value* storage = make(Kind::kStorage);
    charge(parts[2]->text.size());
    storage->type = storages().at(parts[1]->text);
    storage->text = parts[2]->text;
    storage->number = parts[4]->number;
    push(storage);
  }

  // What a class makes of arguments.
  Value* call(const std::string& name, const std::vector<Value*>& arguments) {
    const auto is = [&](size_t i, Kind kind) {
      return i < arguments.size() && arguments[i]->kind == kind;
    };
    if (name == kOrderedDict) return ordered_dict(arguments);
    if (name == kTensor || name == kOldTensor) {
      if (!is(0, Kind::kStorage) || !is(1, Kind::kInt) || !is(2, Kind::kTuple) ||
          !is(3, Kind::kTuple) || arguments[2]->items.size() != arguments[3]->items.size()) {
        fail("a tensor that is described in no known way");
      }
      Value* tensor = make(Kind::kTensor);
      tensor->items.assign(arguments.begin(), arguments.begin() + 4);
      return tensor;
    }
    if (name == kParameter && is(0, Kind::kTensor)) return arguments[0];
    if (name == kEncode && is(0, Kind::kText)) return encoded(*arguments[0]);
    if (name == kDtype && is(0, Kind::kText)) {
      charge(arguments[0]->text.size());
      Value* dtype = make(Kind::kDtype);
      dtype->text = arguments[0]->text;
      return dtype;
    }
    if ((name == kScalar || name == kNewScalar) && is(0, Kind::kDtype) &&
        (is(1, Kind::kBytes) || is(1, Kind::kText))) {
      return scalar(arguments[0]->text, arguments[1]->text);
    }
    if (name == kMeter && arguments.empty()) {
      Value* object = make(Kind::kObject);
      object->text = name;
      return object;
    }
    fail("calls " + name + " in no known way");
  }

  // Of nothing, or of a list of pairs.
  Value* ordered_dict(const std::vector<Value*>& arguments) {
    Value* dict = make(Kind::kDict);
    if (arguments.empty()) return dict;
    if (arguments.size() > 1 || arguments[0]->kind != Kind::kList) fail("a dict of no known kind");
    charge(2 * arguments[0]->items.size());
    for (const Value* pair : arguments[0]->items) {
      if (pair->items.size() != 2) fail("a dict of no known kind");
      dict->items.insert(dict->items.end(), pair->items.begin(), pair->items.end());
    }
    return dict;
  }

  // A text of code points below 256, as bytes.
  Value* encoded(const Value& text) {
    charge(text.text.size());
    Value* bytes = make(Kind::kBytes);
    for (size_t i = 0; i < text.text.size(); ++i) {
      const uint8_t c = uint8_t(text.text[i]);
      if (c < 0x80) {
        bytes->text += char(c);
        continue;
      }
      if ((c != 0xC2 && c != 0xC3) || i + 1 == text.text.size()) fail("bytes that are none");
      bytes->text += char(c << 6 | (uint8_t(text.text[++i]) & 0x3F));
    }
    return bytes;
  }

  Value* scalar(const std::string& dtype, const std::string& bytes) {
    Value* value = make(Kind::kFloat);
    const auto read = [&](auto number) {
      if (bytes.size() != sizeof(number)) fail("a number of another size than its type has");
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
      fail("a number of numpy type " + printable(dtype));
    }
    return value;
  }

  // What an object is told of itself: a meter's numbers, attributes of a dict, a dtype's byte
  // order.
  void build() {
    const Value* state = pop();
    const Value* object = pop();
    push(const_cast<Value*>(object));
    const bool known = object->kind == Kind::kObject || object->kind == Kind::kDict;
    if (known && state->kind == Kind::kDict) return;
    if (object->kind == Kind::kDtype && state->kind == Kind::kTuple && state->items.size() > 1 &&
        (state->items[1]->text == "<" || state->items[1]->text == "|")) {
      return;
    }
    fail("tells an object something in no known way");
  }

  void step(char instruction) {
    switch (instruction) {
      case '\x80':  // protocol
        if (number(1) > 5) fail("a pickle of an unknown protocol");
        return;
      case '\x95':  // frame
        number(8);
        return;
      case '.':
        pickle_.root = pop();
        done_ = true;
        return;
      case '(':
        if (marks_.size() >= kMaxValues) fail("a pickle of more than a million marks");
        marks_.push_back(stack_.size());
        return;
      case 'N':
        return push(make(Kind::kNone));
      case '\x88':
        return push_bool(true);
      case '\x89':
        return push_bool(false);
      case 'J':
        return push_int(int32_t(number(4)));
      case 'K':
        return push_int(int64_t(number(1)));
      case 'M':
        return push_int(int64_t(number(2)));
      case '\x8a': {  // of any length
        const uint64_t size = number(1);
        if (size > 8) fail("a number of more than 64 bits");
        const int shift = 64 - 8 * int(size);
        return push_int(size == 0 ? 0 : int64_t(number(int(size)) << shift) >> shift);
      }
      case 'G': {
        const std::string_view digits = take(8);
        uint64_t bits = 0;
        for (const char c : digits) bits = bits << 8 | uint8_t(c);
        push(make(Kind::kFloat));
        stack_.back()->real = std::bit_cast<double>(bits);
        return;
      }
      case 'X':
        return push_text(Kind::kText, number(4));
      case '\x8c':
        return push_text(Kind::kText, number(1));
      case 'T':
      case 'B':
        return push_text(Kind::kBytes, number(4));
      case 'U':
      case 'C':
        return push_text(Kind::kBytes, number(1));
      case '}':
        return push(make(Kind::kDict));
      case ']':
        return push(make(Kind::kList));
      case ')':
        return push(make(Kind::kTuple));
      case 't':
        return push_tuple(pop_to_mark());
      case '\x85':
        return push_tuple(1);
      case '\x86':
        return push_tuple(2);
      case '\x87':
        return push_tuple(3);
      case 'a':
        return append(Kind::kList, {pop()});
      case 'e':
        return append(Kind::kList, pop_to_mark());
      case 's': {
        Value* value = pop();
        return append(Kind::kDict, {pop(), value});
      }
      case 'u':
        return append(Kind::kDict, pop_to_mark());
      case 'q':
        return put(number(1));
      case 'r':
        return put(number(4));
      case '\x94':
        return put(memo_.size());
      case 'h':
        return get(number(1));
      case 'j':
        return get(number(4));
      case 'c': {
        const std::string module = line();
        return push_class(module + " " + line());
      }
      case '\x93': {
        const Value* name = pop();
        return push_class(pop()->text + " " + name->text);
      }
      case 'Q':
        return persistent();
      case 'R':
      case '\x81': {
        const Value* arguments = pop();
        const Value* callee = pop();
        if (callee->kind != Kind::kClass || arguments->kind != Kind::kTuple) {
          fail("calls what is no class");
        }
        return push(call(callee->text, arguments->items));
      }
      case 'b':
        return build();
      default:
        fail(fmt::format("no pickle of a state dict: instruction {:#04x}", uint8_t(instruction)));
    }
  }

  const std::string_view bytes_;
  const std::string& name_;
  size_t at_ = 0, copied_ = 0;
  bool done_ = false;
  Pickle pickle_;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Value*> memo_;
};

}  // namespace

const Value* Value::find(std::string_view key) const {
  if (kind != Kind::kDict) return nullptr;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i]->kind == Kind::kText && items[i]->text == key) return items[i + 1];
  }
  return nullptr;
}

Pickle read_pickle(std::string_view bytes, const std::string& name) {
  return Machine(bytes, name).run();
}

}  // namespace rewire::train
