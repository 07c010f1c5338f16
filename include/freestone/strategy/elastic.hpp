#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// A range whose end moves, for a backing that commits and decommits memory as it goes. The map is made for the most
// that the range can ever be, and that is where it ends at first; who starts with less shrinks at once. What lies
// behind the end are blocks of Inner's that nobody is told of. All else, other abilities too, is as Inner does it.
//
// Map: a word, the end, before Inner's. Cost: Inner's; shrink a place_at (or reserve), grow one more and a release for
// each shrink that it takes back; for_each_block also walks over what lies behind the end.
template <class Inner>
class Elastic : public Inner {
  static_assert(Inner::places && can_take_any_extent<Inner>,
                "Elastic takes a Strategy that places, with a place_at that says any_extent, or with reserve.");

 public:
  static constexpr std::uint32_t id = map_id("Elastic", Inner::id);

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    return bits::add_saturating(inner_word, Inner::footprint(capacity));
  }

  static constexpr Result<Elastic> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check_notes(words, footprint(geometry.capacity)); error) return error;
    map_header::invalidate(words);
    words[end_word] = geometry.capacity.value();
    const auto inner = Inner::format(words.subspan(inner_word), geometry);
    if (!inner) return inner.error();
    map_header::write(words, id, geometry);
    return Elastic(*inner, words.data(), geometry);
  }

  static constexpr Result<Elastic> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check(words, footprint(geometry.capacity), id, geometry); error) return error;
    const auto inner = Inner::attach(words.subspan(inner_word), geometry);
    if (!inner) return inner.error();
    return Elastic(*inner, words.data(), geometry);
  }

  constexpr bool shrink(Granules count) noexcept {
    if (count > end()) return false;
    const Granules new_end = end() - count;
    if (!take_exactly(inner(), {new_end, count}, freestone::detail::AnyVisitor())) return false;
    words_[end_word] = new_end.value();
    return true;
  }

  constexpr bool grow(Granules count) noexcept {
    if (count == Granules(0) || count > capacity_ - end()) return false;
    const Granules new_end = end() + count;
    Granules returned = end();
    while (returned < new_end) returned += Inner::release(returned).count;
    if (returned != new_end) {
      take_exactly(inner(), {new_end, returned - new_end}, freestone::detail::AnyVisitor());
    }
    words_[end_word] = new_end.value();
    return true;
  }

  constexpr std::optional<Extent> resize(Granules first, Granules count) noexcept
    requires can_resize<Inner>
  {
    return first < end() ? Inner::resize(first, count) : std::nullopt;
  }

  constexpr Released release(Granules first) noexcept {
    if (first >= end()) return {.fault = ReleaseFault::outside};
    return Inner::release(first);
  }

  constexpr Granules length_of(Granules first) const noexcept {
    return first < end() ? Inner::length_of(first) : Granules(0);
  }

  constexpr std::optional<Extent> containing(Granules granule) const noexcept
    requires can_tell_containing<Inner>
  {
    return granule < end() ? Inner::containing(granule) : std::nullopt;
  }

  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    Inner::for_each_block([&](Extent block) {
      if (block.first < end()) visit(block);
    });
  }
  template <class Visitor>
  constexpr void for_each_node(Visitor&& visit) const
    requires requires(const Inner& inner) { inner.for_each_node(visit); }
  {
    Inner::for_each_node([&](Extent node, bool live) {
      if (node.first < end()) visit(node, live);
    });
  }

 private:
  static constexpr std::size_t end_word = map_header::words;
  static constexpr std::size_t inner_word = end_word + 1;

  constexpr Elastic(const Inner& inner, std::uint64_t* words, const Geometry& geometry) noexcept
      : Inner(inner), words_(words), capacity_(geometry.capacity) {}

  constexpr Inner& inner() noexcept { return *this; }
  constexpr Granules end() const noexcept { return Granules(words_[end_word]); }

  std::uint64_t* words_;
  Granules capacity_;
};

}  // namespace freestone::strategy
