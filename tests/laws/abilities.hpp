// What holds for every strategy that has an ability, as laws/strategy.hpp has it for all strategies; the laws hold idly
// for those that have not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <freestone/strategy/snapshot.hpp>
#include "laws/strategy.hpp"

namespace freestone::laws {

// A strategy's map again, to try what it would have answered.
template <class S>
class Twin {
 public:
  explicit Twin(Walk<S>& walk) : words_(walk.map().words()), strategy_(*S::attach(words_, walk.map().range())) {}
  Twin(const Twin&) = delete;
  Twin& operator=(const Twin&) = delete;
  S* operator->() { return &strategy_; }
  const S& operator*() const { return strategy_; }

 private:
  std::vector<std::uint64_t> words_;
  S strategy_;
};

inline bool are_free(const std::vector<Extent>& live, Extent extent) {
  return std::none_of(live.begin(), live.end(), [&](Extent other) { return other.overlaps(extent); });
}
inline Extent some_extent(Random& random, Granules capacity) {
  return {Granules(random.below(capacity.value() + 2)),
          Granules(random.below(random.from_to(1, capacity.value()) + 2))};
}

// A resize is a release of the block and a place_at of the new extent; what fails changes nothing, and a block can
// always become shorter.
struct ResizeKeepsTheRest {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    if constexpr (can_resize<S>) {
      Walk<S> walk(range, start);
      for (int i = 0; i < rounds; ++i) {
        walk.steps(2);
        const auto block = walk.take_live();
        if (!block) continue;
        const auto resized = resize(walk, *block, some_length(walk.random(), *block));
        if (!resized) return false;
        walk.add_live(*resized);
        if (!refuses_others(walk)) return false;
      }
    }
    return true;
  }

 private:
  static Granules some_length(Random& random, Extent block) {
    return Granules(random.chance(5) ? random.next() : random.below(2 * block.count.value() + 3));
  }
  // The block as it is then; nothing where the law is broken.
  template <class S>
  static std::optional<Extent> resize(Walk<S>& walk, Extent block, Granules count) {
    const auto before = observe(walk.strategy());
    Twin<S> twin(walk);
    twin->release(block.first);
    const auto wanted = twin->place_at({block.first, count});
    const auto resized = walk.strategy().resize(block.first, count);
    if (resized != wanted || (!resized && count != Granules(0) && count <= block.count)) return std::nullopt;
    auto after = observe(walk.strategy());
    if (!resized) return after == before ? std::optional(block) : std::nullopt;
    auto expected = observe(*twin);
    if (remembers_order<S>) expected.largest = after.largest;
    return after == expected && resized->count >= count ? resized : std::nullopt;
  }
  // There is nothing to resize where no block starts.
  template <class S>
  static bool refuses_others(Walk<S>& walk) {
    const auto before = observe(walk.strategy());
    for (Granules first; first < Granules(walk.capacity() + 2); first += Granules(1)) {
      if (walk.strategy().length_of(first) == Granules(0) && walk.strategy().resize(first, Granules(1))) return false;
    }
    return !walk.strategy().resize(Granules(~std::uint64_t{0}), Granules(1)) && observe(walk.strategy()) == before;
  }
};

// Above where place_high puts a block place_at would have put none at that alignment; and where it puts none, nowhere.
struct PlaceHighIsHighest {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    if constexpr (can_place_high<S>) {
      Walk<S> walk(range, start);
      for (int i = 0; i < rounds; ++i) {
        walk.steps(2);
        const Granules count = walk.some_count();
        const Granules align = walk.some_align();
        const auto highest = highest_place(walk, count, align);
        const auto before = observe(walk.strategy());
        const auto placed = walk.strategy().place_high(count, align);
        if (placed != highest || (!placed && observe(walk.strategy()) != before)) return false;
        if (placed) walk.add_live(*placed);
        if (observe(walk.strategy()).blocks != walk.live_in_order()) return false;
      }
    }
    return true;
  }

 private:
  template <class S>
  static std::optional<Extent> highest_place(Walk<S>& walk, Granules count, Granules align) {
    const Geometry& range = walk.map().range();
    Twin<S> twin(walk);
    for (Granules end = range.capacity; end != Granules(0); end -= Granules(1)) {
      const Granules first = end - Granules(1);
      if ((range.origin + first).value() % align.value() != 0) continue;
      if (!StartRule<S>::allows(range, {first, count})) continue;
      if (const auto placed = twin->place_at({first, count})) return placed;
    }
    return std::nullopt;
  }
};

// Exactly the granules asked for, whenever they are free, in blocks that are told and go back like any other, also into
// a fresh map; and else nothing.
struct ReserveTakesExactly {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    if constexpr (can_reserve<S>) {
      Walk<S> walk(range, start);
      for (int i = 0; i < rounds; ++i) {
        walk.steps(2);
        if (!takes_exactly_or_nothing(walk, some_extent(walk.random(), range.capacity))) return false;
      }
    }
    return true;
  }

 private:
  template <class S>
  static bool takes_exactly_or_nothing(Walk<S>& walk, Extent extent) {
    const bool expected =
        extent.count != Granules(0) && extent.end() <= walk.map().range().capacity && are_free(walk.live(), extent);
    const auto before = observe(walk.strategy());
    std::vector<Extent> told;
    if (walk.strategy().reserve(extent, [&](Extent block) { told.push_back(block); }) != expected) return false;
    if (!expected) return told.empty() && observe(walk.strategy()) == before;
    if (!tile(told, extent)) return false;
    for (const Extent block : told) walk.add_live(block);
    if (observe(walk.strategy()).blocks != walk.live_in_order() || !goes_into_a_fresh_map<S>(walk, told)) return false;
    return walk.random().chance(50) || goes_back(walk, told, before);
  }
  static bool tile(const std::vector<Extent>& blocks, Extent extent) {
    Granules end = extent.first;
    for (const Extent block : blocks) {
      if (block.first != end || block.count == Granules(0)) return false;
      end = block.end();
    }
    return end == extent.end();
  }
  template <class S>
  static bool goes_into_a_fresh_map(Walk<S>& walk, const std::vector<Extent>& blocks) {
    tests::Map<S> fresh(walk.map().range());
    return !can_place_at<S> || std::all_of(blocks.begin(), blocks.end(),
                                           [&](Extent block) { return fresh.strategy().place_at(block) == block; });
  }
  template <class S>
  static bool goes_back(Walk<S>& walk, const std::vector<Extent>& blocks, const tests::Observed& before) {
    for (const Extent block : blocks) {
      walk.forget(block);
      if (walk.strategy().release(block.first) != Released{.count = block.count}) return false;
    }
    return observe(walk.strategy()) == before;
  }
};

// Each granule of a live block is said to be in it, and no other is in any.
struct ContainingTells {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    if constexpr (can_tell_containing<S>) {
      Walk<S> walk(range, start);
      for (int i = 0; i < rounds; ++i) {
        walk.steps(3);
        for (Granules granule; granule <= range.capacity + Granules(1); granule += Granules(1)) {
          if (walk.strategy().containing(granule) != block_with(walk.live(), granule)) return false;
        }
      }
    }
    return true;
  }

 private:
  static std::optional<Extent> block_with(const std::vector<Extent>& live, Granules granule) {
    const auto found = std::find_if(live.begin(), live.end(), [&](Extent block) { return block.contains(granule); });
    return found == live.end() ? std::nullopt : std::optional(*found);
  }
};

// The end moves exactly when it can; behind it there is nothing, and up to it everything.
struct GrowAndShrink {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    if constexpr (can_grow<S>) {
      Walk<S> walk(range, start);
      Granules end = range.capacity;
      for (int i = 0; i < rounds; ++i) {
        walk.step();
        if (!moves_when_it_can(walk, end) || !ends_there(walk, end)) return false;
      }
      while (const auto extent = walk.take_live()) walk.strategy().release(extent->first);
      while (walk.place(Granules(1), Granules(1))) {
      }
      return walk.live().size() == end.value();
    }
    return true;
  }

 private:
  template <class S>
  static bool moves_when_it_can(Walk<S>& walk, Granules& end) {
    const Granules capacity = walk.map().range().capacity;
    const bool grows = walk.random().chance(50);
    const Granules count(walk.random().chance(5) ? walk.random().next()
                                                 : walk.random().below(capacity.value() / 3 + 2));
    const bool expected = count != Granules(0) && (grows ? count <= capacity - end
                                                         : count <= end && are_free(walk.live(), {end - count, count}));
    const auto before = observe(walk.strategy());
    if ((grows ? walk.strategy().grow(count) : walk.strategy().shrink(count)) != expected) return false;
    if (!expected) return observe(walk.strategy()) == before;
    end = grows ? end + count : end - count;
    return true;
  }
  template <class S>
  static bool ends_there(Walk<S>& walk, Granules end) {
    Granules used;
    for (const Extent extent : walk.live()) used += extent.count;
    if (walk.strategy().free_granules() + used != end) return false;
    const auto seen = observe(walk.strategy());
    if (seen.blocks != walk.live_in_order()) return false;
    for (Granules first = end; first < Granules(walk.capacity() + 2); first += Granules(1)) {
      if (walk.strategy().length_of(first) != Granules(0)) return false;
      if (walk.strategy().release(first) != Released{.fault = ReleaseFault::outside}) return false;
    }
    return observe(walk.strategy()) == seen;
  }
};

// After a restore the map answers as it did after the snapshot, and words that are no snapshot of it are refused.
struct SnapshotRestores {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    if constexpr (S::places) {
      Walk<S> walk(range, start);
      std::vector<std::uint64_t> kept(S::footprint(range.capacity) + 1, canary);
      for (int i = 0; i < 5; ++i) {
        walk.steps(20);
        if (!strategy::snapshot<S>(walk.map().words(), range, kept) || kept.back() != canary) return false;
        const auto before = observe(walk.strategy());
        const auto live = walk.live();
        const auto answers = timeline(walk.strategy(), live, walk.random());
        if (!strategy::restore<S>(walk.map().words(), range, kept) || observe(walk.strategy()) != before) return false;
        if (timeline(walk.strategy(), live, walk.random()) != answers) return false;
        if (!strategy::restore<S>(walk.map().words(), range, kept) || !refuses_others(walk)) return false;
      }
    }
    return true;
  }

 private:
  static constexpr std::uint64_t canary = 0xC0FFEE00C0FFEE00;

  // What twenty calls answer, and how it looks then.
  template <class S>
  static auto timeline(S& strategy, std::vector<Extent> live, Random random) {
    std::vector<Extent> answers;
    for (int i = 0; i < 20; ++i) {
      if (random.chance(60)) {
        const auto placed =
            strategy.place(Granules(random.from_to(1, 9)), Granules(std::uint64_t{1} << random.below(3)));
        if (placed) live.push_back(*placed);
        answers.push_back(placed.value_or(Extent()));
      } else if (!live.empty()) {
        std::swap(live[static_cast<std::size_t>(random.below(live.size()))], live.back());
        answers.push_back({live.back().first, strategy.release(live.back().first).count});
        live.pop_back();
      }
    }
    return std::pair(answers, observe(strategy));
  }

  template <class S>
  static bool refuses_others(Walk<S>& walk) {
    const Geometry& range = walk.map().range();
    auto& words = walk.map().words();
    const auto before = words;
    std::vector<std::uint64_t> never(words.size());
    const Geometry other{.capacity = range.capacity, .granule = 1024, .origin = range.origin};
    return !strategy::restore<S>(words, range, never) && !strategy::restore<S>(words, other, words) &&
           words == before && !strategy::snapshot<S>(never, range, words) && words == before &&
           !strategy::snapshot<S>(words, range, std::span(never).first(never.size() - 1));
  }
};

// What a diff tells is what the lists of blocks differ in.
struct DiffTells {
  template <class S>
  static bool holds(const Geometry& range, std::uint64_t start) {
    if constexpr (S::places) {
      Walk<S> walk(range, start);
      for (int i = 0; i < 8; ++i) {
        walk.steps(10);
        auto before = walk.map().words();
        const auto blocks = walk.live_in_order();
        walk.steps(10);
        if (told<S>(before, walk.map().words(), range) != differences(blocks, walk.live_in_order())) return false;
        if (!told<S>(before, before, range).empty()) return false;
      }
    }
    return true;
  }

 private:
  using Told = std::vector<std::pair<Extent, strategy::Change>>;

  template <class S>
  static Told told(std::vector<std::uint64_t>& before, std::vector<std::uint64_t>& after, const Geometry& range) {
    Told told;
    const auto done = strategy::diff<S>(
        before, after, range, [&](Extent block, strategy::Change change) { told.emplace_back(block, change); });
    return done ? told : Told(1);
  }
  static Told differences(const std::vector<Extent>& before, const std::vector<Extent>& after) {
    Told list;
    const auto add_missing = [&](const auto& blocks, const auto& in, strategy::Change change) {
      for (const Extent block : blocks) {
        if (std::find(in.begin(), in.end(), block) == in.end()) list.emplace_back(block, change);
      }
    };
    add_missing(before, after, strategy::Change::went);
    add_missing(after, before, strategy::Change::came);
    std::stable_sort(list.begin(), list.end(), [](auto& a, auto& b) { return a.first.first < b.first.first; });
    return list;
  }
};

}  // namespace freestone::laws
