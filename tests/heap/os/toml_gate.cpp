#include <freestone/heap/os/toml_gate.hpp>

#include <doctest/doctest.h>

#include <string>

#include "support/prefixes.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {
// "line:column", or "" where the text may be handed on.
std::string fault_at(const std::string& text) {
  std::string found;
  try_exactly(text, [&](std::string_view exact) {
    detail::TomlGate gate(exact);
    if (gate.find_fault()) found = std::to_string(gate.line()) + ":" + std::to_string(gate.column());
  });
  return found;
}
}  // namespace

TEST_CASE("a header has a key") {
  for (const char* text : {"", "\n", "[a]", "[[a]]", "[ \"a\" ]", "[[ 'a' ]]", "[", "[[", "  [", "a = [[[1]]]", "# [[=", "\xef\xbb\xbf[a]"}) {
    CAPTURE(text);
    CHECK(fault_at(text).empty());
  }
  CHECK(fault_at("[=]") == "1:2");
  CHECK(fault_at("a = 1\n[[[1]]]") == "2:3");
  CHECK(fault_at("a = 1\n  [ [ ]") == "2:7");
  CHECK(fault_at("[\n") == "1:2");
  CHECK(fault_at("\xef\xbb\xbf[=]") == "1:2");
}

TEST_CASE("ASCII, but for strings and comments, and strings of one line") {
  CHECK(fault_at("a = \"\xd0\xa0\" # \xd0\xa0\nb = '\xd0\xa0'\n").empty());
  CHECK(fault_at("a = \"x\\\"\xd0\xa0\"").empty());
  CHECK(fault_at("a = 'x\\'\xd0\xa0").empty() == false);
  CHECK(fault_at("a = 0x\xd0\xa0") == "1:7");
  CHECK(fault_at("a = \"open\n\xd0\xa0") == "2:1");
  CHECK(fault_at("a = \"\"\"x\"\"\"") == "1:5");
  CHECK(fault_at("a = '''x'''") == "1:5");
  CHECK(fault_at("a = \"\" # empty").empty());
  CHECK(fault_at("a = \"\\").empty());
}

TEST_CASE("it reads nothing behind the end") {
  const std::string text = "# \xc3\xa4\n[[ a ]]\nb = \"\\\"\xc3\xa4\" # x\n[c.'d']\n e = 'f'\n";
  for_each_prefix(text, [](std::string_view part) {
    detail::TomlGate gate(part);
    CHECK(!gate.find_fault());
  });
  for_each_damaged(text, 5000, [](std::string_view part) {
    detail::TomlGate gate(part);
    if (gate.find_fault()) CHECK(*gate.why() != '\0');
  });
}
