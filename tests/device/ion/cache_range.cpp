#include <freestone/device/ion/cache_range.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <doctest/doctest.h>

using namespace freestone;
using namespace freestone::device;

namespace {

constexpr auto no_such = static_cast<CacheCommand>(3);
constexpr std::uint64_t most = ~std::uint64_t{0};

// What was done: each byte's number of the buffer, as the inner cache was told, and each byte's physical address.
struct Touched {
  std::vector<std::uint64_t> inner = {};
  std::vector<std::uint64_t> addresses = {};
  std::vector<std::uint64_t> outer = {};
  unsigned whole = 0;
  bool is_empty_told = false;
  bool is_outer_first = false;
  std::optional<CacheCommand> command = {};

  bool operator==(const Touched&) const = default;

  void operator()(const InnerRange& range, CacheCommand told) {
    command = told;
    is_empty_told |= range.length == 0;
    for (std::uint64_t at = 0; at < range.length.value(); ++at) {
      inner.push_back(range.offset.value() + at);
      addresses.push_back(range.address + at);
    }
  }
  void operator()(const OuterRange& range, CacheCommand told) {
    command = told;
    is_empty_told |= range.length == 0;
    is_outer_first |= inner.empty();
    for (std::uint64_t at = 0; at < range.length.value(); ++at) outer.push_back(range.start.value() + at);
  }
  void operator()(WholeBuffer, CacheCommand told) {
    command = told;
    ++whole;
  }
};

struct Ran {
  Errno error;
  Touched touched;
};

Ran run(const CachedBuffer& buffer, const CacheCall& call) {
  Ran ran{};
  ran.error = cache_operations(buffer, call, ran.touched);
  return ran;
}

// The same, byte by byte.
std::vector<std::uint64_t> addresses_of(std::span<const PhysicalPiece> pieces) {
  std::vector<std::uint64_t> all;
  for (const PhysicalPiece& piece : pieces) {
    for (std::uint64_t at = 0; at < piece.length.value(); ++at) all.push_back(piece.address.value() + at);
  }
  return all;
}
bool is_in_mapping(const CacheCall& call) {
  if (!call.mapping) return false;
  const auto has = [&](std::uint64_t address) { return address >= call.mapping->start && address < call.mapping->end; };
  for (std::uint64_t at = 0; at < call.length; ++at) {
    if (call.address > most - at - 1 || !has(call.address + at)) return false;  // its end would be address 0
  }
  return call.length != 0 || (has(call.address) && call.address != 0 && has(call.address - 1));
}
// Every border between bytes that the range touches is one of the buffer's.
bool is_in_buffer(std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
  for (std::uint64_t at = 0; at <= length; ++at) {
    if (offset > most - at || offset + at > size) return false;
  }
  return true;
}

Ran model(const CachedBuffer& buffer, const CacheCall& call) {
  const bool is_whole = call.null_is_whole && call.address == 0;
  if (!is_whole && !is_in_mapping(call)) return {Errno::invalid, {}};
  if (!buffer.is_cached) return {Errno::none, {}};
  if (buffer.reach == CacheReach::nothing) return {Errno::no_device, {}};
  if (call.command == no_such) return {Errno::invalid, {}};
  Touched touched;
  touched.command = call.command;
  if (is_whole) return touched.whole = 1, Ran{Errno::none, touched};

  const std::uint64_t size = buffer.size.value();
  std::uint64_t shown = call.mapping->offset;
  for (std::uint64_t address = call.mapping->start; address != call.address; ++address) ++shown;
  if (!is_in_buffer(size, shown, call.length) || !is_in_buffer(size, call.offset, call.length)) return {Errno::invalid, {}};
  const auto physical = addresses_of(buffer.pieces);
  for (std::size_t at = 0; at < size; ++at) {
    if (at >= shown && at < shown + call.length) {
      touched.inner.push_back(at);
      touched.addresses.push_back(call.address + (at - shown));
    }
    const bool is_asked = at >= call.offset && at < call.offset + call.length;
    if (buffer.has_outer_cache && (is_asked || buffer.reach == CacheReach::every_page)) touched.outer.push_back(physical[at]);
  }
  if (touched.inner.empty() && touched.outer.empty()) touched.command.reset();
  touched.is_outer_first = !touched.outer.empty() && (touched.inner.empty() || call.command == CacheCommand::invalidate);
  return {Errno::none, touched};
}

bool agrees(const CachedBuffer& buffer, const CacheCall& call) {
  const Ran is = run(buffer, call);
  const Ran should = model(buffer, call);
  if (is.error == should.error && is.touched == should.touched) return true;
  INFO("address ", call.address, " offset ", call.offset, " length ", call.length, " command ", static_cast<unsigned>(call.command));
  INFO("mapping ", call.mapping ? call.mapping->start : most, " to ", call.mapping ? call.mapping->end : most, " at ",
       call.mapping ? call.mapping->offset : most, " reach ", static_cast<unsigned>(buffer.reach));
  CHECK(is.error == should.error);
  CHECK(is.touched == should.touched);
  return false;
}

// Three pieces, the last of which has two bytes more than the buffer, and one that is next to another.
const std::array<PhysicalPiece, 3> pieces{PhysicalPiece{PhysicalAddress(0x1000), 2}, PhysicalPiece{PhysicalAddress(0x1002), 1},
                                          PhysicalPiece{PhysicalAddress(0x800), 4}};
constexpr std::uint64_t size = 5;

// Each address, offset and length that makes a difference, round a mapping of some bytes that begins at `first`: small ones, and
// those that wrap. False at the first that is not as the model has it.
bool all_ranges_agree(const CachedBuffer& buffer, CacheCall call, std::uint64_t first) {
  for (int address = -1; address <= 7; ++address) {
    for (int length = -6; length <= 8; ++length) {
      for (int offset = -1; offset <= 6; ++offset) {
        call.address = first + static_cast<std::uint64_t>(address);
        call.length = static_cast<std::uint64_t>(length);
        call.offset = static_cast<std::uint64_t>(offset);
        if (!agrees(buffer, call)) return false;
      }
    }
  }
  return true;
}

bool all_mappings_agree(const CachedBuffer& buffer, CacheCall call, std::uint64_t first) {
  call.mapping.reset();
  if (!all_ranges_agree(buffer, call, first)) return false;
  for (const std::uint64_t length : {0U, 1U, 2U, 5U, 7U}) {
    for (std::uint64_t offset = 0; offset <= 3; ++offset) {
      call.mapping = CallerMapping{first, first + length, offset};
      if (first + length >= first && !all_ranges_agree(buffer, call, first)) return false;
    }
  }
  return true;
}

bool all_buffers_agree(const CacheCall& call, std::uint64_t first) {
  for (const CacheReach reach : {CacheReach::nothing, CacheReach::asked, CacheReach::every_page}) {
    for (const bool is_cached : {true, false}) {
      for (const bool has_outer_cache : {true, false}) {
        const CachedBuffer buffer{size, pieces, reach, is_cached, has_outer_cache};
        if (!all_mappings_agree(buffer, call, first)) return false;
      }
    }
  }
  return true;
}

// A buffer of one piece, all of it mapped at 0x10000.
const std::array<PhysicalPiece, 1> one_piece{PhysicalPiece{PhysicalAddress(0x40000000), 0x3000}};
constexpr CallerMapping all_of_it{0x10000, 0x13000, 0};

}  // namespace

TEST_CASE("row 20: each range touches what a walk byte by byte finds") {
  for (const CacheCommand command : {CacheCommand::clean, CacheCommand::invalidate, CacheCommand::clean_invalidate, no_such}) {
    for (const bool null_is_whole : {false, true}) {
      const CacheCall call{.command = command, .null_is_whole = null_is_whole};
      CHECK(all_buffers_agree(call, 1));  // from NULL on
      CHECK(all_buffers_agree(call, most - 5));  // up to the last address
    }
  }
}

TEST_CASE("row 20: what a caller asks for, in both caches") {
  const CachedBuffer buffer{0x3000, one_piece, CacheReach::asked, true, true};
  const CacheCall call{CacheCommand::clean_invalidate, 0x10800, 0x800, 0x1800, all_of_it};
  const auto [error, touched] = run(buffer, call);
  CHECK(error == Errno::none);
  CHECK(touched.command == CacheCommand::clean_invalidate);
  REQUIRE(touched.addresses.size() == 0x1800);
  CHECK(touched.addresses.front() == 0x10800);
  CHECK(touched.inner.front() == 0x800);
  REQUIRE(touched.outer.size() == 0x1800);  // more than the one page of the original's contiguous system heap
  CHECK(touched.outer.front() == 0x40000800);
  CHECK(touched.outer.back() == 0x40001fff);
}

TEST_CASE("row 20: of a scattered heap the outer cache is told of every page, of an empty range too") {
  const CachedBuffer buffer{size, pieces, CacheReach::every_page, true, true};
  const CacheCall call{CacheCommand::clean, 0x101, 0, 0, CallerMapping{0x100, 0x105, 0}};
  const auto [error, touched] = run(buffer, call);
  CHECK(error == Errno::none);
  CHECK(touched.inner.empty());
  CHECK(touched.outer == std::vector<std::uint64_t>{0x1000, 0x1001, 0x1002, 0x800, 0x801});
}

TEST_CASE("row 20: where a range is bad: outside of the mapping, wrapping, empty at its start") {
  const CachedBuffer buffer{0x3000, one_piece, CacheReach::asked, true, true};
  struct Case {
    std::uint64_t address, length;
    Errno error;
  };
  const Case cases[] = {
      {0x10000, 0x3000, Errno::none},    {0x10000, 0x3001, Errno::invalid}, {0xffff, 1, Errno::invalid},
      {0xffff, 2, Errno::invalid},       {0x12fff, 1, Errno::none},         {0x13000, 1, Errno::invalid},
      {0x10000, 0, Errno::invalid},      {0x10001, 0, Errno::none},         {0x12fff, 0, Errno::none},
      {0x13000, 0, Errno::invalid},      {0x10001, most, Errno::invalid},   {0x10001, most - 0x10000, Errno::invalid},
      {0x10001, most - 0xffff, Errno::invalid}, {most, 1, Errno::invalid},  {0, 0, Errno::invalid},
  };
  for (const Case& one : cases) {
    INFO("address ", one.address, " length ", one.length);
    const CacheCall call{CacheCommand::clean, one.address, 0, one.length, all_of_it};
    const auto [error, touched] = run(buffer, call);
    CHECK(error == one.error);
    CHECK(touched.inner.size() == (error == Errno::none ? one.length : 0));
  }
}

TEST_CASE("row 20: weakness 9: neither another's mapping nor an offset leads out of the buffer") {
  const CachedBuffer buffer{0x3000, one_piece, CacheReach::asked, true, true};
  const auto answer = [&](const CachedBuffer& of, std::uint64_t offset, std::uint64_t length, std::optional<CallerMapping> mapping) {
    const auto [error, touched] = run(of, {CacheCommand::invalidate, 0x10001, offset, length, mapping});
    CHECK((error == Errno::none || touched == Touched{}));
    return error;
  };
  CHECK(answer(buffer, 0, 1, std::nullopt) == Errno::invalid);
  CHECK(answer(buffer, 0x2fff, 1, all_of_it) == Errno::none);
  CHECK(answer(buffer, 0x3000, 1, all_of_it) == Errno::invalid);
  CHECK(answer(buffer, 0x3000, 0, all_of_it) == Errno::none);
  CHECK(answer(buffer, 0x3001, 0, all_of_it) == Errno::invalid);
  CHECK(answer(buffer, most, 1, all_of_it) == Errno::invalid);
  CHECK(answer(buffer, most, 2, all_of_it) == Errno::invalid);
  CHECK(answer(buffer, 0, 0x1000, CallerMapping{0x10000, 0x13000, 0x1000}) == Errno::none);
  CHECK(answer(buffer, 0, 0x2000, CallerMapping{0x10000, 0x13000, 0x1000}) == Errno::invalid);
  CHECK(answer(buffer, 0, 1, CallerMapping{0x10000, 0x13000, most}) == Errno::invalid);
  CachedBuffer scattered = buffer;
  scattered.reach = CacheReach::every_page;
  CHECK(answer(scattered, 0x3000, 1, all_of_it) == Errno::invalid);
  CachedBuffer uncached = buffer;
  uncached.is_cached = false;
  CHECK(answer(uncached, most, 2, all_of_it) == Errno::none);  // there is no work that could lead out
  CHECK(answer(uncached, 0, 1, std::nullopt) == Errno::invalid);
}

TEST_CASE("row 20: at NULL the whole buffer in the second generation, whatever offset and length are; in the first an error") {
  CachedBuffer buffer{0x3000, one_piece, CacheReach::asked, true, true};
  CacheCall call{CacheCommand::invalidate, 0, most, most, std::nullopt, true};
  const auto [error, touched] = run(buffer, call);
  CHECK(error == Errno::none);
  CHECK(touched == Touched{.whole = 1, .command = CacheCommand::invalidate});
  call.command = no_such;
  CHECK(run(buffer, call).error == Errno::invalid);
  buffer.reach = CacheReach::nothing;
  CHECK(run(buffer, call).error == Errno::no_device);
  buffer.is_cached = false;
  CHECK(run(buffer, call).error == Errno::none);
  CHECK(run(buffer, call).touched == Touched{});
  call.null_is_whole = false;
  CHECK(run(buffer, call).error == Errno::invalid);
}

// A board's own tables can be held against it when they are compiled.
static_assert([] {
  const PhysicalPiece piece{PhysicalAddress(0x40000000), 0x3000};
  std::uint64_t bytes = 0;
  const auto act = [&](const auto& range, CacheCommand) {
    if constexpr (requires { range.length; }) bytes += range.length.value();
  };
  const CachedBuffer buffer{.size = 0x3000, .pieces = {&piece, 1}, .has_outer_cache = true};
  return cache_operations(buffer, {.address = 0x10000, .length = 0x10, .mapping = all_of_it}, act) == Errno::none && bytes == 0x20;
}());

TEST_CASE("row 20: the third generation's SYNC is one clean of all") {
  Touched touched;
  sync_operation(touched);
  CHECK(touched == Touched{.whole = 1, .command = CacheCommand::clean});
}
