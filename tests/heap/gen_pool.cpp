#include <freestone/heap/gen_pool.hpp>

#include <sys/mman.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <set>
#include <type_traits>
#include <vector>

#include <freestone/lock/spin.hpp>

#include "support/effort.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using By = GenRule::By;
using Locked = GenBitmap<lock::None>;
using LockFree = GenBits<>;

// A pool, and the words of its chunks.
template <class Map>
struct Pool : GenPool<Map> {
  explicit Pool(unsigned order = 0) : GenPool<Map>(Order(order)) {}
  Pool(unsigned order, const GenChunk& chunk) : Pool(order) { REQUIRE_FALSE(put(chunk)); }

  Error put(const GenChunk& chunk) { return this->add(chunk, words.emplace_back(this->words_for(chunk.size), ~std::uint64_t{0})); }
  std::deque<std::vector<std::uint64_t>> words;
};

constexpr std::uint64_t base = 0x1000;
constexpr std::uint64_t none = ~std::uint64_t{0};

// Vectors' own words: so many units at that index. Every chunk here has 128 units of a byte.
template <class Map>
struct Vector : Pool<Map> {
  explicit Vector(const GenRule& rule = {}) : Pool<Map>(0, {.start = base, .size = 128}) { this->set_rule(rule); }

  std::uint64_t take(std::uint64_t count) {
    const auto block = this->allocate(count);
    return block ? block->address - base : none;
  }
  std::uint64_t take(std::uint64_t count, const GenRule& rule) {
    const auto block = this->allocate(count, rule);
    return block ? block->address - base : none;
  }
  bool drop(std::uint64_t at, std::uint64_t count) { return static_cast<bool>(this->deallocate(base + at, count)); }
};

}  // namespace

TEST_CASE_TEMPLATE("genalloc, row 1: vectors of each algorithm", Map, Locked, LockFree) {
  SUBCASE("first fit") {
    Vector<Map> a;
    CHECK(a.take(3) == 0);
    CHECK(a.take(2) == 3);
    CHECK(a.take(5) == 5);
    CHECK(a.drop(3, 2));
    CHECK(a.take(1) == 3);
  }
  SUBCASE("over words") {
    Vector<Map> a;
    CHECK(a.take(15) == 0);
    CHECK(a.take(16) == 15);
    CHECK(a.take(2) == 31);
    CHECK(a.drop(0, 15));
    CHECK(a.drop(15, 16));
    CHECK(a.drop(31, 2));
    CHECK(a.available() == 128);
    CHECK_FALSE(a.check_end());
  }
  SUBCASE("gaps") {
    Vector<Map> a;
    CHECK(a.take(10) == 0);
    CHECK(a.take(8) == 10);
    CHECK(a.take(6) == 18);
    CHECK(a.take(4) == 24);
    CHECK(a.take(2) == 28);
    CHECK(a.drop(10, 8));
    CHECK(a.drop(24, 4));
    CHECK(a.take(3) == 10);
  }
  SUBCASE("aligned to 4") {
    Vector<Map> a({By::first_fit_align, 4});
    CHECK(a.take(5) == 0);
    CHECK(a.take(3) == 8);
    CHECK(a.take(2) == 12);
    CHECK(a.take(1) == 16);
    CHECK(a.drop(0, 5));
    CHECK(a.drop(12, 2));
    CHECK(a.take(2) == 0);
  }
  SUBCASE("fixed") {
    Vector<Map> a;
    CHECK(a.take(5, {By::fixed, 1}) == 1);
    CHECK(a.take(3, {By::fixed, 8}) == 8);
    CHECK(a.take(2, {By::fixed, 6}) == 6);
    CHECK(a.take(40, {By::fixed, 30}) == 30);
    CHECK(a.take(2, {By::fixed, 6}) == none);
    CHECK(a.take(1, {By::fixed, 69}) == none);
    CHECK(a.take(1, {By::fixed, 128}) == none);
  }
  SUBCASE("aligned to its order") {
    Vector<Map> a({By::first_fit_order_align});
    CHECK(a.take(5) == 0);
    CHECK(a.take(3) == 8);
    CHECK(a.take(2) == 6);
    CHECK(a.take(1) == 5);
    CHECK(a.take(1) == 11);
    CHECK(a.take(2) == 12);
  }
  SUBCASE("best fit") {
    Vector<Map> a({By::best_fit});
    CHECK(a.take(5) == 0);
    CHECK(a.take(3) == 5);
    CHECK(a.take(3) == 8);
    CHECK(a.take(1) == 11);
    CHECK(a.drop(0, 5));
    CHECK(a.drop(8, 3));
    CHECK(a.take(2) == 8);
  }
}

TEST_CASE_TEMPLATE("genalloc, row 2: the newest chunk first, each from its start; one that is full is passed over", Map, Locked, LockFree) {
  Pool<Map> a(4);
  REQUIRE_FALSE(a.put({.start = 0x1000, .size = 64}));
  REQUIRE_FALSE(a.put({.start = 0x8000, .size = 48}));
  CHECK(a.allocate(32)->address == 0x8000);
  CHECK(a.allocate(32)->address == 0x1000);  // one granule is left above
  CHECK(a.allocate(16)->address == 0x8020);
  CHECK(a.allocate(16)->address == 0x1020);
  REQUIRE(a.deallocate(0x8000, 16));
  CHECK(a.allocate(16)->address == 0x8000);
  std::vector<std::uint64_t> starts;
  a.for_each_chunk([&](const GenChunk& chunk) { starts.push_back(chunk.start); });
  CHECK(starts == std::vector<std::uint64_t>{0x8000, 0x1000});
}

TEST_CASE_TEMPLATE("genalloc, row 3: sizes go up to whole granules, a tail that is none is not used, 0 is nothing", Map, Locked, LockFree) {
  Pool<Map> a(4, {.start = base, .size = 16 * 4 + 7});
  CHECK(a.size() == 16 * 4 + 7);
  CHECK(a.available() == 64);
  CHECK_FALSE(a.allocate(0));
  CHECK(a.allocate(1)->address == base);
  CHECK(a.allocate(17)->address == base + 16);
  CHECK(a.available() == 16);
  CHECK_FALSE(a.allocate(17));
  CHECK(a.allocate(16)->address == base + 48);
  CHECK(a.available() == 0);
  CHECK_FALSE(a.allocate(1));
  CHECK_FALSE(a.allocate(~std::uint64_t{0}));
  CHECK(a.deallocate(base + 16, 17));  // whole granules again
  CHECK(a.available() == 32);
}

TEST_CASE_TEMPLATE("genalloc, row 4: alignment is the address's, order alignment the index's, and no place is made of a bad offset", Map, Locked,
                   LockFree) {
  Pool<Map> a(4, {.start = 0x1030, .size = 4096});
  CHECK(a.allocate(16, {By::first_fit_align, 0x100})->address == 0x1100);
  CHECK(a.allocate(16, {By::first_fit_align, 1})->address == 0x1030);
  CHECK(a.allocate(64, {By::first_fit_order_align})->address == 0x1030 + 64);
  CHECK_FALSE(a.allocate(16, {By::first_fit_align, 0}));
  CHECK_FALSE(a.allocate(16, {By::first_fit_align, 0x30}));
  CHECK_FALSE(a.allocate(16, {By::fixed, 8}));
  CHECK(a.allocate(16, {By::fixed, 0x200})->address == 0x1230);
  CHECK_FALSE(a.allocate(16, {By::fixed, ~std::uint64_t{15}}));
}

TEST_CASE_TEMPLATE("genalloc, row 5: best fit takes the smallest hole, of several the first, at once where it is just as long", Map, Locked,
                   LockFree) {
  Vector<Map> a({By::best_fit});
  for (unsigned at = 0; at < 128; at += 16) REQUIRE(a.take(16, {By::first_fit}) == at);
  CHECK(a.drop(16, 9));
  CHECK(a.drop(48, 6));
  CHECK(a.drop(80, 6));
  CHECK(a.drop(112, 4));
  CHECK(a.take(5) == 48);
  CHECK(a.take(5) == 80);
  CHECK(a.take(4) == 112);
  CHECK(a.take(7) == 16);
  CHECK(a.take(3) == none);
}

TEST_CASE_TEMPLATE("genalloc, row 6: what is given back twice, too long, or is none of its own is refused, and changes nothing", Map, Locked,
                   LockFree) {
  Pool<Map> a(4, {.start = base, .size = 256});
  REQUIRE_FALSE(a.put({.start = base + 512, .size = 256}));
  const std::uint64_t at = a.allocate(64)->address;
  const auto code = [&](std::uint64_t address, Bytes size) { return a.deallocate(address, size).error().code; };
  CHECK(code(at, 0) == ErrorCode::zero_size);
  CHECK(code(at, 80) == ErrorCode::double_release);
  CHECK(code(at - 16, 32) == ErrorCode::foreign_block);
  CHECK(code(at + 64, 16) == ErrorCode::double_release);
  CHECK(code(at, 257) == ErrorCode::foreign_block);
  CHECK(code(at, ~std::uint64_t{0}) == ErrorCode::foreign_block);
  CHECK(code(at + 8, 16) == ErrorCode::inner_release);
  CHECK(code(base + 300, 16) == ErrorCode::foreign_block);
  CHECK(a.available() == 512 - 64);
  CHECK(a.deallocate(at, 64));
  CHECK(code(at, 64) == ErrorCode::double_release);
  CHECK(a.available() == 512);
}

TEST_CASE_TEMPLATE("genalloc: a part of what was allocated goes back, and what lies side by side at once", Map, Locked, LockFree) {
  Vector<Map> a;
  REQUIRE(a.take(10) == 0);
  REQUIRE(a.take(10) == 10);
  REQUIRE(a.take(10) == 20);
  CHECK(a.drop(3, 4));
  CHECK_FALSE(a.drop(2, 3));
  CHECK(a.take(5) == 30);
  CHECK(a.take(4) == 3);
  CHECK(a.drop(5, 20));  // of four
  CHECK(a.available() == 128 - 15);
  CHECK(a.take(21) == 35);
  CHECK(a.take(20) == 5);
  CHECK(a.drop(0, 56));
  CHECK_FALSE(a.check_end());
}

TEST_CASE_TEMPLATE("genalloc, rows 7, 8, 12 and 14: physical addresses, owners, ranges, zeros", Map, Locked, LockFree) {
  std::vector<std::uint64_t> memory(64, none);
  const auto start = reinterpret_cast<std::uintptr_t>(memory.data());
  int one = 0, two = 0;
  Pool<Map> a(3, {.start = start, .physical = PhysicalAddress(0x9000), .size = 256, .owner = &one});
  REQUIRE_FALSE(a.put({.start = start + 256, .physical = PhysicalAddress(0x5000), .size = 256, .owner = &two}));
  CHECK(*a.physical_of(start) == PhysicalAddress(0x9000));
  CHECK(*a.physical_of(start + 255) == PhysicalAddress(0x90ff));
  CHECK(*a.physical_of(start + 256) == PhysicalAddress(0x5000));
  CHECK_FALSE(a.physical_of(start + 512));
  CHECK_FALSE(a.physical_of(start - 1));
  CHECK(a.has(start, 256));
  CHECK(a.has(start + 256, 256));
  CHECK_FALSE(a.has(start, 257));
  CHECK_FALSE(a.has(start + 255, 2));
  CHECK_FALSE(a.has(start, ~std::uint64_t{0}));
  const auto first = a.allocate(256), second = a.allocate_zeroed(24);
  CHECK(first->owner == &two);
  CHECK(first->physical == PhysicalAddress(0x5000));
  CHECK(second->owner == &one);
  CHECK(second->physical == *a.physical_of(second->address));
  CHECK(std::count(memory.begin(), memory.end(), 0) == 3);
  CHECK(memory[2] == 0);
  CHECK(memory[3] == none);
  CHECK(*a.deallocate(second->address, 24) == &one);
  CHECK(a.check_end().code == ErrorCode::still_used);
  CHECK(a.check_end().asked == 256);
  CHECK(*a.deallocate(first->address, 256) == &two);
  CHECK_FALSE(a.check_end());
}

TEST_CASE_TEMPLATE("genalloc, row 10: more than 2^31 granules", Map, Locked, LockFree) {
  constexpr std::uint64_t count = (std::uint64_t{1} << 31) + 256;
  if constexpr (sizeof(void*) == 4) return;
  GenPool<Map> a(Order(0));
  const std::size_t length = a.words_for(count) * 8;
  void* const words = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(words != MAP_FAILED);
  REQUIRE_FALSE(a.add({.start = base, .size = count}, {static_cast<std::uint64_t*>(words), length / 8}));
  CHECK(a.allocate(200, {By::fixed, count - 200})->address == base + count - 200);
  CHECK_FALSE(a.allocate(count - 199));
  CHECK(a.available() == count - 200);
  CHECK(a.deallocate(base + count - 200, 200));
  CHECK(a.available() == count);
  ::munmap(words, length);
  CHECK((a.words_for(std::uint64_t{1} << 32) == SIZE_MAX) == std::is_same_v<Map, LockFree>);
}
TEST_CASE_TEMPLATE("genalloc, row 11: chunks that cannot be", Map, Locked, LockFree) {
  Pool<Map> a(4, {.start = 0x1000, .size = 0x100});
  std::vector<std::uint64_t> words(64);
  const auto code = [&](std::uint64_t start, Bytes size, std::size_t count = 64) {
    return a.add({.start = start, .size = size}, std::span(words).first(count)).code;
  };
  CHECK(code(0x2000, 0) == ErrorCode::size_beyond_zone);
  CHECK(code(0x2000, 15) == ErrorCode::size_beyond_zone);
  CHECK(code(~std::uint64_t{0} - 62, 64) == ErrorCode::size_beyond_zone);
  CHECK(code(0x10f0, 0x100) == ErrorCode::foreign_block);
  CHECK(code(0xf10, 0x100) == ErrorCode::foreign_block);
  CHECK(code(0x2000, 0x100, 0) == ErrorCode::notes_too_small);
  CHECK(a.size() == 0x100);
  CHECK(code(0x1100, 0x100) == ErrorCode::none);
  CHECK(code(~std::uint64_t{0} - 63, 64) == ErrorCode::none);
  CHECK(a.allocate(64)->address == ~std::uint64_t{0} - 63);
}

TEST_CASE_TEMPLATE("genalloc, row 13: a rule of the pool's own, and none is first fit; names of pools are one a device", Map, Locked, LockFree) {
  Vector<Map> a({By::first_fit_align, 32});
  CHECK(a.take(1) == 0);
  CHECK(a.take(1) == 32);
  a.set_rule({});
  CHECK(a.take(1) == 1);

  GenPoolNames<GenPool<Map>, 3> names;
  int camera = 0, encoder = 0;
  Vector<Map> b;
  CHECK_FALSE(names.add(&camera, "sram", a));
  CHECK(names.add(&camera, "sram", b).code == ErrorCode::kept_unfit);
  CHECK_FALSE(names.add(&encoder, "sram", b));
  CHECK_FALSE(names.add(&camera, "", b));
  CHECK(names.add(&camera, "more", b).code == ErrorCode::too_many_names);
  CHECK(names.find(&camera, "sram") == &a);
  CHECK(names.find(&encoder, "sram") == &b);
  CHECK(names.find(&encoder, "") == nullptr);
  names.remove(&camera);
  CHECK(names.find(&camera, "sram") == nullptr);
  CHECK(names.find(&encoder, "sram") == &b);
}

TEST_CASE_TEMPLATE("genalloc, row 15: an algorithm of one's own", Map, Locked, LockFree) {
  Vector<Map> a;
  // The highest place.
  const auto last = [](Map& map, std::uint64_t count, const GenChunk&) -> std::optional<std::uint64_t> {
    std::optional<std::uint64_t> found;
    for (std::uint64_t hole = map.next_free(0); hole < map.capacity();) {
      const std::uint64_t end = map.next_taken(hole);
      if (end - hole >= count) found = end - count;
      hole = map.next_free(end);
    }
    return found;
  };
  CHECK(a.allocate_by(8, last)->address == base + 120);
  CHECK(a.take(100, {By::fixed, 10}) == 10);
  CHECK(a.allocate_by(10, last)->address == base + 110);
  CHECK(a.allocate_by(10, last)->address == base);
  CHECK_FALSE(a.allocate_by(1, last));
  unsigned asked = 0;
  CHECK_FALSE(a.allocate_by(1, [&](Map&, std::uint64_t, const GenChunk&) { return ++asked, std::optional<std::uint64_t>(3); }));
  CHECK(asked == 0);  // nothing is free
  REQUIRE(a.drop(0, 1));
  CHECK_FALSE(a.allocate_by(1, [&](Map&, std::uint64_t, const GenChunk&) { return ++asked, std::optional<std::uint64_t>(3); }));
  CHECK(asked > 1);  // a place that another has just taken, as it seems: it ends all the same
}

TEST_CASE_TEMPLATE("genalloc: calls by chance are what a set of numbers makes of them", Map, Locked, LockFree) {
  constexpr std::uint64_t capacity = 200;
  Random random(seed());
  Pool<Map> a(0, {.start = base + 3, .size = capacity});
  std::set<std::uint64_t> taken;
  const auto is_free = [&](std::uint64_t at, std::uint64_t count) {
    if (at + count > capacity) return false;
    const auto found = taken.lower_bound(at);
    return found == taken.end() || *found >= at + count;
  };
  const auto expected = [&](std::uint64_t count, const GenRule& rule) -> std::uint64_t {
    std::uint64_t best = none, least = none;
    for (std::uint64_t at = 0; at + count <= capacity; ++at) {
      if (!is_free(at, count)) continue;
      std::uint64_t grid = 1;
      while (grid < count) grid *= 2;
      if (rule.by == By::first_fit_align && (base + 3 + at) % rule.data.value() != 0) continue;
      if (rule.by == By::first_fit_order_align && at % grid != 0) continue;
      if (rule.by == By::fixed && at != rule.data.value()) continue;
      if (rule.by != By::best_fit) return at;
      if (at != 0 && !taken.contains(at - 1)) continue;
      std::uint64_t length = count;
      while (is_free(at, length + 1)) ++length;
      if (length < least) best = at, least = length;
    }
    return best;
  };
  for (unsigned step = 0; step < some_of(20000U); ++step) {
    const std::uint64_t count = random.from_to(1, 12);
    if (random.chance(50)) {
      const GenRule rule{static_cast<By>(random.below(5)), std::uint64_t{1} << random.below(6)};
      const std::uint64_t wanted = expected(count, rule);
      const auto block = a.allocate(count, rule);
      REQUIRE((block ? block->address - base - 3 : none) == wanted);
      for (std::uint64_t at = 0; block && at < count; ++at) taken.insert(wanted + at);
    } else {
      const std::uint64_t at = random.below(capacity);
      std::uint64_t had = 0;
      while (had < count && taken.contains(at + had)) ++had;
      REQUIRE(static_cast<bool>(a.deallocate(base + 3 + at, count)) == (had == count));
      for (std::uint64_t gone = 0; had == count && gone < count; ++gone) taken.erase(at + gone);
    }
    REQUIRE(a.available() == capacity - taken.size());
  }
}
