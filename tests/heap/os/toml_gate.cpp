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

TEST_CASE("an array's values begin like values") {
  for (const char* text : {"a = []", "a = [1,]", "a = [\n1, # one\n\n2\n]\n", "a = [{}, {b = [1]}]", "a = {b = 1, 'c'.d = {}}", "a = [\r\n]\r\n"}) {
    CAPTURE(text);
    CHECK(fault_at(text).empty());
  }
  CHECK(fault_at("heap=[}") == "1:7");
  CHECK(fault_at("a=[1,}") == "1:6");
  CHECK(fault_at("a=[1, # one\n\n }") == "3:2");
  CHECK(fault_at("a={b=[}") == "1:7");
  CHECK(fault_at("a={b=[{c=[,") == "1:11");
  CHECK(fault_at("a=[[1}") == "1:6");
  CHECK(fault_at("a={b=1]") == "1:7");
  CHECK(fault_at("a=[1 2]") == "1:6");
  CHECK(fault_at("a=}") == "1:3");
  CHECK(fault_at("a={=") == "1:4");
  CHECK(fault_at("a={1").empty());  // the text ends: its parser can tell
}

TEST_CASE("dates have no times") {
  CHECK(fault_at("d = 1979-05-27").empty());
  CHECK(fault_at("d = 1979-05-27T07:32:00Z") == "1:18");
  CHECK(fault_at("d = 07:.1") == "1:7");
}

TEST_CASE("a key has a few parts, and values are not deep") {
  CHECK(fault_at("a.b.c.d.e.f.g.h = 1").empty());
  CHECK(fault_at("a.b.c.d.e.f.g.h.i = 1") == "1:17");
  CHECK(fault_at("[a . 'b' . \"c\" . d.e.f.g.h ]").empty());
  CHECK(fault_at("[a.b.c.d.e.f.g.h.i]") == "1:18");
  CHECK(fault_at("a = [{a.b.c.d.e.f.g.h.i = 1}]") == "1:23");
  CHECK(fault_at("a = [[[[[[[[1]]]]]]]]").empty());
  CHECK(fault_at("a = [[[[[[[[{") == "1:13");
  CHECK(fault_at("a = 1.2.3.4.5.6.7.8.9.10").empty());  // no key
}

TEST_CASE("quotes begin a string where a value or a key's part begins, and nowhere else") {
  for (const char* text : {"a=1\"\xc3\xa4\"", "id=1'\xc3\xa4", "id=8\"me\xc3\xa4", "a=1=\"\xc3\xa4\"", "a=1.\"\xc3\xa4\"", "a=1[\"\xc3\xa4\"", "a=1 \"\xc3\xa4\"",
                           "a\"\xc3\xa4\"=1", "a='x'\"\xc3\xa4\"", "[a]\"\xc3\xa4\"", "a=[1\"\xc3\xa4\"]"}) {
    CAPTURE(text);
    CHECK(!fault_at(text).empty());
  }
  for (const char* text : {"'\xc3\xa4'.\"\xc3\xa4\" = 1", "a = [ '\xc3\xa4',\"\xc3\xa4\"]", "a={'\xc3\xa4'='\xc3\xa4'}", "['\xc3\xa4'] # \"\xc3\xa4"}) {
    CAPTURE(text);
    CHECK(fault_at(text).empty());
  }
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
