// Small zones, all of them: placement from every occupancy of 20 granules, every operation from every block structure
// of 14, every state of a buddy of 16. With FREESTONE_TEST_STEPS below 10^7 (builds with sanitizers) only every n-th.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "stress/duel.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Mask = std::uint32_t;  // bit i: granule i is used

void require(bool holds, const char* what, std::uint64_t state) {
  if (holds) return;
  std::printf("FAILED: %s, state %llu\n", what, static_cast<unsigned long long>(state));
  std::exit(1);
}

// Which states are tried: all, or every n-th.
std::uint64_t stride() {
  const std::uint64_t steps = environment("FREESTONE_TEST_STEPS", 10'000'000);
  return steps >= 10'000'000 ? 1 : 10'000'000 / std::max<std::uint64_t>(steps, 1'000) + 1;
}

// A strategy in a fixed number of words, put back to a state by copying them.
template <class S, std::uint64_t capacity>
class Small {
 public:
  using Words = std::array<std::uint64_t, S::footprint(Granules(capacity))>;

  explicit Small(std::uint64_t origin) : range_(geometry(capacity, origin)), strategy_(*S::format(words_, range_)) {}
  Small(const Small&) = delete;
  Small& operator=(const Small&) = delete;

  S& strategy() { return strategy_; }
  const Geometry& range() const { return range_; }
  const Words& save() const { return words_; }
  void restore(const Words& words) { words_ = words; }

 private:
  Geometry range_;
  Words words_{};
  S strategy_;
};

// --- Placement from every occupancy. ---

constexpr unsigned wide = 20;

constexpr Mask run_mask(unsigned first, unsigned count) { return ((Mask{1} << count) - 1) << first; }

// The lowest place for `count` at a multiple of `align`, or `wide`.
unsigned lowest_place(Mask used, unsigned count, unsigned align, unsigned origin) {
  for (unsigned first = 0; first + count <= wide; ++first) {
    if ((origin + first) % align == 0 && (used & run_mask(first, count)) == 0) return first;
  }
  return wide;
}

class EveryOccupancy {
 public:
  explicit EveryOccupancy(unsigned origin) : origin_(origin), map_(origin) {}

  std::uint64_t run() {
    from(0, 0);
    return seen_;
  }
  std::uint64_t tried() const { return tried_; }

 private:
  // Granules below `next` are settled: leave the next one free, or use a run of them up to a free one.
  void from(unsigned next, Mask used) {
    if (next >= wide) return at(used);
    from(next + 1, used);
    const auto before = map_.save();
    for (unsigned count = 1; next + count <= wide; ++count) {
      require(map_.strategy().place_at(extent(next, count)).has_value(), "place_at of a free run", used);
      from(next + count + 1, used | run_mask(next, count));
      map_.restore(before);
    }
  }

  void at(Mask used) {
    if (seen_++ % stride() != 0) return;
    const auto before = map_.save();
    for (unsigned align = 1; align <= 4; align *= 2) {
      for (unsigned count = 1; count <= wide; ++count) {
        place(used, count, align);
        map_.restore(before);
      }
    }
  }

  // And one granule after it: what a place left behind leads the next one right.
  void place(Mask used, unsigned count, unsigned align) {
    ++tried_;
    const unsigned first = lowest_place(used, count, align, origin_);
    const auto placed = map_.strategy().place(Granules(count), Granules(align));
    require(placed == (first == wide ? std::nullopt : std::optional(extent(first, count))), "a place", used);
    if (!placed) return;
    const Mask now = used | run_mask(first, count);
    const auto single = static_cast<unsigned>(std::countr_one(now));
    const auto second = map_.strategy().place(Granules(1), Granules(1));
    require(second == (single >= wide ? std::nullopt : std::optional(extent(single, 1))), "the place after", used);
  }

  unsigned origin_;
  Small<strategy::Bitmap, wide> map_;
  std::uint64_t seen_ = 0;
  std::uint64_t tried_ = 0;
};

// --- Every operation from every state. ---

// Blocks with room for as many as there are granules; compared without a heap.
struct Blocks {
  std::array<Extent, 16> blocks = {};
  std::size_t count = 0;

  void add(Extent block) { blocks[count++] = block; }
  friend bool operator==(const Blocks& a, const Blocks& b) {
    return std::equal(a.blocks.begin(), a.blocks.begin() + static_cast<std::ptrdiff_t>(a.count), b.blocks.begin(),
                      b.blocks.begin() + static_cast<std::ptrdiff_t>(b.count));
  }
};

template <class S>
Blocks blocks_of(const S& strategy) {
  Blocks found;
  strategy.for_each_block([&](Extent block) { found.add(block); });
  return found;
}

// A naive strategy that says what each operation does to a state, and the real one beside it.
template <class S, std::uint64_t capacity>
class EveryOperation {
 public:
  explicit EveryOperation(std::uint64_t origin) : map_(origin), empty_(map_.save()) {}

  void from(const std::vector<Extent>& blocks) {
    if (seen_++ % stride() != 0) return;
    map_.restore(empty_);
    Naive start(map_.range());
    for (const Extent block : blocks) {
      const bool built = map_.strategy().place_at(block) == block && start.place_at(block) == block;
      require(built, "place_at of a state's block", seen_);
    }
    const auto before = map_.save();
    for (std::uint64_t count = 0; count <= capacity + 1; ++count) {
      for (std::uint64_t align = 1; align <= 2 * capacity; align *= 2) {
        same(before, start, [&](auto& s) { return s.place(Granules(count), Granules(align)); });
      }
    }
    for (std::uint64_t first = 0; first <= capacity; ++first) {
      same(before, start, [&](auto& s) { return s.release(Granules(first)); });
      for (std::uint64_t count = 1; first + count <= capacity + 1; ++count) {
        same(before, start, [&](auto& s) { return s.place_at(extent(first, count)); });
      }
    }
  }

  std::uint64_t seen() const { return seen_; }
  std::uint64_t tried() const { return tried_; }

 private:
  using Naive = typename Double<S>::Naive;

  template <class Call>
  void same(const typename Small<S, capacity>::Words& before, const Naive& start, Call&& call) {
    ++tried_;
    Naive naive = start;
    const auto answer = call(map_.strategy());
    require(answer == call(naive), "an answer", seen_);
    require(blocks_of(map_.strategy()) == blocks_of(naive), "the blocks after", seen_);
    require(map_.strategy().free_granules() == naive.free_granules(), "what is free after", seen_);
    require(map_.strategy().largest_free() == naive.largest_free(), "the largest free after", seen_);
    map_.restore(before);
  }

  Small<S, capacity> map_;
  typename Small<S, capacity>::Words empty_;
  std::uint64_t seen_ = 0;
  std::uint64_t tried_ = 0;
};

constexpr std::uint64_t narrow = 14;

// Granules below `next` are settled: leave the next one free, or begin a block of each length there.
void every_structure(EveryOperation<strategy::Bitmap, narrow>& operations, std::vector<Extent>& blocks,
                     std::uint64_t next) {
  if (next == narrow) return operations.from(blocks);
  every_structure(operations, blocks, next + 1);
  for (std::uint64_t count = 1; next + count <= narrow; ++count) {
    blocks.push_back(extent(next, count));
    every_structure(operations, blocks, next + count);
    blocks.pop_back();
  }
}

// All states of the node of that order at `first`: free, live, or two halves that are not both free (they would merge).
std::vector<std::vector<Extent>> states_of(unsigned order, std::uint64_t first) {
  std::vector<std::vector<Extent>> states{{}, {extent(first, std::uint64_t{1} << order)}};
  if (order == 0) return states;
  const auto lower = states_of(order - 1, first);
  for (const auto& low : lower) {
    for (const auto& high : states_of(order - 1, first + (std::uint64_t{1} << (order - 1)))) {
      if (low.empty() && high.empty()) continue;
      states.push_back(low);
      states.back().insert(states.back().end(), high.begin(), high.end());
    }
  }
  return states;
}

void report(const char* what, std::uint64_t states, std::uint64_t operations) {
  std::printf("%s: %llu states, %llu operations\n", what, static_cast<unsigned long long>(states),
              static_cast<unsigned long long>(operations));
  std::fflush(stdout);
}

}  // namespace

int main() {
  if (stride() != 1) std::printf("thinned out: every %llu. state only\n", static_cast<unsigned long long>(stride()));
  for (const unsigned origin : {0U, 1U}) {
    EveryOccupancy occupancies(origin);
    require(occupancies.run() == 1'048'576, "the number of occupancies", origin);
    report("placement from every occupancy of 20 granules", 1'048'576, occupancies.tried());
  }
  EveryOperation<strategy::Bitmap, narrow> bitmap(3);
  std::vector<Extent> blocks;
  every_structure(bitmap, blocks, 0);
  require(bitmap.seen() == 514'229, "the number of block structures", bitmap.seen());
  report("every operation from every block structure of 14 granules", bitmap.seen(), bitmap.tried());
  EveryOperation<strategy::Buddy, 16> buddy(0);
  for (const auto& state : states_of(4, 0)) buddy.from(state);
  require(buddy.seen() == 458'330, "the number of a buddy's states", buddy.seen());
  report("every operation from every state of a 16-granule buddy", buddy.seen(), buddy.tried());
}
