#include <freestone/core/same_text.hpp>

#include <doctest/doctest.h>

using namespace freestone;

namespace {

constexpr char jpeg[] = {'j', 'p', 'e', 'g', '\0', 'x'};
static_assert(is_same_text(jpeg, "jpeg"));  // at other addresses, and what lies behind the end is nothing

}  // namespace

TEST_CASE("texts are the same to their ends") {
  CHECK(is_same_text("", ""));
  CHECK(is_same_text(jpeg, jpeg));
  CHECK(!is_same_text("jpeg", "jpe"));
  CHECK(!is_same_text("jpe", "jpeg"));
  CHECK(!is_same_text("jpeg", "Jpeg"));
  CHECK(!is_same_text("jpeg", ""));
  CHECK(!is_same_text("", "jpeg"));
  CHECK(!is_same_text("\x80", ""));
}

TEST_CASE("what is not there is no text's equal, nor its own") {
  CHECK(!is_same_text(nullptr, ""));
  CHECK(!is_same_text("", nullptr));
  CHECK(!is_same_text(nullptr, nullptr));
}
