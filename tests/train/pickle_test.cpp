// Pickles as strings of instructions: what is read of them, and what is refused.
#include "train/pickle.h"

#include <gtest/gtest.h>

#include "error.h"
#include "support/files.h"

namespace rewire::train {
namespace {

using namespace std::string_literals;
using Kind = Value::Kind;

std::string refusal(const std::string& bytes) {
  return test::message_of<CheckpointError>([&] { read_pickle(bytes, "a.pt"); });
}

// A value as Python would print it; of what only torch.save writes, in words of our own.
std::string shown(const Value& value) {
  const auto items = [&](const char* open, const char* close) {
    std::string text = open;
    for (const Value* item : value.items) text += (text == open ? "" : ", ") + shown(*item);
    return text + close;
  };
  switch (value.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.number ? "True" : "False";
    case Kind::kInt:
      return std::to_string(value.number);
    case Kind::kFloat:
      return std::to_string(value.real);
    case Kind::kText:
      return "'" + value.text + "'";
    case Kind::kBytes:
      return "b'" + value.text + "'";
    case Kind::kTuple:
      return items("(", ")");
    case Kind::kList:
      return items("[", "]");
    case Kind::kDict:
      return items("{", "}");
    case Kind::kClass:
      return "class " + value.text;
    case Kind::kDtype:
      return "dtype " + value.text;
    case Kind::kStorage:
      return "storage " + value.text + " of " + std::to_string(value.number);
    case Kind::kTensor:
      return items("tensor(", ")");
    case Kind::kObject:
      return "object " + value.text;
  }
  return "";
}

std::string read(const std::string& bytes) {
  const Pickle pickle = read_pickle(bytes, "a.pt");
  EXPECT_EQ(pickle.size, bytes.size());
  return shown(*pickle.root);
}

TEST(Pickle, ReadsNumbersOfEveryWidth) {
  EXPECT_EQ(read("N."), "None");
  EXPECT_EQ(read("\x88."), "True");
  EXPECT_EQ(read("\x89."), "False");
  EXPECT_EQ(read("K\xff."), "255");
  EXPECT_EQ(read("M\x01\x02."), "513");
  EXPECT_EQ(read("J\xfe\xff\xff\xff."), "-2");
  EXPECT_EQ(read("\x8a\x00."s), "0");
  EXPECT_EQ(read("\x8a\x01\xff."), "-1");
  EXPECT_EQ(read("\x8a\x02\xff\x00."s), "255");
  EXPECT_EQ(read("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."s), "-9223372036854775808");
  EXPECT_EQ(read("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s), "1.500000");
  EXPECT_EQ(read("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00K\x07."s), "7");
}

TEST(Pickle, ReadsTextsAndBytes) {
  EXPECT_EQ(read("X\x02\x00\x00\x00hi."s), "'hi'");
  EXPECT_EQ(read("\x8c\x02hi."), "'hi'");
  EXPECT_EQ(read("U\x02hi."), "b'hi'");
  EXPECT_EQ(read("C\x00."s), "b''");
  EXPECT_EQ(read("T\x02\x00\x00\x00hi."s), "b'hi'");
  EXPECT_EQ(read("B\x01\x00\x00\x00h."s), "b'h'");
}

TEST(Pickle, BuildsTuplesListsAndDicts) {
  EXPECT_EQ(read(")."), "()");
  EXPECT_EQ(read("K\x01\x85."), "(1)");
  EXPECT_EQ(read("K\x01K\x02\x86."), "(1, 2)");
  EXPECT_EQ(read("K\x01K\x02K\x03\x87."), "(1, 2, 3)");
  EXPECT_EQ(read("(K\x01(K\x02tK\x03t."), "(1, (2), 3)");
  EXPECT_EQ(read("]K\x01"
                 "a."),
            "[1]");
  EXPECT_EQ(read("](K\x01K\x02"
                 "e."),
            "[1, 2]");
  EXPECT_EQ(read("}U\x01"
                 "aK\x01s."),
            "{b'a', 1}");
  EXPECT_EQ(read("}(U\x01"
                 "aK\x01U\x01"
                 "bNu."),
            "{b'a', 1, b'b', None}");
}

TEST(Pickle, RemembersWhatItNames) {
  EXPECT_EQ(read("]q\x00K\x01"
                 "ah\x00\x86."s),
            "([1], [1])");
  EXPECT_EQ(read("K\x05r\x00\x01\x00\x00j\x00\x01\x00\x00\x86."s), "(5, 5)");
  EXPECT_EQ(read("K\x05\x94h\x00\x86."s), "(5, 5)");
  EXPECT_EQ(refusal("h\x07."), "a.pt: a pickle that names what it has not");
  EXPECT_EQ(refusal("K\x01q\x00j\x01\x00\x00\x00."s), "a.pt: a pickle that names what it has not");
}

TEST(Pickle, MayHoldItself) {
  const Pickle pickle = read_pickle(
      "]q\x00h\x00"
      "a."s,
      "a.pt");
  ASSERT_EQ(pickle.root->items.size(), 1u);
  EXPECT_EQ(pickle.root->items[0], pickle.root);
}

TEST(Pickle, ReadsThePickleThatBytesBeginWith) {
  EXPECT_EQ(read_pickle("K\x01.K\x02.", "a.pt").size, 3u);
}

// torch's own spelling of a tensor of two floats, and of an OrderedDict that holds it.
TEST(Pickle, ReadsTensorsAndOrderedDicts) {
  const std::string storage =
      "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
      "0X\x03\x00\x00\x00"
      "cpuK\x02tQ"s;
  const std::string dict = "ccollections\nOrderedDict\n)R";
  const std::string tensor = "ctorch._utils\n_rebuild_tensor_v2\n(" + storage +
                             "K\x00K\x02\x85K\x01\x85\x89"s + dict + "tR";
  EXPECT_EQ(read(tensor + "."), "tensor(storage 0 of 2, 0, (2), (1))");
  EXPECT_EQ(read("ctorch._utils\n_rebuild_parameter\n" + tensor + "\x88" + dict + "\x87R."),
            "tensor(storage 0 of 2, 0, (2), (1))");
  EXPECT_EQ(read(dict + "U\x01w" + tensor + "s."), "{b'w', tensor(storage 0 of 2, 0, (2), (1))}");
  EXPECT_EQ(read(dict + "}U\x09_metadataNsb."), "{}");
  EXPECT_EQ(read("ccollections\nOrderedDict\n]]K\x01"
                 "aK\x02"
                 "aa\x85R."),
            "{1, 2}");
}

TEST(Pickle, ReadsNumpysScalars) {
  const std::string dtype =
      "cnumpy\ndtype\nX\x02\x00\x00\x00"
      "f8K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNtb"s;
  const std::string bytes = "C\x08\x00\x00\x00\x00\x00\x00\xf8\x3f"s;
  for (const char* module : {"numpy.core.multiarray", "numpy._core.multiarray"}) {
    EXPECT_EQ(read("c"s + module + "\nscalar\n" + dtype + bytes + "\x86R."), "1.500000");
  }
  // Bytes as protocol 2 has them: a text, encoded.
  EXPECT_EQ(read("c_codecs\nencode\nX\x03\x00\x00\x00"
                 "a\xc3\xbfX\x06\x00\x00\x00latin1\x86R."s),
            "b'a\xff'");
}

TEST(Pickle, RefusesEveryOtherClass) {
  const std::string cause = ", which no plain checkpoint needs: refused, nothing was executed";
  for (const auto& [bytes, name] :
       {std::pair("cposix\nsystem\n."s, "posix.system"),
        {"c__builtin__\neval\n.", "__builtin__.eval"},
        {"\x8c\x08"
         "builtins\x8c\x04"
         "exec\x93.",
         "builtins.exec"},
        {"ctorch\nload\n.", "torch.load"},
        {"ctorch._utils\n_rebuild_tensor_v3\n.", "torch._utils._rebuild_tensor_v3"},
        {"cnumpy\nload\n.", "numpy.load"},
        {"c\n\n.", "."},
        // Known ones in the wrong place, and one with a hidden space.
        {"ccollections OrderedDict\nx\n.", "collections.OrderedDict.x"},
        // Behind the value that the pickle gives.
        {"Ncposix\nsystem\n0.", "posix.system"}}) {
    EXPECT_EQ(refusal(bytes), "a.pt: names " + std::string(name) + cause);
  }
}

TEST(Pickle, CallsOnlyClassesAndOnlyAsTorchDoes) {
  EXPECT_EQ(refusal("K\x01)R."), "a.pt: calls what is no class");
  EXPECT_EQ(refusal("ccollections\nOrderedDict\nNR."), "a.pt: calls what is no class");
  EXPECT_EQ(refusal("ccollections\nOrderedDict\nK\x01\x85R."), "a.pt: a dict of no known kind");
  EXPECT_EQ(refusal("ctorch._utils\n_rebuild_tensor_v2\n)R."),
            "a.pt: a tensor that is described in no known way");
  EXPECT_EQ(refusal("ctorch\nFloatStorage\n)R."), "a.pt: calls torch FloatStorage in no known way");
  EXPECT_EQ(refusal("ctrain\nScalarMeter\nN\x85R."),
            "a.pt: calls train ScalarMeter in no known way");
  EXPECT_EQ(refusal("K\x01}b."), "a.pt: tells an object something in no known way");
  EXPECT_EQ(refusal("}K\x01"
                    "b."),
            "a.pt: tells an object something in no known way");
  EXPECT_EQ(refusal("NQ."), "a.pt: a storage that is described in no known way");
  EXPECT_EQ(refusal("(U\x07storageNNNNtQ."), "a.pt: a storage that is described in no known way");
}

TEST(Pickle, RefusesWhatIsCut) {
  const std::string cut = "a.pt: cut: a pickle that does not end";
  for (const std::string& bytes :
       {""s, "N"s, "K"s, "J\x01\x02"s, "\x8a"s, "\x8a\x04\x01"s, "X\x05\x00\x00\x00hi"s,
        "X\xff\xff\xff\xff"s, "G\x01"s, "cposix"s, "cposix\nsystem"s, "\x80"s, "\x95\x01"s}) {
    EXPECT_EQ(refusal(bytes), cut) << bytes;
  }
}

TEST(Pickle, RefusesStacksThatAreNotThere) {
  const std::string cause = "a.pt: a pickle that takes more than it has";
  for (const std::string& bytes :
       {"."s, "t."s, "a."s, "]a."s, "s."s, "}Ns."s, "\x85."s, "K\x01\x86."s, "R."s, "b."s, "Q."s,
        "q\x00."s, "(."s, "K\x01(a."s, "u."s, "e."s, "\x93."s}) {
    EXPECT_EQ(refusal(bytes), cause) << bytes;
  }
  EXPECT_EQ(refusal("K\x01N"
                    "a."),
            "a.pt: a pickle that fills what is no list or dict");
  EXPECT_EQ(refusal("](K\x01u."), "a.pt: a pickled dict with half an entry");
  EXPECT_EQ(refusal("]NNs."), "a.pt: a pickle that fills what is no list or dict");
}

TEST(Pickle, RefusesInstructionsThatNoStateDictHas) {
  // Protocol 0's, INST, OBJ, NEWOBJ_EX, EXT1, BYTEARRAY8, sets, and one that there is not.
  for (const auto& [bytes, number] : {std::pair("I1\n."s, "0x49"),
                                      {"(iposix\nsystem\n.", "0x69"},
                                      {"(o.", "0x6f"},
                                      {"\x92.", "0x92"},
                                      {"\x82\x01.", "0x82"},
                                      {"\x96.", "0x96"},
                                      {"\x8f.", "0x8f"},
                                      {"\x00."s, "0x00"},
                                      {"0.", "0x30"}}) {
    EXPECT_EQ(refusal(bytes), "a.pt: no pickle of a state dict: instruction "s + number);
  }
  EXPECT_EQ(refusal("\x80\x06N."), "a.pt: a pickle of an unknown protocol");
  EXPECT_EQ(refusal("\x8a\x09"
                    "123456789."),
            "a.pt: a number of more than 64 bits");
}

TEST(Pickle, BoundsWhatItHolds) {
  const size_t too_many = 1'000'001;
  EXPECT_EQ(refusal(std::string(too_many, 'N')), "a.pt: a pickle of more than a million values");
  EXPECT_EQ(refusal(std::string(too_many, '(')), "a.pt: a pickle of more than a million marks");
  std::string gets = "Nq\0"s;
  for (size_t i = 0; i < too_many; ++i) gets += "h\0"s;
  EXPECT_EQ(refusal(gets), "a.pt: a pickle of more than a million values");
  std::string names = "N";
  for (size_t i = 0; i < too_many; ++i) {
    names += 'r';
    for (int shift = 0; shift < 32; shift += 8) names += char(i >> shift & 0xFF);
  }
  EXPECT_EQ(refusal(names), "a.pt: a pickle of more than a million names");
}

// A text that is encoded again and again would grow without bytes to show for it.
TEST(Pickle, BoundsWhatIsCopied) {
  std::string bytes =
      "c_codecs\nencode\nq\0"s + "X\xe8\x03\x00\x00"s + std::string(1000, 'a') + "\x85q\x01" + "N";
  for (int i = 0; i < 100; ++i) bytes += "h\0h\x01R"s;
  EXPECT_EQ(refusal(bytes + "."), "a.pt: a pickle that repeats itself");
}

// A thousand lists within one another are read without a stack of calls, and so are a million.
TEST(Pickle, ReadsDeepNesting) {
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes += "]";
  for (int i = 1; i < 300'000; ++i) bytes += "a";
  const Pickle pickle = read_pickle(bytes + ".", "a.pt");
  int depth = 1;
  for (const Value* value = pickle.root; !value->items.empty(); value = value->items[0]) ++depth;
  EXPECT_EQ(depth, 300'000);
}

TEST(Value, FindsTheKeysOfADict) {
  const Pickle pickle = read_pickle(
      "}(X\x01\x00\x00\x00"
      "aK\x01K\x02K\x03u."s,
      "a.pt");
  ASSERT_TRUE(pickle.root->find("a"));
  EXPECT_EQ(pickle.root->find("a")->number, 1);
  EXPECT_EQ(pickle.root->find("b"), nullptr);
  EXPECT_EQ(pickle.values.front().items[0]->find("a"), nullptr);  // of a text
}

}  // namespace
}  // namespace rewire::train
