// What holds for every strategy, whatever it is: each law is a question with yes or no, so that a model that breaks one
// can be shown to. They see nothing but the concept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <freestone/strategy/concept.hpp>
#include "support/map.hpp"
#include "support/random.hpp"

namespace freestone::laws {

using tests::observe;
using tests::Random;

// Some keep the rest of the range from everybody while one block is live. Those say so here.
template <class S>
inline constexpr bool holds_back = false;

// What largest_free says may depend on the order in which holes came, beside where they are. Those say so here.
template <class S>
inline constexpr bool remembers_order = false;

// Some start a block only where a rule of theirs says, though place_at takes it anywhere. Those say so here.
template <class S>
struct StartRule {
  static bool allows(const Geometry&, Extent) { return true; }
};

// A map under random calls, and what it granted.
template <class S>
class Walk {
 public:
  Walk(const Geometry& range, std::uint64_t start) : map_(range), random_(start) {}

  S& strategy() { return map_.strategy(); }
  tests::Map<S>& map() { return map_; }
  Random& random() { return random_; }
  const std::vector<Extent>& live() const { return live_; }
  std::uint64_t capacity() const { return map_.range().capacity.value(); }

  Granules some_count() {
    const std::uint64_t most = random_.chance(10) ? capacity() + 2 : std::max<std::uint64_t>(capacity() / 4, 1);
    return Granules(random_.from_to(1, most));
  }
  Granules some_align() { return Granules(std::uint64_t{1} << (random_.chance(60) ? 0 : random_.below(6))); }

  std::optional<Extent> place(Granules count, Granules align) {
    const auto placed = strategy().place(count, align);
    if (placed) live_.push_back(*placed);
    return placed;
  }
  // Of a live one by chance; nothing where none is live.
  std::optional<Extent> take_live() {
    if (live_.empty()) return std::nullopt;
    std::swap(live_[static_cast<std::size_t>(random_.below(live_.size()))], live_.back());
    const Extent extent = live_.back();
    live_.pop_back();
    return extent;
  }
  // What a call other than place granted, or gave back.
  void add_live(Extent extent) { live_.push_back(extent); }
  void forget(Extent extent) { std::erase(live_, extent); }
  void step() {
    if (random_.chance(60)) {
      place(some_count(), some_align());
    } else if (const auto extent = take_live()) {
      strategy().release(extent->first);
    }
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) step();
  }
  std::vector<Extent> live_in_order() const {
    std::vector<Extent> sorted = live_;
    std::sort(sorted.begin(), sorted.end(), [](Extent a, Extent b) { return a.first < b.first; });
    return sorted;
  }

 private:
  tests::Map<S> map_;
  Random random_;
  std::vector<Extent> live_;
};

inline constexpr int rounds = 60;

// Enough granules, at a multiple of the alignment in absolute numbers, inside the range, and of nobody else. (Of what
// keeps books only the first is a name: of nobody else.)
struct GrantsWhatWasAsked {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    for (int i = 0; i < rounds; ++i) {
      walk.steps(2);
      const std::vector<Extent> others = walk.live();
      const Granules count = walk.some_count();
      const Granules align = walk.some_align();
      const auto placed = walk.place(count, align);
      if (!placed) continue;
      if (placed->count < count || !is_apart<S>(*placed, others)) return false;
      if (S::places && !lies_right(*placed, align, range)) return false;
    }
    return true;
  }

 private:
  template <class S>
  static bool is_apart(Extent placed, const std::vector<Extent>& others) {
    return std::none_of(others.begin(), others.end(),
                        [&](Extent other) { return S::places ? placed.overlaps(other) : placed.first == other.first; });
  }
  static bool lies_right(Extent placed, Granules align, const Geometry& range) {
    return placed.end() <= range.capacity && (range.origin + placed.first).value() % align.value() == 0;
  }
};

struct AFailedPlaceChangesNothing {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    for (int i = 0; i < rounds; ++i) {
      walk.steps(2);
      const auto before = observe(walk.strategy());
      if (walk.strategy().place(Granules(0), Granules(1))) return false;
      if (walk.strategy().place(range.capacity + Granules(1), Granules(1))) return false;
      if (!walk.place(walk.some_count(), walk.some_align()) && observe(walk.strategy()) != before) return false;
      if (observe(walk.strategy()).blocks != walk.live_in_order()) return false;
    }
    return true;
  }
};

struct AReleaseGivesBackWhatWasPlaced {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    for (int i = 0; i < rounds; ++i) {
      walk.steps(3);
      const auto extent = walk.take_live();
      if (extent && walk.strategy().release(extent->first) != Released{.count = extent->count}) return false;
    }
    return true;
  }
};

struct GranulesAreConserved {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    for (int i = 0; i < rounds; ++i) {
      Granules used;
      for (const Extent extent : walk.live()) used += extent.count;
      const Granules sum = walk.strategy().free_granules() + used;
      const bool may_be_less = holds_back<S> && !walk.live().empty();
      if (may_be_less ? sum > range.capacity : sum != range.capacity) return false;
      walk.step();
    }
    return true;
  }
};

struct FullReleaseLeadsBackToTheStart {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    const auto at_start = observe(walk.strategy());
    for (int i = 0; i < 5; ++i) {
      walk.steps(20);
      while (const auto extent = walk.take_live()) walk.strategy().release(extent->first);
      if (observe(walk.strategy()) != at_start) return false;
      if (at_start.largest == Granules(0)) continue;
      const auto whole = walk.strategy().place(at_start.largest, Granules(1));
      if (!whole || !walk.strategy().release(whole->first).count.value()) return false;
    }
    return true;
  }
};

// Two objects over the same words, used in turn, do what one alone does.
struct TwoObjectsAgree {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    tests::Map<S> pair(range);
    auto second = S::attach(pair.words(), range);
    if (!second) return false;
    S* objects[] = {&pair.strategy(), &*second};
    for (int i = 0; i < rounds; ++i) {
      S& mine = *objects[walk.random().below(2)];
      if (!same_step(walk, mine)) return false;
      for (const S* object : objects) {
        if (observe(*object) != observe(walk.strategy())) return false;
      }
    }
    return true;
  }

 private:
  template <class S>
  static bool same_step(Walk<S>& walk, S& other) {
    if (walk.random().chance(60)) {
      const Granules count = walk.some_count();
      const Granules align = walk.some_align();
      return other.place(count, align) == walk.place(count, align);
    }
    const auto extent = walk.take_live();
    return !extent || other.release(extent->first) == walk.strategy().release(extent->first);
  }
};

// Attach takes up what is there, and writes nothing; and words that were never formatted it refuses.
struct AttachSeesWhatIsThere {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    std::vector<std::uint64_t> never(S::footprint(range.capacity));
    if (S::attach(never, range)) return false;
    Walk<S> walk(range, start);
    for (int i = 0; i < 5; ++i) {
      walk.steps(20);
      const auto before = walk.map().words();
      const auto attached = S::attach(walk.map().words(), range);
      if (!attached || walk.map().words() != before || observe(*attached) != observe(walk.strategy())) return false;
    }
    return true;
  }
};

// Whatever lay in the words, format makes the same empty map, and neither it nor any call writes beyond the footprint.
struct FormatIsFreshAndStaysInside {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    const std::size_t needed = S::footprint(range.capacity);
    std::vector<std::uint64_t> dirty(needed + margin, canary);
    std::vector<std::uint64_t> clean(needed + margin, 0);
    auto over_garbage = S::format(std::span(dirty).first(needed), range);
    auto over_zeros = S::format(std::span(clean).first(needed), range);
    if (!over_garbage || !over_zeros) return false;
    Random random(start);
    for (int i = 0; i < rounds; ++i) {
      if (observe(*over_garbage) != observe(*over_zeros)) return false;
      const Granules count(random.from_to(1, range.capacity.value()));
      if (over_garbage->place(count, Granules(1)) != over_zeros->place(count, Granules(1))) return false;
    }
    return std::count(dirty.end() - margin, dirty.end(), canary) == margin &&
           std::count(clean.end() - margin, clean.end(), 0U) == margin;
  }

 private:
  static constexpr int margin = 4;
  static constexpr std::uint64_t canary = 0xC0FFEE00C0FFEE00;
};

// With exact_release whatever is not the start of a live block is refused for the right reason, and changes nothing.
struct AWrongReleaseIsRefused {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    for (int i = 0; i < 8 && S::exact_release; ++i) {
      walk.steps(8);
      if (!all_are_refused(walk)) return false;
      const auto extent = walk.take_live();
      if (!extent) continue;
      walk.strategy().release(extent->first);
      if (!is_refused(walk, extent->first)) return false;  // twice
    }
    return true;
  }

 private:
  template <class S>
  static bool all_are_refused(Walk<S>& walk) {
    for (std::uint64_t first = 0; first < walk.capacity() + 3; ++first) {
      if (!is_refused(walk, Granules(first))) return false;
    }
    return is_refused(walk, Granules(~std::uint64_t{0})) && is_refused(walk, Granules(std::uint64_t{1} << 32));
  }
  template <class S>
  static ReleaseFault fault_of(const Walk<S>& walk, Granules first) {
    if (first.value() >= walk.capacity()) return ReleaseFault::outside;
    const bool inside =
        std::any_of(walk.live().begin(), walk.live().end(), [&](Extent e) { return e.contains(first); });
    return S::places && inside ? ReleaseFault::inner : ReleaseFault::not_live;
  }
  template <class S>
  static bool is_refused(Walk<S>& walk, Granules first) {
    const auto& live = walk.live();
    if (std::any_of(live.begin(), live.end(), [&](Extent e) { return e.first == first; })) return true;
    const auto before = observe(walk.strategy());
    return walk.strategy().release(first) == Released{.fault = fault_of(walk, first)} &&
           observe(walk.strategy()) == before;
  }
};

// Blocks that place gave can be put again where they were, in any order, into a fresh map; and nothing over them. All
// looks as before then.
struct PlaceAtRestores {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    if constexpr (can_place_at<S>) {
      Walk<S> walk(range, start);
      for (int i = 0; i < 8; ++i) {
        walk.steps(10);
        if (!restores(walk, range)) return false;
      }
    }
    return true;
  }

 private:
  template <class S>
  static bool restores(Walk<S>& walk, const Geometry& range) {
    std::vector<Extent> blocks = observe(walk.strategy()).blocks;
    for (std::size_t i = blocks.size(); i > 1; --i) {
      std::swap(blocks[i - 1], blocks[static_cast<std::size_t>(walk.random().below(i))]);
    }
    tests::Map<S> fresh(range);
    for (const Extent block : blocks) {
      if (fresh.strategy().place_at(block) != block) return false;
    }
    const auto restored = observe(fresh.strategy());
    if (!looks_alike<S>(restored, observe(walk.strategy()))) return false;
    for (const Extent block : blocks) {
      if (fresh.strategy().place_at(block) || observe(fresh.strategy()) != restored) return false;
    }
    return !fresh.strategy().place_at({range.capacity, Granules(1)}) &&
           !fresh.strategy().place_at({Granules(0), Granules(0)});
  }
  template <class S>
  static bool looks_alike(tests::Observed one, const tests::Observed& other) {
    if (remembers_order<S>) one.largest = other.largest;
    return one == other;
  }
};

// for_each_block tells each live block, lowest first, and length_of knows the same.
struct BlocksAreTold {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    for (int i = 0; i < rounds; ++i) {
      walk.steps(2);
      const std::vector<Extent> live = walk.live_in_order();
      if (observe(walk.strategy()).blocks != live) return false;
      auto next = live.begin();
      for (Granules first; first <= range.capacity; first += Granules(1)) {
        const bool starts = next != live.end() && next->first == first;
        if (walk.strategy().length_of(first) != (starts ? (next++)->count : Granules(0))) return false;
      }
    }
    return true;
  }
};

// A request of exactly largest_free succeeds at one granule's alignment, and of one more fails.
struct LargestFreeIsExact {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    Walk<S> walk(range, start);
    for (int i = 0; i < rounds; ++i) {
      const Granules largest = walk.strategy().largest_free();
      if (walk.strategy().place(largest + Granules(1), Granules(1))) return false;
      if (largest != Granules(0)) {
        const auto placed = walk.strategy().place(largest, Granules(1));
        if (!placed) return false;
        walk.strategy().release(placed->first);
      }
      walk.step();
    }
    return true;
  }
};

}  // namespace freestone::laws
