#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/concept.hpp>

namespace freestone::backing {

// Up to N ranges as one: two carve-outs, four dma-bufs. Offsets run on from one to the next, with a gap between them in
// which there is nothing: one byte at least, and as many as it takes for addresses of the next range to be aligned as
// their offsets are, up to `Alignment` (a zone refuses more). It can do what B can, but for what each range has for
// itself: range_at tells which one it is.
//
// The notes are those of the range that has most words, of equals the first one's; or any other's, when it is known how
// many it takes:
//
//   using CameraZone = Zone<WithNotes<Scattered<Reserved, 2>, Anonymous>, strategy::Segregated, ...>;
//   auto ranges = Scattered<Reserved, 2>::of(low, high);
//   auto notes = Anonymous::create({.notes_words = CameraZone::notes_words(ranges->size(), 4_KiB)});
//   auto zone = CameraZone::create({.name = "camera"}, {*std::move(ranges), *std::move(notes)});
//
// No block lies across a gap: the zone takes its gaps out of use when it is made (has_gaps), and who takes it up brings
// ranges that lie alike. With `Elastic`, a gap is an end behind which the zone does not shrink.
template <class B, std::size_t N, std::uint64_t Alignment = std::uint64_t{2} << 20>
class Scattered {
  static_assert(N != 0 && Alignment != 0 && (Alignment & (Alignment - 1)) == 0,
                "Scattered takes one range or more, and an alignment that is a power of two.");
  static_assert(!can_publish<B>,
                "Scattered takes ranges that have no names: of several, some could be seen without the others.");

 public:
  static constexpr bool shared = B::shared;
  static constexpr bool gives(Cacheability c) noexcept { return B::gives(c); }
  static constexpr Bytes most_alignment = Alignment;
  static constexpr std::size_t most_ranges = N;

  constexpr explicit Scattered(B first) noexcept : size_(first.size()) {
    ranges_[0] = std::move(first);
    count_ = 1;
  }

  // All at once; add's errors.
  template <class... More>
    requires(sizeof...(More) < N)
  static constexpr Result<Scattered> of(B first, More... more) noexcept {
    Scattered all(std::move(first));
    Error error;
    static_cast<void>(((error = all.add(std::move(more)).error(), !error) && ...));
    if (error) return error;
    return all;
  }

  // One more behind the last, before a zone is made of them. Errors: list_too_short where there are N, zone_overflow
  // where offsets or their numbers from the base on would leave 64 bits; then the range is gone, and nothing changed.
  constexpr Result<void> add(B next) noexcept {
    if (count_ == N) return Error{.code = ErrorCode::list_too_short, .asked = N + 1, .available = N};
    const std::uint64_t numbers = ~base().value();  // behind the base
    const std::uint64_t end = size_.value();
    const std::uint64_t step = (next.base().value() - base().value() - end - 1) & (Alignment - 1);
    const std::uint64_t size = next.size().value();
    if (end > numbers || step + 1 > numbers - end || size > numbers - end - step - 1) {
      return Error{.code = ErrorCode::zone_overflow, .asked = size, .available = numbers};
    }
    begins_[count_] = end + 1 + step;
    size_ = begins_[count_] + size;
    ranges_[count_++] = std::move(next);
    return {};
  }

  constexpr Bytes size() const noexcept { return size_; }  // with the gaps
  constexpr Bytes base() const noexcept { return ranges_[0]->base(); }
  constexpr std::span<std::uint64_t> notes() noexcept {
    std::span<std::uint64_t> most = ranges_[0]->notes();
    for (std::size_t i = 1; i < count_; ++i) {
      if (ranges_[i]->notes().size() > most.size()) most = ranges_[i]->notes();
    }
    return most;
  }

  // visit(Bytes offset, Bytes size), lowest first.
  template <class Visitor>
  constexpr void for_each_gap(Visitor&& visit) const noexcept {
    for (std::size_t i = 1; i < count_; ++i) {
      const Bytes end = begins_[i - 1] + ranges_[i - 1]->size();
      visit(end, begins_[i] - end);
    }
  }

  // The range that this byte lies in, and its offset there. Empty in a gap and behind the end.
  struct Place {
    const B* range;
    Bytes offset;
  };
  constexpr std::optional<Place> range_at(Bytes offset) const noexcept {
    const std::size_t i = number_at(offset);
    if (i == N) return std::nullopt;
    return Place{&*ranges_[i], offset - begins_[i]};
  }

  constexpr std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept
    requires has_cpu_pointer<B>
  {
    const auto place = range_at(offset);
    return place ? place->range->cpu_pointer(place->offset) : std::nullopt;
  }
  constexpr std::optional<PhysicalAddress> physical_address(Bytes offset) const noexcept
    requires has_physical_address<B>
  {
    const auto place = range_at(offset);
    return place ? place->range->physical_address(place->offset) : std::nullopt;
  }
  constexpr std::optional<DeviceAddress> device_address(Bytes offset) const noexcept
    requires has_device_address<B>
  {
    const auto place = range_at(offset);
    return place ? place->range->device_address(place->offset) : std::nullopt;
  }

  // size_beyond_zone where the bytes are not all in one range; B's errors.
  constexpr Result<void> commit(Bytes offset, Bytes size) noexcept
    requires can_commit<B>
  {
    const std::size_t i = number_of(offset, size);
    if (i == N) return beyond(size);
    return ranges_[i]->commit(offset - begins_[i], size);
  }
  constexpr Result<void> decommit(Bytes offset, Bytes size) noexcept
    requires can_commit<B>
  {
    const std::size_t i = number_of(offset, size);
    if (i == N) return beyond(size);
    return ranges_[i]->decommit(offset - begins_[i], size);
  }

 private:
  // N in a gap and behind the end.
  constexpr std::size_t number_at(Bytes offset) const noexcept {
    for (std::size_t i = count_; i-- > 0;) {
      if (offset >= begins_[i]) return offset - begins_[i] < ranges_[i]->size() ? i : N;
    }
    return N;
  }
  constexpr std::size_t number_of(Bytes offset, Bytes size) const noexcept {
    const std::size_t i = number_at(offset);
    return i != N && size <= ranges_[i]->size() - (offset - begins_[i]) ? i : N;
  }
  constexpr Error beyond(Bytes size) const noexcept {
    return {.code = ErrorCode::size_beyond_zone, .asked = size.value(), .available = size_.value()};
  }

  std::array<std::optional<B>, N> ranges_;
  std::array<Bytes, N> begins_{};
  std::size_t count_ = 0;
  Bytes size_;
};

}  // namespace freestone::backing
