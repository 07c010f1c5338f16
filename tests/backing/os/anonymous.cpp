#include <freestone/backing/os/anonymous.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <utility>

using namespace freestone;
using backing::Anonymous;

TEST_CASE("a range of zeroed pages, aligned as far as its offsets are") {
  auto pages = Anonymous::create({.name = "a", .size = 4_MiB, .granule = 4_KiB, .notes_words = 10});
  REQUIRE(pages);
  CHECK(pages->size() == 4_MiB);
  CHECK(pages->base() == 0);
  CHECK(pages->notes().size() == 10);
  const auto start = pages->cpu_pointer(0);
  REQUIRE(start);
  CHECK(reinterpret_cast<std::uintptr_t>(*start) % (2U << 20) == 0);
  CHECK(*pages->cpu_pointer(100) == *start + 100);
  std::memset(*start, 1, 4U << 20);
  CHECK(pages->notes()[9] == 0);
}

TEST_CASE("block by block, each is a mapping of its own") {
  auto pages = Anonymous::create({.size = 1_MiB, .granule = 4_KiB, .notes_words = 1, .block_by_block = true});
  REQUIRE(pages);
  CHECK_FALSE(pages->cpu_pointer(0));
  CHECK_FALSE(pages->obtained(3));
  REQUIRE(pages->obtain(3, 8192, 64_KiB));
  const auto block = pages->obtained(3);
  REQUIRE(block);
  CHECK(reinterpret_cast<std::uintptr_t>(*block) % 65536 == 0);
  std::memset(*block, 1, 8192);
  Anonymous moved = *std::move(pages);
  CHECK(moved.obtained(3) == block);
  moved.give_back(3);
  CHECK_FALSE(moved.obtained(3));
  CHECK_FALSE(moved.obtained(256));
  REQUIRE(moved.obtain(255, 4096, 0));  // left for the destructor
}

TEST_CASE("more than the host has is an error") {
  const auto pages = Anonymous::create({.name = "huge", .size = std::uint64_t{1} << 62, .granule = 4_KiB});
  REQUIRE_FALSE(pages);
  CHECK(pages.error().code == ErrorCode::out_of_memory);
}
