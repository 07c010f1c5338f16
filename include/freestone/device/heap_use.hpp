// What a heap's buffers come to at this moment, and what they came to at most.
#pragma once

#include <cstdint>
#include <utility>

#include <freestone/core/units.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// Any thread, as L lets them.
template <class L>
class HeapUse {
  using Turn = typename OwnLock<L>::Turn;

 public:
  struct Figures {
    std::uint64_t buffers = 0;
    Bytes bytes = {};
    Bytes most_bytes = {};
  };
  Figures figures() noexcept {
    const Turn turn(lock_);
    return figures_;
  }

  // A buffer of so many bytes, for as long as this lives. HeapUse must outlive it.
  class Share {
   public:
    Share(HeapUse& use, Bytes size) noexcept : use_(&use), size_(size) { use.add(size); }
    Share(Share&& other) noexcept : use_(std::exchange(other.use_, nullptr)), size_(other.size_) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(use_, other.use_);
      std::swap(size_, other.size_);
      return *this;
    }
    ~Share() {
      if (use_ != nullptr) use_->remove(size_);
    }

   private:
    HeapUse* use_;
    Bytes size_;
  };

 private:
  void add(Bytes size) noexcept {
    const Turn turn(lock_);
    ++figures_.buffers;
    figures_.bytes = figures_.bytes + size;
    if (figures_.bytes > figures_.most_bytes) figures_.most_bytes = figures_.bytes;
  }
  void remove(Bytes size) noexcept {
    const Turn turn(lock_);
    --figures_.buffers;
    figures_.bytes = figures_.bytes - size;
  }

  OwnLock<L> lock_;
  Figures figures_ = {};
};

}  // namespace freestone::device
