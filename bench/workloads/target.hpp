// What a workload runs over: a zone of ours or a peer, with the same two calls.
#pragma once

#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/zone/zone.hpp>

#include "../host_heap.hpp"
#include "../timer.hpp"
#include "setting.hpp"

namespace freestone::bench::workloads {

// Made with the bytes that it manages, empty. `none` is the handle of a block that was refused.
template <class T>
concept Target = requires(T target, const Request& request, typename T::Handle handle) {
  {T(std::uint64_t{})};
  { T::none } -> std::convertible_to<typename T::Handle>;
  { target.allocate(request) } -> std::same_as<typename T::Handle>;
  target.deallocate(handle);
};

// A zone as a program would hold it: what it keeps of a block is the offset.
template <class S, class L>
class ZoneTarget {
  using Backing = std::conditional_t<S::places, backing::OffsetSpace, HostHeap>;
  using MeasuredZone = Zone<Backing, S, L, cache::Coherent>;

 public:
  using Handle = std::uint64_t;
  static constexpr Handle none = UINT64_MAX;

  explicit ZoneTarget(std::uint64_t bytes) : zone_(make(bytes)) {}

  Handle allocate(const Request& request) {
    const auto block = zone_.allocate(request);
    return block ? block->offset().value() : none;
  }
  void deallocate(Handle offset) {
    if (!zone_.deallocate_at(offset)) [[unlikely]]
      throw std::runtime_error("a live block was not taken back");
  }

  static std::uint64_t metadata(std::uint64_t bytes) {
    return std::uint64_t{MeasuredZone::notes_words(bytes, granule)} * sizeof(std::uint64_t);
  }

 private:
  static MeasuredZone make(std::uint64_t bytes) {
    auto zone = MeasuredZone::create({.name = "bench", .size = bytes, .granule = granule});
    if (!zone) throw std::runtime_error("the host has no memory for a zone's notes");
    return *std::move(zone);
  }

  MeasuredZone zone_;
};

// A peer for one thread, under one of our locks.
template <class T, class L>
class Locked {
 public:
  using Handle = typename T::Handle;
  static constexpr Handle none = T::none;

  explicit Locked(std::uint64_t bytes) : target_(bytes), lock_(L::format(words_)) {}
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

  Handle allocate(const Request& request) {
    lock_.lock();
    const Handle handle = target_.allocate(request);
    lock_.unlock();
    return handle;
  }
  void deallocate(Handle handle) {
    lock_.lock();
    target_.deallocate(handle);
    lock_.unlock();
  }

 private:
  T target_;
  alignas(64) std::uint64_t words_[8] = {};
  static_assert(L::words <= 8);
  L lock_;
};

// Each call by itself, on the clock.
using Ticks = std::vector<std::uint32_t>;

template <class T>
class Timed {
 public:
  using Handle = typename T::Handle;
  static constexpr Handle none = T::none;

  Timed(std::uint64_t bytes, Ticks& ticks) : target_(bytes), ticks_(ticks) {}

  Handle allocate(const Request& request) {
    const std::uint64_t start = now_ticks();
    const Handle handle = target_.allocate(request);
    note(now_ticks() - start);
    return handle;
  }
  void deallocate(Handle handle) {
    const std::uint64_t start = now_ticks();
    target_.deallocate(handle);
    note(now_ticks() - start);
  }

 private:
  void note(std::uint64_t ticks) {
    ticks_.push_back(ticks > UINT32_MAX ? UINT32_MAX : static_cast<std::uint32_t>(ticks));
  }

  T target_;
  Ticks& ticks_;
};

// Makes the compiler forget what it knows of a handle, for no instruction at all where it fits a register: what comes
// next is done for a block that could be any.
template <class T>
void forget(T& handle) {
  if constexpr (sizeof(T) <= sizeof(void*)) {
    __asm__ __volatile__("" : "+r"(handle));
  } else {
    __asm__ __volatile__("" : "+m"(handle));
  }
}

}  // namespace freestone::bench::workloads
