// Small zones, all of them: placement from every occupancy of 20 granules, every operation from every block structure
// of 14 (best fit: of 10), every state of a buddy of 16, every state that calls lead a segregated fit or a lazy buddy
// to. With FREESTONE_TEST_STEPS below 10^7 (builds with sanitizers) only every n-th.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <span>
#include <string_view>
#include <utility>
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
  static const std::uint64_t steps = environment("FREESTONE_TEST_STEPS", 10'000'000);
  static const std::uint64_t every = steps >= 10'000'000 ? 1 : 10'000'000 / std::max<std::uint64_t>(steps, 1'000) + 1;
  return every;
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
  const Extent* begin() const { return blocks.data(); }
  const Extent* end() const { return blocks.data() + count; }
  friend bool operator==(const Blocks& a, const Blocks& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
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
    naive_ = start;
    agree();
    for (std::uint64_t count = 0; count <= capacity + 1; ++count) {
      for (std::uint64_t align = 1; align <= 2 * capacity; align += has_any_alignment<S> ? 1 : align) {
        same(before, start, [&](auto& s) { return s.place(Granules(count), Granules(align)); });
        if constexpr (can_place_high<S>) {
          same(before, start, [&](auto& s) { return s.place_high(Granules(count), Granules(align)); });
        }
      }
    }
    for (std::uint64_t first = 0; first <= capacity; ++first) {
      same(before, start, [&](auto& s) { return s.release(Granules(first)); });
      for (std::uint64_t count = 1; first + count <= capacity + 1; ++count) {
        same(before, start, [&](auto& s) { return s.place_at(extent(first, count)); });
      }
      if constexpr (can_resize<S>) resize(before, start, first);
    }
  }

  std::uint64_t seen() const { return seen_; }
  std::uint64_t tried() const { return tried_; }

 private:
  using Naive = typename Double<S>::Naive;
  static auto resized(S& strategy, Granules first, Granules count) { return strategy.resize(first, count); }
  static auto resized(Naive& strategy, Granules first, Granules count) { return naive::resize(strategy, first, count); }

  void resize(const typename Small<S, capacity>::Words& before, const Naive& start, std::uint64_t first) {
    const std::uint64_t most = start.length_of(Granules(first)) == Granules(0) ? 1 : capacity + 1 - first;
    for (std::uint64_t count = 0; count <= most; ++count) {
      same(before, start, [&](auto& s) { return resized(s, Granules(first), Granules(count)); });
    }
  }

  template <class Call>
  void same(const typename Small<S, capacity>::Words& before, const Naive& start, Call&& call) {
    ++tried_;
    const auto answer = call(map_.strategy());
    require(answer == call(naive_), "an answer", seen_);
    if (is_refusal(answer) && map_.save() == before) return;  // all that can be seen is what the start showed
    agree();
    map_.restore(before);
    naive_ = start;
  }

  static bool is_refusal(const std::optional<Extent>& answer) { return !answer; }
  static bool is_refusal(const Released& answer) { return answer.fault != ReleaseFault::none; }

  void agree() {
    require(blocks_of(map_.strategy()) == blocks_of(naive_), "the blocks after", seen_);
    require(map_.strategy().free_granules() == naive_.free_granules(), "what is free after", seen_);
    require(map_.strategy().largest_free() == naive_.largest_free(), "the largest free after", seen_);
  }

  Small<S, capacity> map_;
  Naive naive_{map_.range()};  // in the same state between calls; put back as the map is, which takes no memory anew
  typename Small<S, capacity>::Words empty_;
  std::uint64_t seen_ = 0;
  std::uint64_t tried_ = 0;
};

// Granules below `next` are settled: leave the next one free, or begin a block of each length there.
template <class S, std::uint64_t capacity>
void every_structure(EveryOperation<S, capacity>& operations, std::vector<Extent>& blocks, std::uint64_t next) {
  if (next == capacity) return operations.from(blocks);
  every_structure(operations, blocks, next + 1);
  for (std::uint64_t count = 1; next + count <= capacity; ++count) {
    blocks.push_back(extent(next, count));
    every_structure(operations, blocks, next + count);
    blocks.pop_back();
  }
}

// --- Every state that calls lead to, for a strategy that remembers in which order they came. ---

template <class S, std::uint64_t capacity>
class EveryReachable {
 public:
  // There are `states`. Thinned out, those that take the fewest calls are tried.
  EveryReachable(std::vector<std::uint64_t> counts, std::uint64_t most_align, std::uint64_t states)
      : map_(3), counts_(std::move(counts)), most_align_(most_align) {
    note(Naive(map_.range()));
    for (std::size_t next = 0; next < open_.size() && next <= states / stride(); ++next) from(State(open_[next]));
    require(seen() == states || stride() != 1, "the number of states", seen());
  }

  std::uint64_t seen() const { return known_.size(); }
  std::uint64_t tried() const { return tried_; }

 private:
  using Naive = typename Double<S>::Naive;
  struct State {
    typename Small<S, capacity>::Words words;
    Naive naive;
  };

  void note(const Naive& naive) {
    if (known_.insert(naive.state()).second) open_.push_back({map_.save(), naive});
  }

  void from(const State& state) {
    for (const std::uint64_t count : counts_) {
      for (std::uint64_t align = 1; align <= most_align_; align *= 2) {
        same(state, [&](auto& s) { return s.place(Granules(count), Granules(align)); });
      }
    }
    for (const Extent block : blocks_of(state.naive)) same(state, [&](auto& s) { return s.release(block.first); });
    if constexpr (can_place_high<S>) abilities(state);
  }

  void abilities(const State& state) {
    for (const std::uint64_t count : counts_) {
      for (std::uint64_t align = 1; align <= most_align_; align *= 2) {
        same(state, [&](auto& s) { return s.place_high(Granules(count), Granules(align)); });
      }
      for (std::uint64_t first = 0; first < capacity; ++first) {
        same(state, [&](auto& s) { return s.place_at(extent(first, count)); });
        same(state, [&](auto& s) { return s.resize(Granules(first), Granules(count)); });
      }
    }
  }

  template <class Call>
  void same(const State& state, Call&& call) {
    ++tried_;
    map_.restore(state.words);
    Naive naive = state.naive;
    require(call(map_.strategy()) == call(naive), "an answer", tried_);
    require(blocks_of(map_.strategy()) == blocks_of(naive), "the blocks after", tried_);
    require(map_.strategy().largest_free() == naive.largest_free(), "the largest free after", tried_);
    note(naive);
  }

  Small<S, capacity> map_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t most_align_;
  std::vector<State> open_;
  std::set<std::vector<std::uint64_t>> known_;
  std::uint64_t tried_ = 0;
};

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

// From every block structure of that many granules, of which there are `structures`.
template <class S, std::uint64_t capacity>
void every_operation(std::uint64_t structures) {
  EveryOperation<S, capacity> operations(3);
  std::vector<Extent> blocks;
  every_structure(operations, blocks, 0);
  require(operations.seen() == structures, "the number of block structures", operations.seen());
  std::printf("%s, %llu granules, ", Double<S>::name, static_cast<unsigned long long>(capacity));
  report("every operation from every block structure", operations.seen(), operations.tried());
}

template <class S, std::uint64_t capacity>
void every_reachable(const std::vector<std::uint64_t>& counts, std::uint64_t most_align, std::uint64_t states) {
  const EveryReachable<S, capacity> reachable(counts, most_align, states);
  std::printf("%s, %llu granules, ", Double<S>::name, static_cast<unsigned long long>(capacity));
  report("every call from every state that such calls lead to", reachable.seen(), reachable.tried());
}

void bitmap() {
  for (const unsigned origin : {0U, 1U}) {
    EveryOccupancy occupancies(origin);
    require(occupancies.run() == 1'048'576, "the number of occupancies", origin);
    report("placement from every occupancy of 20 granules", 1'048'576, occupancies.tried());
  }
  every_operation<strategy::Bitmap, 14>(514'229);
}

void holes() {
  every_operation<strategy::BestFit, 10>(10'946);
  every_operation<strategy::BestFitHigh, 10>(10'946);
  every_operation<strategy::BestFitMmz, 10>(10'946);
  every_reachable<strategy::Segregated, 10>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 8, 25'137);
  every_reachable<strategy::Segregated, 84>({16, 17, 19, 35}, 2, 83'797);
}

void buddy() {
  EveryOperation<strategy::Buddy, 16> buddy(0);
  for (const auto& state : states_of(4, 0)) buddy.from(state);
  require(buddy.seen() == 458'330, "the number of a buddy's states", buddy.seen());
  report("every operation from every state of a 16-granule buddy", buddy.seen(), buddy.tried());
  every_reachable<strategy::LazyBuddy, 9>({1, 2, 4, 8}, 4, 10'588);
}

struct Part {
  std::string_view name;
  void (*run)();
};
constexpr Part parts[] = {{"bitmap", bitmap}, {"holes", holes}, {"buddy", buddy}};

}  // namespace

// All parts, or the one that is named.
int main(int count, char** arguments) {
  if (stride() != 1) std::printf("thinned out: every %llu. state only\n", static_cast<unsigned long long>(stride()));
  int ran = 0;
  for (const Part& part : parts) {
    if (count > 1 && part.name != arguments[1]) continue;
    part.run();
    ++ran;
  }
  return ran == 0 ? 2 : 0;
}
