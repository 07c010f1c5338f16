// Backings for the laws: the smallest legal one, an unpleasant one, and one for each way to be wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <freestone/backing/concept.hpp>

namespace freestone::tests {

// Numbers from 0 on, and words from a vector.
class MinimalBacking {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability) noexcept { return true; }
  static Result<MinimalBacking> create(const BackingRequest& request) noexcept { return MinimalBacking(request); }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

 private:
  explicit MinimalBacking(const BackingRequest& request) : size_(request.size), notes_(request.notes_words) {}
  Bytes size_;
  std::vector<std::uint64_t> notes_;
};

// Memory from the heap, range or blocks; for models that differ from it in one thing.
template <class Derived>
class LikeHeap {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability) noexcept { return true; }
  static Result<Derived> create(const BackingRequest& request) noexcept { return Derived(request); }

  Bytes size() const noexcept { return request_.size; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }
  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    return data_->data() + static_cast<std::size_t>(offset.value());
  }

  Result<void> obtain(std::uint64_t slot, Bytes bytes, Bytes align) noexcept {
    const std::size_t least = alignof(std::max_align_t);
    const auto alignment = static_cast<std::size_t>(align.value() < least ? least : align.value());
    const auto size = (static_cast<std::size_t>(bytes.value()) + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, size);
    if (memory == nullptr) return ErrorCode::out_of_memory;
    blocks_[slot].reset(static_cast<std::byte*>(memory));
    return {};
  }
  void give_back(std::uint64_t slot) noexcept { blocks_.erase(slot); }
  std::optional<CpuPointer> obtained(std::uint64_t slot) const noexcept {
    const auto block = blocks_.find(slot);
    return block == blocks_.end() ? std::nullopt : std::optional(block->second.get());
  }

 protected:
  explicit LikeHeap(const BackingRequest& request)
      : request_(request),
        data_(std::make_unique<std::vector<std::byte>>(static_cast<std::size_t>(request.size.value()))),
        notes_(request.notes_words) {}

  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  BackingRequest request_;
  std::unique_ptr<std::vector<std::byte>> data_;
  std::vector<std::uint64_t> notes_;
  std::map<std::uint64_t, std::unique_ptr<std::byte, Free>> blocks_;
};

// Legal and unpleasant: an odd base, far more notes than were asked for and rubbish in them, more data than was asked
// for, and no CPU pointers although it could have some.
class HostileBacking : public LikeHeap<HostileBacking> {
 public:
  explicit HostileBacking(const BackingRequest& request) : LikeHeap(request) {
    notes_.assign(request.notes_words * 3 + 100, 0xDEADBEEFDEADBEEF);
  }
  Bytes size() const noexcept { return request_.size + request_.granule + 1; }
  Bytes base() const noexcept { return 1'000'003 * request_.granule.value(); }
  std::optional<CpuPointer> cpu_pointer(Bytes) const noexcept { return std::nullopt; }
};

// --- Each breaks one law. ---

struct GivesTooFewWords : LikeHeap<GivesTooFewWords> {
  using LikeHeap::LikeHeap;
  std::span<std::uint64_t> notes() noexcept { return std::span(notes_).first(notes_.size() - 1); }
};

struct GivesTooFewBytes : LikeHeap<GivesTooFewBytes> {
  using LikeHeap::LikeHeap;
  Bytes size() const noexcept { return request_.size - 1; }
};

struct LiesBetweenGranules : LikeHeap<LiesBetweenGranules> {
  using LikeHeap::LikeHeap;
  Bytes base() const noexcept { return 1; }
};

struct NotesInTheData : LikeHeap<NotesInTheData> {
  using LikeHeap::LikeHeap;
  std::span<std::uint64_t> notes() noexcept {
    return {reinterpret_cast<std::uint64_t*>(data_->data()), request_.notes_words};
  }
};

struct PointsBackwards : LikeHeap<PointsBackwards> {
  using LikeHeap::LikeHeap;
  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    return data_->data() + static_cast<std::size_t>(size().value() - 1 - offset.value());
  }
};

struct ForgetsWhenMoved : LikeHeap<ForgetsWhenMoved> {
  using LikeHeap::LikeHeap;
  ForgetsWhenMoved(ForgetsWhenMoved&& other) noexcept : LikeHeap(other.request_) {}
  ForgetsWhenMoved& operator=(ForgetsWhenMoved&&) = default;
};

struct GivesTheSameTwice : LikeHeap<GivesTheSameTwice> {
  using LikeHeap::LikeHeap;
  std::optional<CpuPointer> obtained(std::uint64_t slot) const noexcept {
    return LikeHeap::obtained(slot) ? std::optional(blocks_.begin()->second.get()) : std::nullopt;
  }
};

struct KeepsWhatWentBack : LikeHeap<KeepsWhatWentBack> {
  using LikeHeap::LikeHeap;
  void give_back(std::uint64_t) noexcept {}
};

}  // namespace freestone::tests
