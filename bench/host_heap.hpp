#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <freestone/backing/concept.hpp>
#include <freestone/core/bits.hpp>

namespace freestone::bench {

// The host's malloc, block by block: what System is measured over. Nobody touches the bytes.
class HostHeap {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability) noexcept { return true; }

  static Result<HostHeap> create(const BackingRequest& request) noexcept {
    HostHeap heap(request.size);
    heap.notes_.resize(request.notes_words);
    heap.slots_.resize(static_cast<std::size_t>(request.size.value() >> bits::floor_log2(request.granule.value())));
    return heap;
  }

  HostHeap(HostHeap&& other) noexcept = default;
  HostHeap& operator=(HostHeap&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(notes_, other.notes_);
    std::swap(slots_, other.slots_);
    return *this;
  }
  ~HostHeap() {
    for (void* block : slots_) std::free(block);
  }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

  Result<void> obtain(std::uint64_t slot, Bytes bytes, Bytes align) noexcept {
    const auto size = static_cast<std::size_t>(bytes.value());
    void* block = nullptr;
    if (align <= alignof(std::max_align_t)) {
      block = std::malloc(size);
    } else if (posix_memalign(&block, static_cast<std::size_t>(align.value()), size) != 0) {
      block = nullptr;
    }
    if (block == nullptr) return Error{.code = ErrorCode::out_of_memory, .asked = bytes.value()};
    slots_[static_cast<std::size_t>(slot)] = block;
    return {};
  }
  void give_back(std::uint64_t slot) noexcept {
    std::free(std::exchange(slots_[static_cast<std::size_t>(slot)], nullptr));
  }
  std::optional<CpuPointer> obtained(std::uint64_t slot) const noexcept {
    void* block = slots_[static_cast<std::size_t>(slot)];
    return block == nullptr ? std::nullopt : std::optional(static_cast<CpuPointer>(block));
  }

 private:
  explicit HostHeap(Bytes size) noexcept : size_(size) {}

  Bytes size_;
  std::vector<std::uint64_t> notes_;
  std::vector<void*> slots_;
};

}  // namespace freestone::bench
