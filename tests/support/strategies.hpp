// Strategies for the laws: the smallest legal one, an unpleasant one, and one for each way to be wrong.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/elastic.hpp>

namespace freestone::tests {

// The least that is a strategy: a word a granule, the length of the block that starts there. No more is promised.
class MinimalStrategy {
 public:
  static constexpr std::uint32_t id = map_id("MinimalStrategy");
  static constexpr bool exact_release = false;
  static constexpr bool places = true;

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    const std::uint64_t n = capacity.value();
    return bits::add_saturating(map_header::words, n > SIZE_MAX ? SIZE_MAX : static_cast<std::size_t>(n));
  }
  static constexpr Result<MinimalStrategy> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check_notes(words, footprint(geometry.capacity)); error) return error;
    map_header::invalidate(words);
    for (std::uint64_t& word : words.subspan(map_header::words)) word = 0;
    map_header::write(words, id, geometry);
    return MinimalStrategy(words, geometry);
  }
  static constexpr Result<MinimalStrategy> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check(words, footprint(geometry.capacity), id, geometry); error) return error;
    return MinimalStrategy(words, geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    if (count == Granules(0)) return std::nullopt;
    for (std::uint64_t first = 0; first < lengths_.size(); ++first) {
      if (((origin_ + first) & (align.value() - 1)) != 0 || gap_at(first) < count.value()) continue;
      lengths_[static_cast<std::size_t>(first)] = count.value();
      return Extent{Granules(first), count};
    }
    return std::nullopt;
  }
  constexpr Released release(Granules first) noexcept {
    const Granules count = length_of(first);
    if (count == Granules(0)) return {.fault = ReleaseFault::not_live};
    lengths_[static_cast<std::size_t>(first.value())] = 0;
    return {.count = count};
  }
  constexpr Granules length_of(Granules first) const noexcept {
    return Granules(first.value() < lengths_.size() ? lengths_[static_cast<std::size_t>(first.value())] : 0);
  }
  constexpr Granules free_granules() const noexcept {
    std::uint64_t free = lengths_.size();
    for (const std::uint64_t length : lengths_) free -= length;
    return Granules(free);
  }
  constexpr Granules largest_free() const noexcept {
    std::uint64_t largest = 0;
    for (std::uint64_t first = 0; first < lengths_.size(); ++first) largest = std::max(largest, gap_at(first));
    return Granules(largest);
  }
  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for (std::uint64_t first = 0; first < lengths_.size(); ++first) {
      if (const Granules count = length_of(Granules(first)); count != Granules(0))
        visit(Extent{Granules(first), count});
    }
  }

 private:
  constexpr MinimalStrategy(std::span<std::uint64_t> words, const Geometry& geometry) noexcept
      : lengths_(words.subspan(map_header::words, static_cast<std::size_t>(geometry.capacity.value()))),
        origin_(geometry.origin.value()) {}

  // How many granules are free from `first` on.
  constexpr std::uint64_t gap_at(std::uint64_t first) const noexcept {
    for (std::uint64_t start = 0; start < lengths_.size(); ++start) {
      const std::uint64_t length = lengths_[static_cast<std::size_t>(start)];
      if (length != 0 && start <= first && first < start + length) return 0;
      if (length != 0 && start > first) return start - first;
    }
    return lengths_.size() - first;
  }

  std::span<std::uint64_t> lengths_;
  std::uint64_t origin_;
};

// A bitmap under another name, for models that differ from it in one thing.
template <class Derived>
class LikeBitmap {
 public:
  static constexpr std::uint32_t id = map_id("LikeBitmap");
  static constexpr bool exact_release = true;
  static constexpr bool places = true;

  static constexpr std::size_t footprint(Granules capacity) noexcept { return strategy::Bitmap::footprint(capacity); }
  static constexpr Result<Derived> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return made(strategy::Bitmap::format(words, geometry), words, geometry);
  }
  static constexpr Result<Derived> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return made(strategy::Bitmap::attach(words, geometry), words, geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept { return bitmap_.place(count, align); }
  constexpr std::optional<Extent> place_at(Extent extent) noexcept { return bitmap_.place_at(extent); }
  constexpr Released release(Granules first) noexcept { return bitmap_.release(first); }
  constexpr Granules length_of(Granules first) const noexcept { return bitmap_.length_of(first); }
  constexpr Granules free_granules() const noexcept { return bitmap_.free_granules(); }
  constexpr Granules largest_free() const noexcept { return bitmap_.largest_free(); }
  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    bitmap_.for_each_block(visit);
  }

 protected:
  constexpr LikeBitmap(strategy::Bitmap bitmap, std::span<std::uint64_t> words, const Geometry& geometry) noexcept
      : bitmap_(bitmap), words_(words), geometry_(geometry) {}

  static constexpr Result<Derived> made(const Result<strategy::Bitmap>& bitmap, std::span<std::uint64_t> words,
                                        const Geometry& geometry) noexcept {
    if (!bitmap) return bitmap.error();
    return Derived(*bitmap, words, geometry);
  }

  strategy::Bitmap bitmap_;
  std::span<std::uint64_t> words_;
  Geometry geometry_;
};

// Legal and unpleasant: grants threes where ones were asked for, never serves an alignment, takes far more words than
// it needs, and scribbles in them at every call.
class HostileStrategy : public LikeBitmap<HostileStrategy> {
 public:
  using LikeBitmap::LikeBitmap;

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    return bits::add_saturating(LikeBitmap::footprint(capacity), margin);
  }
  static constexpr Result<HostileStrategy> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check_notes(words, footprint(geometry.capacity)); error) return error;
    return LikeBitmap::format(words, geometry);
  }
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    scribble();
    const std::uint64_t threes = count.value() / 3 + (count.value() % 3 != 0);
    if (align != Granules(1) || threes > geometry_.capacity.value() / 3) return std::nullopt;
    return bitmap_.place(Granules(3 * threes), align);
  }
  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    scribble();
    const bool may_lie = extent.count.value() % 3 == 0 || extent.count == Granules(1);
    return may_lie ? bitmap_.place_at(extent) : std::nullopt;
  }
  // In blocks of one, although it could take threes.
  template <class Visitor>
  constexpr bool reserve(Extent extent, Visitor&& visit) noexcept {
    scribble();
    if (!bitmap_.place_at(extent)) return false;
    bitmap_.release(extent.first);
    for (; extent.count != Granules(0); extent = {extent.first + Granules(1), extent.count - Granules(1)}) {
      visit(*bitmap_.place_at({extent.first, Granules(1)}));
    }
    return true;
  }
  constexpr Released release(Granules first) noexcept { return scribble(), bitmap_.release(first); }
  constexpr Granules largest_free() const noexcept { return Granules(bitmap_.largest_free().value() / 3 * 3); }

 private:
  static constexpr std::size_t margin = 50;
  constexpr void scribble() noexcept { ++words_[LikeBitmap::footprint(geometry_.capacity) + margin - 1]; }
};

// --- Each breaks one law. ---

class GrantsTooLittle : public LikeBitmap<GrantsTooLittle> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    return bitmap_.place(count > Granules(1) ? count - Granules(1) : count, align);
  }
};

class Overlaps : public LikeBitmap<Overlaps> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    auto placed = bitmap_.place(count, align);
    if (placed && placed->first > Granules(0) && align == Granules(1)) placed->first -= Granules(1);
    return placed;
  }
};

class LeavesTheRange : public LikeBitmap<LeavesTheRange> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    auto placed = bitmap_.place(count, align);
    if (placed && placed->end() == geometry_.capacity) placed->count += Granules(1);
    return placed;
  }
};

class AlignsOffsets : public LikeBitmap<AlignsOffsets> {  // PMEM's U and C
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    for (std::uint64_t first = 0; first < geometry_.capacity.value(); first += align.value()) {
      if (const auto placed = bitmap_.place_at({Granules(first), count})) return placed;
    }
    return std::nullopt;
  }
};

class PlacesNothingAsSomething : public LikeBitmap<PlacesNothingAsSomething> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    return bitmap_.place(std::max(count, Granules(1)), align);
  }
};

class FailsAndKeeps : public LikeBitmap<FailsAndKeeps> {  // PMEM's quirk A
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    const auto placed = bitmap_.place(count, align);
    if (!placed) static_cast<void>(bitmap_.place(Granules(1), Granules(1)));
    return placed;
  }
};

class ReleasesMisreported : public LikeBitmap<ReleasesMisreported> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr Released release(Granules first) noexcept {
    Released released = bitmap_.release(first);
    if (released.count > Granules(1)) released.count -= Granules(1);
    return released;
  }
};

class LosesGranules : public LikeBitmap<LosesGranules> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr Granules free_granules() const noexcept {
    const Granules free = bitmap_.free_granules();
    return free > Granules(1) && free < geometry_.capacity ? free - Granules(1) : free;
  }
};

class NeverMerges : public LikeBitmap<NeverMerges> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    return ever_released() && count == geometry_.capacity ? std::nullopt : bitmap_.place(count, align);
  }
  constexpr Released release(Granules first) noexcept {
    words_[1] |= mark;
    return bitmap_.release(first);
  }

 private:
  static constexpr std::uint64_t mark = std::uint64_t{1} << 32;  // the spare half of the header
  constexpr bool ever_released() const noexcept { return geometry_.capacity > Granules(1) && (words_[1] & mark) != 0; }
};

// Counts in the object, not in the words: what another object over them does, it does not see.
class KeepsToItself : public LikeBitmap<KeepsToItself> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    const auto placed = bitmap_.place(count, align);
    if (placed) used_ += placed->count;
    return placed;
  }
  constexpr Released release(Granules first) noexcept {
    const Released released = bitmap_.release(first);
    used_ -= released.count;
    return released;
  }
  constexpr Granules free_granules() const noexcept { return geometry_.capacity - used_; }

 private:
  Granules used_;
};

class AttachFormats : public LikeBitmap<AttachFormats> {
 public:
  using LikeBitmap::LikeBitmap;
  static constexpr Result<AttachFormats> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return format(words, geometry);
  }
};

class TakesInnerReleases : public LikeBitmap<TakesInnerReleases> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr Released release(Granules first) noexcept {
    const Released released = bitmap_.release(first);
    return released.fault == ReleaseFault::inner ? bitmap_.release(first - Granules(1)) : released;
  }
};

class MistakesFaults : public LikeBitmap<MistakesFaults> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr Released release(Granules first) noexcept {
    Released released = bitmap_.release(first);
    if (released.fault == ReleaseFault::inner) released.fault = ReleaseFault::not_live;
    return released;
  }
};

class RestoresElsewhere : public LikeBitmap<RestoresElsewhere> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place_at(Extent extent) noexcept { return bitmap_.place(extent.count, Granules(1)); }
};

class RestoresOverOthers : public LikeBitmap<RestoresOverOthers> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    const auto placed = bitmap_.place_at(extent);
    if (!placed && bitmap_.release(extent.first).count != Granules(0)) return bitmap_.place_at(extent);
    return placed;
  }
};

class VisitsBackwards : public LikeBitmap<VisitsBackwards> {
 public:
  using LikeBitmap::LikeBitmap;
  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for (std::uint64_t end = geometry_.capacity.value(); end > 0; --end) {
      const Granules first(end - 1);
      if (length_of(first) != Granules(0)) visit(Extent{first, length_of(first)});
    }
  }
};

class ForgetsLengths : public LikeBitmap<ForgetsLengths> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr Granules length_of(Granules first) const noexcept {
    return std::min(bitmap_.length_of(first), Granules(4));
  }
};

class PromisesTooMuch : public LikeBitmap<PromisesTooMuch> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr Granules largest_free() const noexcept { return bitmap_.free_granules(); }
};

class PromisesTooLittle : public LikeBitmap<PromisesTooLittle> {
 public:
  using LikeBitmap::LikeBitmap;
  constexpr Granules largest_free() const noexcept { return Granules(bitmap_.largest_free().value() / 2); }
};

class WritesBeyond : public LikeBitmap<WritesBeyond> {
 public:
  using LikeBitmap::LikeBitmap;
  static constexpr std::size_t footprint(Granules capacity) noexcept { return LikeBitmap::footprint(capacity) - 1; }
  static constexpr Result<WritesBeyond> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return LikeBitmap::format({words.data(), words.size() + 1}, geometry);
  }
  static constexpr Result<WritesBeyond> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return LikeBitmap::attach({words.data(), words.size() + 1}, geometry);
  }
};

// Trusts what lay in the words before.
class FormatsTheHeaderOnly : public LikeBitmap<FormatsTheHeaderOnly> {
 public:
  using LikeBitmap::LikeBitmap;
  static constexpr Result<FormatsTheHeaderOnly> format(std::span<std::uint64_t> words,
                                                       const Geometry& geometry) noexcept {
    if (const Error error = map_header::check_notes(words, footprint(geometry.capacity)); error) return error;
    map_header::write(words, strategy::Bitmap::id, geometry);
    words[map_header::words] = geometry.capacity.value();
    words[map_header::words + 1] = 0;
    return attach(words, geometry);
  }
};

// A strategy under another name, with all that it can do, for models that do one thing otherwise.
template <class Derived, class Inner = strategy::BestFit>
class Like : public Inner {
 public:
  static constexpr Result<Derived> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return made(Inner::format(words, geometry));
  }
  static constexpr Result<Derived> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return made(Inner::attach(words, geometry));
  }

 protected:
  constexpr explicit Like(const Inner& inner) noexcept : Inner(inner) {}

  static constexpr Result<Derived> made(const Result<Inner>& inner) noexcept {
    if (!inner) return inner.error();
    return Derived(*inner);
  }
};

// Legal: a range that ends long before what its map was made for. To the laws it is one that ends where it ends.
template <class Inner>
class Ended : public Like<Ended<Inner>, strategy::Elastic<Inner>> {
  using Elastic = strategy::Elastic<Inner>;
  using Base = Like<Ended, Elastic>;

 public:
  using Base::Base;
  static constexpr std::size_t footprint(Granules capacity) noexcept { return Elastic::footprint(capacity + hidden); }
  static constexpr Result<Ended> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    auto made = Base::format(words, longer(geometry));
    if (made && !made->shrink(hidden)) return ErrorCode::no_space;
    return made;
  }
  static constexpr Result<Ended> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return Base::attach(words, longer(geometry));
  }
  bool grow(Granules) noexcept = delete;

 private:
  static constexpr Granules hidden = Granules(37);
  static constexpr Geometry longer(Geometry geometry) noexcept {
    geometry.capacity += hidden;
    return geometry;
  }
};

// --- Each breaks one law of an ability. ---

class ResizesElsewhere : public Like<ResizesElsewhere> {
 public:
  using Like::Like;
  constexpr std::optional<Extent> resize(Granules first, Granules count) noexcept {
    if (const auto resized = Like::resize(first, count)) return resized;
    const bool may_move = length_of(first) != Granules(0) && count <= largest_free();
    if (may_move) release(first);
    return may_move ? place(count, Granules(1)) : std::nullopt;
  }
};

class NeverBecomesLonger : public Like<NeverBecomesLonger> {
 public:
  using Like::Like;
  constexpr std::optional<Extent> resize(Granules first, Granules count) noexcept {
    return count > length_of(first) ? std::nullopt : Like::resize(first, count);
  }
};

class FailsToResizeAndCuts : public Like<FailsToResizeAndCuts> {
 public:
  using Like::Like;
  constexpr std::optional<Extent> resize(Granules first, Granules count) noexcept {
    const auto resized = Like::resize(first, count);
    if (!resized) Like::resize(first, Granules(1));
    return resized;
  }
};

class PlacesLowAsHigh : public Like<PlacesLowAsHigh> {
 public:
  using Like::Like;
  constexpr std::optional<Extent> place_high(Granules count, Granules align) noexcept { return place(count, align); }
};

// From an even granule on.
class ReservesEvenly : public Like<ReservesEvenly> {
 public:
  using Like::Like;
  template <class Visitor>
  constexpr bool reserve(Extent extent, Visitor&& visit) noexcept {
    const Granules odd(extent.first.value() & 1);
    const auto placed = place_at({extent.first - odd, extent.count + odd});
    if (placed) visit(*placed);
    return placed.has_value();
  }
};

class ReservesInSilence : public Like<ReservesInSilence> {
 public:
  using Like::Like;
  template <class Visitor>
  constexpr bool reserve(Extent extent, Visitor&&) noexcept {
    return place_at(extent).has_value();
  }
};

class ReservesHalfAndFails : public Like<ReservesHalfAndFails> {
 public:
  using Like::Like;
  template <class Visitor>
  constexpr bool reserve(Extent extent, Visitor&& visit) noexcept {
    const auto placed = place_at(extent);
    if (placed) visit(*placed);
    if (!placed) place_at({extent.first, Granules(1)});
    return placed.has_value();
  }
};

class GrowsInNameOnly : public Like<GrowsInNameOnly, strategy::Elastic<strategy::BestFit>> {
 public:
  using Like::Like;
  constexpr bool grow(Granules count) noexcept {
    const bool grown = Like::grow(count);
    if (grown) Like::shrink(count);
    return grown;
  }
};

class FindsStartsOnly : public Like<FindsStartsOnly, strategy::Buddy> {
 public:
  using Like::Like;
  constexpr std::optional<Extent> containing(Granules granule) const noexcept {
    if (length_of(granule) == Granules(0)) return std::nullopt;
    return Extent{granule, length_of(granule)};
  }
};

class FindsHolesToo : public Like<FindsHolesToo, strategy::BestFit> {
 public:
  using Like::Like;
  constexpr std::optional<Extent> containing(Granules granule) const noexcept {
    const auto found = Like::containing(granule);
    return found ? found : std::optional(Extent{granule, Granules(1)});
  }
};

class ShrinksInNameOnly : public Like<ShrinksInNameOnly, strategy::Elastic<strategy::BestFit>> {
 public:
  using Like::Like;
  constexpr bool shrink(Granules count) noexcept {
    const bool shrunk = Like::shrink(count);
    if (shrunk) Like::grow(count);
    return shrunk;
  }
};

class ShrinksOverBlocks : public Like<ShrinksOverBlocks, strategy::Elastic<strategy::BestFit>> {
 public:
  using Like::Like;
  constexpr bool shrink(Granules count) noexcept {
    Granules last;
    for_each_block([&](Extent block) { last = block.first; });
    if (Like::shrink(count)) return true;
    release(last);
    return Like::shrink(count);
  }
};

}  // namespace freestone::tests
