#include <freestone/backing/offset_space.hpp>

#include <doctest/doctest.h>

#include <utility>

using namespace freestone;

TEST_CASE("an offset space has numbers and notes, and no memory") {
  auto space = backing::OffsetSpace::create({.size = 1_TiB, .notes_words = 100}, 4_KiB);
  REQUIRE(space);
  CHECK(space->size() == 1_TiB);
  CHECK(space->base() == 4_KiB);
  CHECK(space->notes().size() == 100);
  CHECK_FALSE(has_cpu_pointer<backing::OffsetSpace>);
  backing::OffsetSpace moved = *std::move(space);
  CHECK(moved.notes().size() == 100);
  CHECK(space->notes().empty());
}

TEST_CASE("notes that no heap can hold are an error") {
  const auto space = backing::OffsetSpace::create({.name = "huge", .size = 1, .notes_words = SIZE_MAX});
  REQUIRE_FALSE(space);
  CHECK(space.error().code == ErrorCode::out_of_memory);
}

namespace {
constexpr bool in_constant_evaluation = [] {
  auto space = backing::OffsetSpace::create({.size = 64, .notes_words = 2});
  return space && space->notes().size() == 2 && space->notes()[1] == 0;
}();
static_assert(in_constant_evaluation);
}  // namespace
