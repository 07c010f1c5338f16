// A board's heaps, to which others are added while all of them are used.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone::linux_user {

// Over the heaps H, which outlive it. Any thread, as H's zones let them.
template <class H>
class GrowingHeaps {
 public:
  explicit GrowingHeaps(H& first) noexcept : first_(first), heaps_(first.count()) { std::ranges::copy(first.traits(), traits_.begin()); }
  GrowingHeaps(const GrowingHeaps&) = delete;
  GrowingHeaps& operator=(const GrowingHeaps&) = delete;

  // One heap more, the only one of `more`, of an id that no other has; it stays. Throws std::bad_alloc, and then nothing happened.
  // Callers take turns, whoever uses the others meanwhile.
  H& add(H more) {
    const std::size_t place = heaps_.load(std::memory_order_relaxed);
    H& added = *(added_[place] = std::make_unique<H>(std::move(more)));
    traits_[place] = added.traits()[0];
    heaps_.store(place + 1, std::memory_order_release);
    return added;
  }

  std::span<const HeapTraits> traits() const noexcept { return {traits_.data(), heaps_.load(std::memory_order_acquire)}; }
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    first_.for_each(visit);
    for (const auto& one : added()) one->for_each(visit);
  }
  // Errors, here and below: H's.
  Result<ZoneRef> zone(unsigned id) noexcept { return of(id).zone(id); }

  // Of the first heaps; or, where nothing but one that was added will do, of that.
  auto allocate(const Constraints& wanted) noexcept { return of(wanted).allocate(wanted); }
  auto allocate_list(const Constraints& wanted, std::span<Block> out) noexcept { return of(wanted).allocate_list(wanted, out); }

  Result<void> deallocate(const Block& block) noexcept {
    for (const auto& one : added()) {
      if (one->zone(one->traits()[0].id)->tag() == block.zone_tag()) return one->deallocate(block);
    }
    return first_.deallocate(block);
  }

 private:
  // Those that are there by now; the others' places are nobody's to look at.
  std::span<const std::unique_ptr<H>> added() const noexcept {
    return std::span<const std::unique_ptr<H>>(added_).subspan(first_.count(), traits().size() - first_.count());
  }
  H& of(unsigned id) noexcept {
    for (const auto& one : added()) {
      if (one->traits()[0].id == id) return *one;
    }
    return first_;
  }
  H& of(const Constraints& wanted) noexcept {
    for (const auto& one : added()) {
      if (wanted.heaps == HeapMask::of(one->traits()[0].id)) return *one;
    }
    return first_;
  }

  H& first_;
  std::array<HeapTraits, most_heaps> traits_ = {};  // the first ones', and then each that was added
  std::array<std::unique_ptr<H>, most_heaps> added_ = {};
  std::atomic<std::size_t> heaps_;
};

}  // namespace freestone::linux_user
