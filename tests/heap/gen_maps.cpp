#include <freestone/heap/gen_maps.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include <freestone/core/seam.hpp>
#include <freestone/heap/gen_pool.hpp>
#include <freestone/lock/spin.hpp>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t capacity = 300;
constexpr unsigned threads = 4, rounds = 3000;

// Who has which granule: each is one thread's at a time.
struct Owners {
  bool take(std::uint64_t first, std::uint64_t count) {
    bool is_alone = true;
    for (std::uint64_t at = first; at < first + count; ++at) is_alone &= owned[at].exchange(true) == false;
    return is_alone;
  }
  bool give(std::uint64_t first, std::uint64_t count) {
    bool was_ours = true;
    for (std::uint64_t at = first; at < first + count; ++at) was_ours &= owned[at].exchange(false);
    return was_ours;
  }
  std::vector<std::atomic<bool>> owned = std::vector<std::atomic<bool>>(capacity);
};

template <class Map>
std::optional<std::uint64_t> place(Map& map, Random& random, std::uint64_t count) {
  switch (random.below(4)) {
    case 0: return map.place({.count = count, .is_best = true});
    case 1: return map.place({.count = count, .is_by_order = true});
    case 2: return map.place({.count = count, .align = 8});
    default: return map.place({.count = count});
  }
}

}  // namespace

TEST_CASE_TEMPLATE("genalloc, row 9: threads have no granule twice, and none is lost", Map, GenBitmap<lock::Spin>, GenBits<>) {
  std::vector<std::uint64_t> words(Map::footprint(capacity), 7);
  Map map(words, capacity, 0);
  Owners owners;
  std::atomic<unsigned> wrong{0};
  const auto work = [&](unsigned number) {
    Random random(seed() + number);
    struct Held {
      std::uint64_t first, count;
    };
    std::vector<Held> held;
    for (unsigned round = 0; round < rounds; ++round) {
      const std::uint64_t count = random.from_to(1, 40);
      if (const auto first = held.size() < 3 ? place(map, random, count) : std::nullopt) {
        wrong += !owners.take(*first, count);
        held.push_back({*first, count});
      } else if (!held.empty()) {
        const Held gone = held.back();
        held.pop_back();
        wrong += !owners.give(gone.first, gone.count);
        wrong += !map.release(gone.first, gone.count);
      }
    }
    for (const Held& one : held) wrong += !owners.give(one.first, one.count) + !map.release(one.first, one.count);
  };
  std::vector<std::thread> all;
  for (unsigned number = 0; number < threads; ++number) all.emplace_back(work, number);
  for (std::thread& one : all) one.join();
  CHECK(wrong == 0);
  CHECK(map.free() == capacity);
  CHECK(map.next_taken(0) == capacity);
}

namespace {

// Another takes a granule in the middle of a call: right before the first claim of the second word.
struct Interfering : CompilerAtomics {
  static inline Word* victim = nullptr;
  static inline unsigned left = 0;

  static bool compare_exchange_acquire(Word& word, Value expected, Value value) noexcept {
    if (&word == victim && left != 0) {
      --left;
      CompilerAtomics::fetch_or_acquire(word, 1U << 4);
    }
    return CompilerAtomics::compare_exchange_acquire(word, expected, value);
  }
};

}  // namespace

TEST_CASE("genalloc, row 9: where another is quicker at some word, what was claimed before it is free again, and the search goes on") {
  std::vector<std::uint64_t> words(GenBits<>::footprint(128));
  GenBits<Interfering> map(words, 128, 0);
  Interfering::victim = reinterpret_cast<Interfering::Word*>(words.data()) + 1;
  Interfering::left = 1;
  REQUIRE(map.place_at(0, 20));
  CHECK(*map.place({.count = 20}) == 37);  // from 20 it would have been, over the word's edge; 36 is another's
  CHECK(map.next_free(0) == 20);
  CHECK(map.next_taken(20) == 36);
  CHECK(map.free() == 128 - 40);           // the other does not count
  Interfering::left = 1;
  CHECK(map.release(37, 20));
  CHECK_FALSE(map.release(36, 2));
  CHECK_FALSE(map.place_at(30, 10));
  CHECK(map.next_taken(20) == 36);
}

TEST_CASE("genalloc: chunks join a pool while others allocate from it") {
  GenPool<GenBits<>, lock::Spin, 64> pool(Order(0));
  std::vector<std::vector<std::uint64_t>> words(64);
  std::atomic<bool> is_over{false};
  std::atomic<unsigned> wrong{0};
  std::thread other([&] {
    while (!is_over) {
      const auto block = pool.allocate(16);
      if (block && !pool.deallocate(block->address, 16)) ++wrong;
    }
  });
  for (std::uint64_t at = 0; at < 64; ++at) {
    words[at].resize(pool.words_for(64));
    wrong += pool.add({.start = 0x1000 + at * 64, .size = 64}, words[at]) ? 1 : 0;
  }
  is_over = true;
  other.join();
  CHECK(wrong == 0);
  CHECK(pool.available() == 64 * 64);
}
