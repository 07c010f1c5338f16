// What every kind of map refuses to be written to or read from: the same for the strategies and the ledger.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/core/map_header.hpp>
#include "support/map.hpp"

namespace freestone::tests {

inline std::span<std::uint64_t> misaligned(std::vector<std::uint64_t>& words) {
  return {reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(words.data()) + 2), words.size() - 1};
}

template <class M>
void check_format_errors() {
  constexpr Geometry range = geometry(64, 3);
  const std::size_t needed = M::footprint(range.capacity);
  std::vector<std::uint64_t> words(needed + 2, 42);
  const std::vector<std::uint64_t> before = words;
  const auto short_by_one = M::format(std::span(words).first(needed - 1), range);
  CHECK(short_by_one.error() == Error{.code = ErrorCode::notes_too_small, .asked = needed, .available = needed - 1});
  CHECK(M::format(std::span(words).first(0), range).error().code == ErrorCode::notes_too_small);
  CHECK(M::format(misaligned(words), range).error().code == ErrorCode::notes_misaligned);
  CHECK(words == before);
  CHECK(M::format(words, range));
  CHECK(std::vector(words.end() - 2, words.end()) == std::vector<std::uint64_t>{42, 42});  // not ours
}

template <class M>
void check_attach_errors() {
  constexpr Geometry range = geometry(64, 3);
  const std::size_t needed = M::footprint(range.capacity);
  std::vector<std::uint64_t> words(needed + 1);
  const auto refusal = [&](std::span<std::uint64_t> given, const Geometry& wanted) {
    const std::vector<std::uint64_t> before = words;
    const auto attached = M::attach(given, wanted);
    CHECK(words == before);
    return attached ? Error{} : attached.error();
  };
  CHECK(refusal(words, range).code == ErrorCode::not_formatted);
  REQUIRE(M::format(words, range));
  CHECK(!refusal(words, range));
  CHECK(refusal(words, geometry(65, 3)) == Error{.code = ErrorCode::wrong_capacity, .asked = 65, .available = 64});
  CHECK(refusal(words, geometry(64, 4)) == Error{.code = ErrorCode::wrong_origin, .asked = 4, .available = 3});
  const Geometry fine{.capacity = Granules(64), .granule = 1024, .origin = Granules(3)};
  CHECK(refusal(words, fine) == Error{.code = ErrorCode::wrong_granule, .asked = 1024, .available = 4096});
  for (const std::size_t left : {needed - 1, std::size_t{3}, std::size_t{0}}) {
    CHECK(refusal(std::span(words).first(left), range) ==
          Error{.code = ErrorCode::cut_short, .asked = needed, .available = left});
  }
  CHECK(refusal(misaligned(words), range).code == ErrorCode::notes_misaligned);
  cells::store(words.data(), map_header::id_cell, M::id + 1);
  CHECK(refusal(words, range) == Error{.code = ErrorCode::wrong_strategy, .asked = M::id, .available = M::id + 1});
  constexpr std::uint32_t version = map_header::version;
  cells::store(words.data(), map_header::version_cell, version + 1);
  CHECK(refusal(words, range) ==
        Error{.code = ErrorCode::wrong_version, .asked = version, .available = version + 1});
}

// A footprint grows with the capacity, and for capacities that no span can hold it is SIZE_MAX, never a small number.
template <class M>
void check_footprint_of_huge_ranges() {
  std::size_t last = 0;
  for (unsigned shift = 0; shift < 64; ++shift) {
    for (const std::uint64_t more : {0U, 1U}) {
      const std::size_t words = M::footprint(Granules((std::uint64_t{1} << shift) + more));
      CHECK(words >= last);
      last = words;
    }
  }
  CHECK(M::footprint(Granules(~std::uint64_t{0})) >= last);
}

}  // namespace freestone::tests
