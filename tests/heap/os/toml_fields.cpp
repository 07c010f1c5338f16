#include <freestone/heap/os/toml_fields.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "support/prefixes.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;
using detail::TomlFields;

namespace {
// What is wrong when `read` is let loose on the text.
template <class Read>
std::string fault_of(std::string_view text, Read&& read) {
  const auto parsed = detail::parse_toml(text);
  REQUIRE(parsed);
  TomlFields fields(*parsed);
  read(fields);
  return fields.error() ? describe(fields.error()) : "";
}
}  // namespace

TEST_CASE("values of each type, and those of another") {
  const std::string text = "n = 5\nt = \"5K\"\nb = true\nf = 1.5\nd = 1979-05-27\na = [1]\nneg = -1\n[s]\n";
  CHECK(fault_of(text, [](TomlFields& fields) {
          CHECK(fields.number("n") == 5);
          CHECK(fields.number("t") == 5120);
          CHECK(fields.flag("b"));
          CHECK(!fields.flag("nothing"));
          CHECK(!fields.number("nothing"));
          CHECK(fields.text("nothing").empty());
        }).empty());
  for (const char* field : {"b", "f", "d", "a", "s"}) {
    CAPTURE(field);
    const std::string fault = fault_of(text, [&](TomlFields& fields) { CHECK(!fields.number(field)); });
    CHECK(fault.find(std::string(field) + ": a value of another type belongs there") != std::string::npos);
  }
  CHECK(fault_of(text, [](TomlFields& fields) { fields.text("n"); }) == "line 1, column 5: n: a value of another type belongs there: '5'");
  CHECK(fault_of(text, [](TomlFields& fields) { fields.number("neg"); }) == "line 7, column 7: neg: a number out of range: '-1'");
  CHECK(fault_of(text, [](TomlFields& fields) { fields.number("n", 4); }) == "line 1, column 5: n: a number out of range: '5'");
  CHECK(fault_of(text, [](TomlFields& fields) { fields.flag("n"); }) == "line 1, column 5: n: a number out of range: '5'");
  CHECK(fault_of(text, [](TomlFields& fields) { fields.each("n", [](TomlFields&) {}); }).find("another type") != std::string::npos);
  CHECK(fault_of(text, [](TomlFields& fields) { fields.each("a", [](TomlFields&) {}); }).find("another type") != std::string::npos);
}

TEST_CASE("the first error stays, and nothing is read after it") {
  CHECK(fault_of("a = 1\nb = \"x\"\n", [](TomlFields& fields) {
          CHECK(!fields.number("b"));
          CHECK(!fields.number("a"));
          fields.fail("a", TextFault::zero_size);
        }) == "line 2, column 5: b: no number: 'x'");
}

TEST_CASE("names") {
  const auto named = [](const std::string& name) {
    return fault_of("name = \"" + name + "\"\n", [](TomlFields& fields) { fields.name("name"); }).empty();
  };
  CHECK(!named(""));
  CHECK(named("a"));
  CHECK(named(std::string(31, 'a')));
  CHECK(!named(std::string(32, 'a')));
  CHECK(!named("a\\u0000b"));
  CHECK(!named("a\\nb"));
  CHECK(!named("a\\u007f"));
  CHECK(named("Kamera \\u00e4"));
}

TEST_CASE("a word, or its number") {
  const auto place = [](const std::string& value) {
    std::size_t found = 9;
    fault_of("w = " + value + "\n", [&](TomlFields& fields) { found = fields.word_or_number("w", {"A", "B"}); });
    return found;
  };
  CHECK(place("\"A\"") == 0);
  CHECK(place("\"B\"") == 1);
  CHECK(place("1") == 1);
  CHECK(place("2") == 2);
  CHECK(place("\"C\"") == 2);
}

TEST_CASE("memories") {
  const auto fault = [](const std::string& text) {
    return fault_of(text, [](TomlFields& fields) { static_cast<void>(detail::read_memories(fields)); });
  };
  CHECK(fault("").empty());
  CHECK(fault("[[memory]]\nname = \"a\"\nbase = \"0xffff_ffff_ffff_f000\"\nsize = 4096\n").empty());
  CHECK(fault("[[memory]]\nname = \"a\"\nbase = \"0xffff_ffff_ffff_f000\"\nsize = 4097\n").find("size: it ends behind the last") != std::string::npos);
  CHECK(fault("[[memory]]\nname = \"a\"\nbase = 0\nsize = 0\n").find("line 4") == 0);
  CHECK(fault("[[memory]]\nbase = 0\nsize = 1\n").find("line 1, column 1: name: it must be said") == 0);
  CHECK(fault("[[memory]]\nname = \"a\"\nbase = 0\nsize = 1\nrows = 2\n").find("line 5, column 8: rows: there is no such field") == 0);
}

// Not any bytes, but what a text is made of: nothing else gets far into its parser.
TEST_CASE("in whatever order its parts come, a text is read or refused") {
  const std::string parts[] = {
      "[", "]", "[[", "]]", "{", "}", "=", ",", ".", "\n", "\r\n", "\r", " ", "\t", "#", "# x\n", "\"", "'", "\"\"\"", "'''", "\"\"", "\"a\"", "'b'", "\\", "\\u00e4",
      "\xc3\xa4", "\"\xc3\xa4\"", "'\xc3\xa4", "\xff", "\xef\xbb\xbf", "\xe2\x80\xa8", "\x7f", std::string(1, '\0'), "a", "b", "a.b", "a=1\n", "a.b=1\n", "[a]\n", "[[a]]\n", "[a.b]\n",
      "[[a.b]]\n", "a=[", "a={", "{a=1}", "1", "0x", "0b1", "-", "+", "_", "1e5", "1.", ".5", "inf", "nan", "true", "1979-05-27", "07:32:00", "T", "Z", "9223372036854775808",
      "heap", "[[heap]]\n", "[[ion]]\n", "[[pmem]]\n", "name=\"x\"\n", "id=1\n", "size=\"4K\"\n", "base=0\n"};
  const std::string good =
      "a = [1, {b = 'x', \"c\".d = [true,]}] # x\n[[heap]]\nname = \"x\"\nsize = 0x1_0\n[heap.e]\nf = 1979-05-27\ng = [\n-1.5e3,\n{h = {}}\n]\n";
  Random random(seed());
  std::size_t read = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string text = random.chance(50) ? good : "";
    for (std::uint64_t left = random.from_to(1, text.empty() ? 14 : 4); left != 0; --left) {
      const std::size_t at = static_cast<std::size_t>(random.below(text.size() + 1));
      text.replace(at, static_cast<std::size_t>(random.below(4)), parts[random.below(std::size(parts))]);
    }
    try_exactly(text, [&](std::string_view exact) { read += detail::parse_toml(exact) ? 1 : 0; });
  }
  CHECK(read > 2'000);
}

TEST_CASE("a key of many parts is refused, and needs no stack") {
  std::string key = "a";
  for (int part = 0; part < 200'000; ++part) key += ".a";
  CHECK(!detail::parse_toml(key + "=1"));
  CHECK(!detail::parse_toml("[" + key + "]"));
  CHECK(!detail::parse_toml("b = {" + key + "=1}"));
}

TEST_CASE("what a file of several systems may have") {
  const auto fault = [](const std::string& text) {
    return fault_of(text, [](TomlFields& fields) {
      detail::allow_systems(fields);
      fields.require_some("ion");
    });
  };
  CHECK(fault("order = \"newest_first\"\nhas_outer_cache = 7\nion = [{}]\nheap = 1\npmem = []\nmemory = 2\n").empty());
  CHECK(fault("ion = 7").empty());  // who reads it says so
  CHECK(fault("ion = []") == "line 1, column 7: ion: it must be said: 'an array'");
  CHECK(fault("pmem = [{}]") == "line 1, column 1: ion: it must be said");
  CHECK(fault("ions = 1").find("line 1, column 8: ions: there is no such field") == 0);
  CHECK(fault("order = \"up\"") == "line 1, column 9: order: none of the words that may stand there: 'up'");
}
