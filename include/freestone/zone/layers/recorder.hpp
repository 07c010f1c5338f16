#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/events.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/zone/layers/clock.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

// A zone that writes each call into a ring of the caller's, which stands behind the options, as 16-byte events; he
// takes them out whenever he likes (layers/os/trace_csv.hpp makes a file of them). Where the ring is full the new event
// is lost, and counted: what is there stays whole from its start. Lost is also what an event cannot hold, a block
// behind 2^48 granules.
//
// Events stand in an order in which the calls can have been made one after the other, whatever threads did: the event
// of a deallocate, and of a resize to no more than the block has, is begun before the call and ended after, as what it
// frees may be another's by then; of the others it is written after the call. But a call that failed may stand late:
// behind one that made the room it did not find. A list is an event for each of its blocks, a failed one is one. An
// allocate_at is an allocate with no alignment; a deallocate_at of no live block fails with size 0. What other handles
// do, or a recovery drops, is not seen.
//
// The ring must outlive the handle. Cost: 16 bytes, some 85 instructions and the clock once a call.
template <class Z, class Clock = Ticks>
class Recorder : public Layer<Recorder<Z, Clock>, Z, std::span<Event>> {
  using Base = Layer<Recorder, Z, std::span<Event>>;
  friend Base;
  using Turn = typename Base::Turn;
  static_assert(is_clock<Clock>, "Recorder: the Clock must be callable as std::uint64_t(), noexcept: what time it is.");

 public:
  // Takes the oldest events out of the ring: the first of `out`. None where there is none, or where a deallocate or a
  // resize that began before all others is not through. Any thread may call it. Cost: O(events), under the layer's
  // turn.
  constexpr std::span<Event> take(std::span<Event> out) noexcept {
    const Turn turn(*this);
    std::size_t taken = 0;
    while (taken < out.size() && used_ != 0 && ring_[first_].kind() != EventKind::open) {
      out[taken++] = ring_[first_];
      first_ = first_ + 1 == ring_.size() ? 0 : first_ + 1;
      --used_;
    }
    return out.first(taken);
  }

  // How many events were, ever.
  constexpr std::uint64_t lost() noexcept {
    const Turn turn(*this);
    return lost_;
  }

  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    const Result<Block> block = next(request);
    const Turn turn(*this);
    put(allocate_of(request, block ? *block : Block(), request.size, !block));
    return block;
  }

  template <class Next>
  constexpr Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    const Result<std::span<Block>> blocks = next(request);
    const Turn turn(*this);
    if (!blocks) {
      put(allocate_of(request, Block(), request.size, true));
    } else {
      for (const Block& block : *blocks) put(allocate_of(request, block, block.size(), false));
    }
    return blocks;
  }

  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    if (size <= block.size()) return opened(EventKind::resize, block, size, [&] { return next(block, size); });
    const Result<Block> resized = next(block, size);
    const Turn turn(*this);
    put({.kind = EventKind::resize, .failed = !resized, .first = first_of(block), .size = size});
    return resized;
  }

  template <class Next>
  constexpr Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    return opened(EventKind::deallocate, block, block.size(), [&] { return next(block); });
  }
  constexpr void after_recover() noexcept {}

 private:
  constexpr Recorder(Z&& zone, const std::span<Event>& ring) noexcept
      : Base(std::move(zone)), ring_(ring), time_(Clock()()) {}

  constexpr Granules first_of(const Block& block) const noexcept {
    return Granules(block.offset().value() >> bits::floor_log2(this->granule().value()));
  }
  constexpr EventFields allocate_of(const Request& request, const Block& block, Bytes size,
                                    bool failed) const noexcept {
    return {.kind = EventKind::allocate,
            .failed = failed,
            .tag = static_cast<std::uint8_t>(request.tag < 255 ? request.tag : 255),
            .first = first_of(block),
            .size = size,
            .align = request.align};
  }

  // The call, with its event begun before it.
  template <class Call>
  constexpr auto opened(EventKind kind, const Block& block, Bytes size, Call&& call) noexcept {
    Event* const event = begin(block, size);
    const auto result = call();
    if (event != nullptr) {
      const Turn turn(*this);
      event->end(kind, !result);
    }
    return result;
  }
  constexpr Event* begin(const Block& block, Bytes size) noexcept {
    const Turn turn(*this);
    return put({.kind = EventKind::open, .first = first_of(block), .size = size});
  }

  // Where it lies until it is taken; null where it is lost.
  constexpr Event* put(EventFields fields) noexcept {
    fields.time = ticks_between(time_, Clock()());
    const std::optional<Event> event = Event::of(fields);
    if (!event || used_ == ring_.size()) {
      ++lost_;
      return nullptr;
    }
    time_ += event->fields().time;
    const std::size_t behind = ring_.size() - first_;
    Event& slot = ring_[used_ < behind ? first_ + used_ : used_ - behind];
    ++used_;
    slot = *event;
    return &slot;
  }

  std::span<Event> ring_;
  std::size_t first_ = 0;
  std::size_t used_ = 0;
  std::uint64_t time_;  // of the last event, as it says
  std::uint64_t lost_ = 0;
};

}  // namespace freestone::layers
