#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// Fresh zeroed pages of this process, its notes on pages of their own behind them. Offsets count from 0; up to 2 MiB a
// pointer is aligned as its offset is. Pages that nobody touched cost no memory.
//
// With a strategy that keeps books only, each block is a mapping of its own, and the notes also hold their addresses.
class Anonymous {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability c) noexcept { return c == Cacheability::cached; }

  static Result<Anonymous> create(const BackingRequest& request) noexcept {
    return request.block_by_block ? create_slots(request) : create_range(request);
  }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    if (!slots_.empty()) return std::nullopt;
    return pages_.data() + static_cast<std::size_t>(offset.value());
  }

  Result<void> obtain(std::uint64_t slot, Bytes bytes, Bytes align) noexcept {
    auto block = Mapping::map(bytes.value(), align.value(), -1, "");
    if (!block) return block.error();
    const auto index = static_cast<std::size_t>(slot);
    slots_[index] = *std::move(block);
    if (index >= slots_used_) slots_used_ = index + 1;
    return {};
  }
  void give_back(std::uint64_t slot) noexcept { Mapping gone = std::move(slots_[static_cast<std::size_t>(slot)]); }
  std::optional<CpuPointer> obtained(std::uint64_t slot) const noexcept {
    if (slot >= slots_.size() || slots_[static_cast<std::size_t>(slot)].data() == nullptr) return std::nullopt;
    return slots_[static_cast<std::size_t>(slot)].data();
  }

  Anonymous(Anonymous&& other) noexcept
      : size_(other.size_),
        pages_(std::move(other.pages_)),
        notes_(std::exchange(other.notes_, {})),
        slots_(std::exchange(other.slots_, {})),
        slots_used_(std::exchange(other.slots_used_, 0)) {}
  Anonymous& operator=(Anonymous&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(pages_, other.pages_);
    std::swap(notes_, other.notes_);
    std::swap(slots_, other.slots_);
    std::swap(slots_used_, other.slots_used_);
    return *this;
  }
  ~Anonymous() {
    for (Mapping& slot : slots_.first(slots_used_)) slot.~Mapping();
  }

 private:
  Anonymous(Bytes size, Mapping pages, std::span<std::uint64_t> notes, std::span<Mapping> slots) noexcept
      : size_(size), pages_(std::move(pages)), notes_(notes), slots_(slots) {}

  static Result<Anonymous> create_range(const BackingRequest& request) noexcept {
    const PageLayout layout = PageLayout::of(request);
    auto pages = Mapping::map_zone(layout, -1, request.name);
    if (!pages) return pages.error();
    const auto notes = pages->words(layout.notes_offset, request.notes_words);
    return Anonymous(request.size, *std::move(pages), notes, {});
  }

  // A slot per granule of the quota: zeroed pages are slots that hold nothing.
  static Result<Anonymous> create_slots(const BackingRequest& request) noexcept {
    const std::uint64_t count = request.size.value() >> bits::floor_log2(request.granule.value());
    BackingRequest tables = request;
    tables.size = count > SIZE_MAX / sizeof(Mapping) ? SIZE_MAX : count * sizeof(Mapping);
    auto made = create_range(tables);
    if (!made) return made.error();
    made->size_ = request.size;
    made->slots_ = {reinterpret_cast<Mapping*>(made->pages_.data()), static_cast<std::size_t>(count)};
    return made;
  }

  Bytes size_;
  Mapping pages_;
  std::span<std::uint64_t> notes_;
  std::span<Mapping> slots_;
  std::size_t slots_used_ = 0;  // no slot from here on was ever filled
};

}  // namespace freestone::backing
