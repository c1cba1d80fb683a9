#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstring>

#include "config/node.h"
#include "support/files.h"

namespace rewire::config {
namespace {

using test::message_of;
using testing::HasSubstr;

Node parsed(const std::string& text) { return parse_yaml(text, "x.yaml"); }
std::string error_of(const std::string& text) {
  return message_of<ConfigError>([&] { parsed(text); });
}
std::string place_of(const Position& position) {
  return std::to_string(position.line) + ":" + std::to_string(position.column);
}
std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(ParseYaml, RemembersWhereEverythingStands) {
  const Node node = parsed("a: 1\nlong:\n  inner: [x, 'y']\n  none:\n");
  ASSERT_EQ(node.kind, Node::Kind::kMap);
  ASSERT_EQ(node.entries.size(), 2u);
  EXPECT_EQ(place_of(node.entries[0].position), "1:1");
  EXPECT_EQ(place_of(node.find("a")->value.position), "1:4");
  const Node& inner_map = node.find("long")->value;
  EXPECT_EQ(place_of(inner_map.find("inner")->position), "3:3");
  const Node& list = inner_map.find("inner")->value;
  ASSERT_EQ(list.kind, Node::Kind::kList);
  EXPECT_EQ(list.items[0].text, "x");
  EXPECT_FALSE(list.items[0].quoted);
  EXPECT_EQ(place_of(list.items[1].position), "3:14");
  EXPECT_TRUE(list.items[1].quoted);
  EXPECT_EQ(inner_map.find("none")->value.kind, Node::Kind::kNull);
  EXPECT_EQ(node.find("absent"), nullptr);
}

TEST(ParseYaml, AnEmptyTextIsNothing) {
  EXPECT_EQ(parsed("").kind, Node::Kind::kNull);
  EXPECT_EQ(parsed("# a comment\n").kind, Node::Kind::kNull);
}

TEST(ParseYaml, AliasesAreResolved) {
  const Node node = parsed("a: &x {b: 1}\nc: *x\n");
  EXPECT_EQ(node.find("c")->value.find("b")->value.text, "1");
}

TEST(ParseYaml, RefusesADuplicateKey) {
  EXPECT_EQ(error_of("a: 1\nb: 2\na: 3\n"), "x.yaml:3:1: duplicate key 'a', first on line 1");
  EXPECT_EQ(error_of("a:\n  b: 1\n  b: 2\n"), "x.yaml:3:3: duplicate key 'b', first on line 2");
  EXPECT_EQ(error_of("{a: 1, 'a': 2}"), "x.yaml:1:8: duplicate key 'a', first on line 1");
}

TEST(ParseYaml, RefusesWhatIsMoreThanData) {
  EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"),
            "x.yaml:2:1: a second document; one file holds one experiment");
  EXPECT_EQ(error_of("a: !!python/object:os.system x\n"),
            "x.yaml:1:4: tags are not allowed: 'tag:yaml.org,2002:python/object:os.system'");
  EXPECT_EQ(error_of("a: !mine {b: 1}\n"), "x.yaml:1:4: tags are not allowed: '!mine'");
  EXPECT_EQ(error_of("a: !!map [1]\n"),
            "x.yaml:1:4: tags are not allowed: 'tag:yaml.org,2002:map'");
  EXPECT_EQ(error_of("a: &x {b: 1}\nc: {<<: *x}\n"),
            "x.yaml:2:5: merge keys are not allowed; use 'base'");
  EXPECT_EQ(error_of("[1, 2]: x\n"), "x.yaml:1:1: a key must be a word");
  EXPECT_EQ(error_of("~: x\n"), "x.yaml:1:1: a key must be a word");
}

TEST(ParseYaml, RefusesYamlThatIsNone) {
  EXPECT_EQ(error_of("a:\n\tb: 1\n"), "x.yaml:2:1: a tab; YAML is indented with spaces");
  EXPECT_EQ(error_of("a:\n  b: 1\n \tc: 1\n"), "x.yaml:3:2: a tab; YAML is indented with spaces");
  EXPECT_EQ(parsed("a:\t1\n").find("a")->value.text, "1");  // no indentation
  EXPECT_THAT(error_of("a: [1, 2\n"), HasSubstr("x.yaml:"));
  for (const std::string open :
       {"a: 'open", "a: 'open\n", "a: \"open\n\n  \n", "a: 'open\nb: 1\n"}) {
    EXPECT_THAT(error_of(open), HasSubstr("x.yaml:"));
  }
  EXPECT_THAT(error_of("a: b: c\n"), HasSubstr("x.yaml:1:"));
  EXPECT_THAT(error_of("a: *unknown\n"), HasSubstr("x.yaml:1:"));
  EXPECT_THAT(error_of("a: &x [*x]\n"), HasSubstr("x.yaml:1:"));
}

TEST(ParseYaml, DepthIsBounded) {
  const std::string message = "nested more than 64 levels deep";
  EXPECT_NO_THROW(parsed(repeated("[", 64) + repeated("]", 64)));
  EXPECT_EQ(error_of(repeated("[", 65) + repeated("]", 65)), "x.yaml:1:65: " + message);
  EXPECT_THAT(error_of(repeated("{a: ", 600) + repeated("}", 600)), HasSubstr(message));
  std::string block;
  for (int level = 0; level < 600; ++level) block += std::string(level, ' ') + "a:\n";
  EXPECT_EQ(error_of(block), "x.yaml:65:65: " + message);
}

TEST(ParseYaml, AliasesCannotExplode) {
  std::string bomb = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string alias = "*l" + std::to_string(i - 1);
    bomb += "l" + std::to_string(i) + ": &l" + std::to_string(i) + " [" + alias;
    bomb += repeated(", " + alias, 9) + "]\n";
  }
  EXPECT_THAT(error_of(bomb), HasSubstr(": more than 4000 values"));
}

#ifdef REWIRE_MEMORY_FACTOR  // sanitizers take more
constexpr int64_t kMemoryFactor = REWIRE_MEMORY_FACTOR;
#else
constexpr int64_t kMemoryFactor = 1;
#endif

// The most memory that this process ever held, in MiB.
int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss >> 10;
}

TEST(ParseYaml, HostileTextsAreRefusedInBoundedMemory) {
  const int64_t before = peak_memory();
  constexpr int kMany = 300'000;
  EXPECT_NE(error_of(repeated("[", kMany)), "");
  EXPECT_NE(error_of(repeated("{", kMany)), "");
  EXPECT_NE(error_of(repeated("- ", kMany)), "");
  EXPECT_NE(error_of(repeated("a: ", kMany)), "");
  EXPECT_NE(error_of("[" + repeated("x,", kMany) + "]"), "");
  EXPECT_NE(error_of(repeated("? ", kMany)), "");
  EXPECT_NE(error_of(repeated("&a ", kMany)), "");
  EXPECT_LT(peak_memory() - before, 128 * kMemoryFactor);
}

TEST(ParseYaml, SizeIsBounded) {
  const std::string line = "# " + std::string(1021, 'x') + "\n";
  EXPECT_NO_THROW(parsed(repeated(line, 1024)));
  EXPECT_EQ(error_of(repeated(line, 1024) + "#"), "x.yaml: larger than 1 MiB");
}

TEST(ParseYaml, AByteOrderMarkIsRead) {
  EXPECT_EQ(parsed("\xEF\xBB\xBFname: x\n").find("name")->value.text, "x");
  EXPECT_EQ(error_of("\xEF\xBB\xBF"
                     "a: 1\na: 2\n"),
            "x.yaml:2:1: duplicate key 'a', first on line 1");
}

TEST(ParseYaml, LinesMayEndInCarriageReturns) {
  EXPECT_EQ(parsed("a: 1\r\nb: 2\r\n").find("a")->value.text, "1");
}

TEST(ParseYaml, RefusesBinary) {
  const std::string message = "not a text file (UTF-8 YAML is expected)";
  EXPECT_EQ(error_of(std::string("name: \0x", 8)), "x.yaml:1:7: " + message);
  EXPECT_EQ(error_of("a: 1\nb: \x7f"), "x.yaml:2:4: " + message);
  EXPECT_EQ(error_of(std::string("\xFF\xFEn\0", 4)), "x.yaml:1:4: " + message);  // UTF-16
}

TEST(ParseYamlFile, NamesWhatIsNoFile) {
  const test::TempFolder folder;
  const auto error_of_file = [&](const std::string& name) {
    return message_of<ConfigError>([&] { parse_yaml_file(folder.path() / name); });
  };
  const std::string prefix = folder.path().string();
  EXPECT_EQ(error_of_file("absent.yaml"), prefix + "/absent.yaml: no such file");
  std::filesystem::create_directory(folder.path() / "folder.yaml");
  EXPECT_EQ(error_of_file("folder.yaml"), prefix + "/folder.yaml: not a file");
  ASSERT_EQ(mkfifo((folder.path() / "fifo.yaml").c_str(), 0600), 0);
  EXPECT_EQ(error_of_file("fifo.yaml"), prefix + "/fifo.yaml: not a file");
  folder.write("large.yaml", std::string((1 << 20) + 1, '#'));
  EXPECT_EQ(error_of_file("large.yaml"), prefix + "/large.yaml: larger than 1 MiB");
  EXPECT_EQ(error_of_file("large.yaml/below"), prefix + "/large.yaml/below: no such file");
}

// As YAML has it: a key that is there replaces what the merge key's map has of it, maps too.
TEST(ParsePublishedYaml, AMergeKeyGivesTheKeysThatAreNotThere) {
  const test::TempFolder folder;
  folder.write("base.yml", "lr: 0.1\noptimizer: {momentum: 0.9, nesterov: true}\nepochs: 3\n");
  const Node node = parse_published_yaml(
      folder.write("a.yml", "optimizer: {momentum: 0.5}\n<<: !include base.yml\nepochs: [1, 2]\n"));
  ASSERT_EQ(node.entries.size(), 3u);
  EXPECT_EQ(node.find("lr")->value.text, "0.1");
  const Node& optimizer = node.find("optimizer")->value;
  ASSERT_EQ(optimizer.entries.size(), 1u);
  EXPECT_EQ(optimizer.find("momentum")->value.text, "0.5");
  EXPECT_EQ(node.find("epochs")->value.items.size(), 2u);
}

TEST(ParseYamlFile, AnEmptyFileIsNothing) {
  const test::TempFolder folder;
  EXPECT_EQ(parse_yaml_file(folder.write("empty.yaml", "")).kind, Node::Kind::kNull);
}

}  // namespace
}  // namespace rewire::config
