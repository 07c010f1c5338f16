#include <freestone/heap/block_name.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

using namespace freestone;

namespace {

using Name = BlockName<>;

ErrorCode code_of(const Result<Name>& name) { return name ? ErrorCode::none : name.error().code; }

}  // namespace

TEST_CASE("1 to 15 bytes, whole (row 6)") {
  CHECK(std::string_view(Name::of("B")->c_str()) == "B");
  CHECK(std::string_view(Name::of("123456789012345")->c_str()) == "123456789012345");
  CHECK(Name::of("123456789012345")->length() == 15);
  CHECK(code_of(Name::of("1234567890123456")) == ErrorCode::bad_name);
  CHECK(code_of(Name::of("")) == ErrorCode::bad_name);
  CHECK(code_of(Name::of(static_cast<const char*>(nullptr))) == ErrorCode::bad_name);
  CHECK(code_of(Name::of(std::string(100'000, 'x').c_str())) == ErrorCode::bad_name);
  CHECK(std::string_view(Name::of("1234567890123456").error().node()).empty());
}

TEST_CASE("text without an end is read no further than it may be") {
  const std::array<char, 16> endless = {'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a'};
  CHECK(code_of(Name::of(endless.data())) == ErrorCode::bad_name);
  CHECK(Name::of_field(std::span(endless)).error().asked == 16);
}

TEST_CASE("counted bytes: none of them is 0") {
  const std::string_view inside("em\0ac", 5);
  CHECK(code_of(Name::of(std::span(inside))) == ErrorCode::bad_name);
  CHECK(code_of(Name::of(std::span<const char>())) == ErrorCode::bad_name);
  CHECK(*Name::of(std::span(std::string_view("emac"))) == *Name::of("emac"));
  CHECK(*Name::of("\xff %s/..") == *Name::of(std::span(std::string_view("\xff %s/.."))));
}

TEST_CASE("a record's field ends with its first 0, whatever is behind") {
  std::array<char, 16> field = {'B', 'D', 'M', 'A', '\0', 'x', 'y'};
  CHECK(*Name::of_field(std::span(field)) == *Name::of("BDMA"));
  field[0] = '\0';
  CHECK(code_of(Name::of_field(std::span(field))) == ErrorCode::bad_name);
  field.fill('x');
  CHECK(code_of(Name::of_field(std::span(field))) == ErrorCode::bad_name);
  field[15] = '\0';
  CHECK(Name::of_field(std::span(field))->length() == 15);
  std::array<char, 32> wide = {};
  for (std::size_t i = 0; i < 16; ++i) wide[i] = 'x';
  CHECK(code_of(Name::of_field(std::span(wide))) == ErrorCode::bad_name);
  CHECK(code_of(Name::of_field(std::span<const char>())) == ErrorCode::bad_name);
}

TEST_CASE("a prefix is another name") {
  CHECK(*Name::of("AESDMA_ENG") != *Name::of("AESDMA_ENG1"));
  CHECK(*Name::of("emac1") != *Name::of("emac1_buff"));
  CHECK(Name().is_empty());
  CHECK(Name() != *Name::of("B"));
}

TEST_CASE("what the program says itself, when it is compiled") {
  constexpr Name name = "emac1_buff";
  static_assert(name.length() == 10);
  static_assert(name == *Name::of("emac1_buff"));
  static_assert(!Name::of("1234567890123456"));
  static_assert(!BlockName<3>::of("four"));
  static_assert(BlockName<4>::of("four")->length() == 4);
  static_assert(BlockName<31>("a name as long as MMZ's zones'").length() == 30);
}
