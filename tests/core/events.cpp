#include <freestone/core/events.hpp>

#include <cstdint>

#include <doctest/doctest.h>

#include "support/random.hpp"

using namespace freestone;

namespace {

constexpr std::uint64_t max64 = ~std::uint64_t{0};

constexpr EventFields through(const EventFields& fields) { return Event::of(fields)->fields(); }
constexpr std::uint64_t time_of(std::uint64_t time) { return through({.time = time}).time; }

static_assert(sizeof(Event) == 16);
static_assert(Event().fields().kind == EventKind::allocate && Event().fields().size == 0);
static_assert(time_of(2047) == 2047 && time_of(2048) == 2048 && time_of(4095) == 4095 && time_of(4097) == 4096);

void check_same(const EventFields& a, const EventFields& b) {
  CHECK(a.kind == b.kind);
  CHECK(a.failed == b.failed);
  CHECK(a.tag == b.tag);
  CHECK(a.first == b.first);
  CHECK(a.size == b.size);
  CHECK(a.align == b.align);
  CHECK(a.time == b.time);
}

}  // namespace

TEST_CASE("an event keeps what was put in, each field at its ends") {
  for (const auto kind : {EventKind::allocate, EventKind::deallocate, EventKind::resize, EventKind::open}) {
    for (const bool failed : {false, true}) {
      check_same(through({.kind = kind, .failed = failed}), {.kind = kind, .failed = failed});
    }
  }
  check_same(through({.tag = 255}), {.tag = 255});
  check_same(through({.first = Granules((std::uint64_t{1} << 48) - 1)}),
             {.first = Granules((std::uint64_t{1} << 48) - 1)});
  check_same(through({.size = Event::most_size}), {.size = Event::most_size});
  for (unsigned log2 = 1; log2 < 64; ++log2) {
    check_same(through({.align = std::uint64_t{1} << log2}), {.align = std::uint64_t{1} << log2});
  }
}

TEST_CASE("what has no room becomes less, or is no event") {
  CHECK_FALSE(Event::of({.first = Granules(std::uint64_t{1} << 48)}));
  CHECK_FALSE(Event::of({.first = Granules(max64)}));
  CHECK(through({.size = max64}).size == Event::most_size);
  CHECK(through({.align = 1}).align == 0);
  CHECK(through({.align = 3 * 4096}).align == 4096);
  CHECK(time_of(max64) == std::uint64_t{4095} << 30);
}

TEST_CASE("a time is never said longer than it was, and by less than 1/2048 shorter") {
  tests::Random random(tests::seed());
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t time = random.next() >> random.from_to(22, 63);
    const std::uint64_t said = time_of(time);
    REQUIRE(said <= time);
    REQUIRE(time - said <= time / 2048);
    REQUIRE(time_of(said) == said);
  }
}

TEST_CASE("any fields that fit come back, and no field sees another") {
  tests::Random random(tests::seed());
  for (int i = 0; i < 10000; ++i) {
    const EventFields fields{.kind = static_cast<EventKind>(random.below(4)),
                             .failed = random.chance(50),
                             .tag = static_cast<std::uint8_t>(random.below(256)),
                             .first = Granules(random.next() >> 16),
                             .size = random.next() >> 17,
                             .align = random.chance(20) ? 0 : std::uint64_t{1} << random.from_to(1, 63),
                             .time = time_of(random.next() >> random.from_to(0, 63))};
    check_same(through(fields), fields);
  }
}

TEST_CASE("an event is ended in place, and only that changes") {
  const EventFields fields{
      .kind = EventKind::open, .tag = 7, .first = Granules(5), .size = 4096, .align = 64, .time = 9};
  Event event = *Event::of(fields);
  event.end(EventKind::deallocate, true);
  EventFields expected = fields;
  expected.kind = EventKind::deallocate;
  expected.failed = true;
  check_same(event.fields(), expected);
  event.end(EventKind::resize, false);
  expected.kind = EventKind::resize;
  expected.failed = false;
  check_same(event.fields(), expected);
  CHECK(event == Event::of(expected));
}
