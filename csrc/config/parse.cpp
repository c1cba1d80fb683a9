// YAML text to Node, on yaml-cpp's event interface: it gives the place of each key, and lets a
// hostile document be refused while it is read rather than after it has filled the memory.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <sstream>

#include "config/node.h"

namespace rewire::config {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxDepth = 64;
constexpr int64_t kMaxNodes = 4000;

// A command line's override has no lines.
Position place(const std::string& origin, int line, int column) {
  if (origin == "--set") return {origin, 0, 0};
  return {origin, line, column};
}

// What `!include WORD` stands for.
using Include = std::function<Node(const std::string& word, const Position& position)>;

class TreeBuilder : public YAML::EventHandler {
 public:
  // include: none where the file is one of ours, which has neither includes nor merge keys.
  TreeBuilder(std::string origin, Include include)
      : origin_(std::move(origin)), include_(std::move(include)) {
    root_.position.origin = origin_;
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) fail(mark, "a second document; one file holds one experiment");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    leaf(mark, anchor, Node::Kind::kNull, "", false);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (include_ && tag == "!include") {
      Node node = include_(value, place(mark));
      count(mark, size(node));
      return add(std::move(node));
    }
    refuse_tag(mark, tag);
    leaf(mark, anchor, Node::Kind::kScalar, value, tag == "!");
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) fail(mark, "an alias inside its own anchor");
    count(mark, size(known->second));
    add(known->second);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::kMap);
  }
  void OnMapEnd() override { close(); }

  Node take() { return std::move(root_); }
  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& message) const {
    throw complaint(place(mark), "", message);
  }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor;
    bool has_key = false;  // map: a key was read, its value is next
    std::string key;
    Position key_position;
    std::vector<Node> merged;  // maps behind `<<`
  };

  Position place(const YAML::Mark& mark) const {
    return config::place(origin_, mark.line + 1, mark.column + 1);
  }
  static int64_t size(const Node& node) {
    int64_t total = 1;
    for (const Node& item : node.items) total += size(item);
    for (const Entry& entry : node.entries) total += size(entry.value);
    return total;
  }
  void count(const YAML::Mark& mark, int64_t nodes) {
    nodes_ += nodes;
    if (nodes_ > kMaxNodes) fail(mark, "more than 4000 values");
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!") fail(mark, "tags are not allowed: '" + tag + "'");
  }
  void leaf(const YAML::Mark& mark, YAML::anchor_t anchor, Node::Kind kind, const std::string& text,
            bool quoted) {
    count(mark, 1);
    Node node;
    node.kind = kind;
    node.position = place(mark);
    node.text = text;
    node.quoted = quoted;
    if (anchor) anchors_[anchor] = node;
    add(std::move(node));
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    refuse_tag(mark, tag);
    count(mark, 1);
    if (stack_.size() >= kMaxDepth) fail(mark, "nested more than 64 levels deep");
    Open level;
    level.node.kind = kind;
    level.node.position = place(mark);
    level.anchor = anchor;
    stack_.push_back(std::move(level));
  }
  void close() {
    Open level = std::move(stack_.back());
    stack_.pop_back();
    for (const Node& merged : level.merged) take_absent(merged, level.node);
    if (level.anchor) anchors_[level.anchor] = level.node;
    add(std::move(level.node));
  }
  // What a merge key gives: entries whose keys are not there, whole. A map that is there on both
  // sides is not mixed.
  static void take_absent(const Node& merged, Node& node) {
    for (const Entry& entry : merged.entries) {
      if (!node.find(entry.key)) node.entries.push_back(entry);
    }
  }
  void add(Node node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& level = stack_.back();
    if (level.node.kind == Node::Kind::kList) {
      level.node.items.push_back(std::move(node));
    } else if (level.has_key && include_ && level.key == "<<") {
      if (node.kind != Node::Kind::kMap) throw complaint(node.position, "<<", "expected a map");
      if (!level.merged.empty()) throw complaint(node.position, "<<", "a second merge key");
      level.merged.push_back(std::move(node));
      level.has_key = false;
    } else if (level.has_key) {
      level.node.entries.push_back({level.key, level.key_position, std::move(node), false});
      level.has_key = false;
    } else {
      take_key(node, level);
    }
  }
  void take_key(const Node& node, Open& level) const {
    const auto refuse = [&](const std::string& message) {
      throw complaint(node.position, "", message);
    };
    if (node.kind != Node::Kind::kScalar) refuse("a key must be a word");
    if (node.text == "<<" && !include_) refuse("merge keys are not allowed; use 'base'");
    if (const Entry* first = level.node.find(node.text)) {
      refuse("duplicate key '" + node.text + "', first on line " +
             std::to_string(first->position.line));
    }
    level.key = node.text;
    level.key_position = node.position;
    level.has_key = true;
  }

  std::string origin_;
  Include include_;
  int documents_ = 0;
  int64_t nodes_ = 0;
  std::vector<Open> stack_;
  std::map<YAML::anchor_t, Node> anchors_;
  Node root_;
};

// yaml-cpp takes any byte; a text file holds no control characters.
void refuse_binary(const std::string& text, const std::string& origin) {
  int line = 1, column = 1;
  for (const unsigned char c : text) {
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
      throw complaint(place(origin, line, column), "", "not a text file (UTF-8 YAML is expected)");
    }
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n';
  }
}

// Where `text` indents the line of `mark`, or the one before, with a tab: what yaml-cpp says of it
// helps nobody.
std::optional<YAML::Mark> tab_before(const std::string& text, const YAML::Mark& mark) {
  std::istringstream lines(text);
  std::string line;
  for (int number = 0; number <= mark.line && std::getline(lines, line); ++number) {
    const size_t tab = line.find_first_not_of(' ');
    if (number < mark.line - 1 || tab == std::string::npos || line[tab] != '\t') continue;
    YAML::Mark found;
    found.line = number;
    found.column = int(tab);
    return found;
  }
  return std::nullopt;
}

// yaml-cpp takes a quote that is open at the end of the text for closed if line breaks follow.
std::string without_last_breaks(const std::string& text) {
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

}  // namespace

namespace {

Node parse_text(const std::string& text, const std::string& origin, const Include& include) {
  if (text.size() > kMaxBytes) throw ConfigError(origin + ": larger than 1 MiB");
  refuse_binary(text, origin);
  std::istringstream stream(without_last_breaks(text));
  TreeBuilder builder(origin, include);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    if (const auto tab = tab_before(text, error.mark)) {
      builder.fail(*tab, "a tab; YAML is indented with spaces");
    }
    builder.fail(error.mark, error.msg);
  }
  return builder.take();
}

std::string text_of(const std::filesystem::path& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (!std::filesystem::exists(status)) throw ConfigError(file.string() + ": no such file");
  if (!std::filesystem::is_regular_file(status)) throw ConfigError(file.string() + ": not a file");
  if (std::filesystem::file_size(file, error) > kMaxBytes) {
    throw ConfigError(file.string() + ": larger than 1 MiB");
  }
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) throw ConfigError(file.string() + ": cannot be read");
  return text.str();
}

constexpr int kMaxIncludes = 16;  // of a file and all that it includes

Node parse_including(const std::filesystem::path& file, int& includes) {
  const auto include = [&](const std::string& word, const Position& position) {
    if (++includes > kMaxIncludes) throw complaint(position, "", "more than 16 includes");
    const std::filesystem::path other = file.parent_path() / word;
    if (other.extension() == ".yml" || other.extension() == ".yaml") {
      return parse_including(other, includes);
    }
    Node node;
    node.kind = Node::Kind::kScalar;
    node.position = position;
    node.text = text_of(other);
    node.quoted = true;
    return node;
  };
  return parse_text(text_of(file), file.string(), include);
}

}  // namespace

Node parse_yaml(const std::string& text, const std::string& origin) {
  return parse_text(text, origin, nullptr);
}

Node parse_yaml_file(const std::filesystem::path& file) {
  return parse_text(text_of(file), file.string(), nullptr);
}

Node parse_published_yaml(const std::filesystem::path& file) {
  int includes = 0;
  return parse_including(file, includes);
}

}  // namespace rewire::config
