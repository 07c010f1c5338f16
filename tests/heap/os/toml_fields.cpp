#include <freestone/heap/os/toml_fields.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace freestone;
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
