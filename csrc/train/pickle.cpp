#include "train/pickle.h"

#include <fmt/format.h>

#include <bit>
#include <unordered_map>

#include "train/pickle_objects.h"

namespace rewire::train {
namespace {

using Kind = Value::Kind;

class Machine {
 public:
  Machine(std::string_view bytes, const std::string& name)
      : bytes_(bytes), values_(bytes.size(), name) {}

  Pickle run() {
    while (!done_) step(take(1)[0]);
    Pickle pickle = values_.take();
    pickle.root = root_;
    pickle.size = at_;
    return pickle;
  }

 private:
  [[noreturn]] void fail(const std::string& cause) const { values_.fail(cause); }

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

  Value* make(Kind kind) { return values_.make(kind); }
  void push(Value* value) {
    if (stack_.size() >= kMaxPickled) fail("a pickle of more than a million values");
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
    if (memo_.size() >= kMaxPickled) fail("a pickle of more than a million names");
    memo_[index] = value;
  }
  void get(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail("a pickle that names what it has not");
    push(found->second);
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
        root_ = pop();
        done_ = true;
        return;
      case '(':
        if (marks_.size() >= kMaxPickled) fail("a pickle of more than a million marks");
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
        return push(pickled_class(values_, module + " " + line()));
      }
      case '\x93': {
        const Value* name = pop();
        return push(pickled_class(values_, pop()->text + " " + name->text));
      }
      case 'Q':
        return push(pickled_storage(values_, *pop()));
      case 'R':
      case '\x81': {
        const Value* arguments = pop();
        const Value* callee = pop();
        if (callee->kind != Kind::kClass || arguments->kind != Kind::kTuple) {
          fail("calls what is no class");
        }
        return push(call_class(values_, callee->text, arguments->items));
      }
      case 'b': {
        const Value* state = pop();
        Value* object = pop();
        push(object);
        return tell_object(values_, *object, *state);
      }
      default:
        fail(fmt::format("no pickle of a state dict: instruction {:#04x}", uint8_t(instruction)));
    }
  }

  const std::string_view bytes_;
  size_t at_ = 0;
  bool done_ = false;
  PickledValues values_;
  Value* root_ = nullptr;
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
