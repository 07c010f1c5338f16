#pragma once

#include <utility>

#include <freestone/core/block.hpp>

namespace freestone {

// A block that goes back to its zone with its owner. The zone must outlive it and stay where it is.
template <class Zone>
class [[nodiscard]] Owned {
 public:
  constexpr Owned(Zone& zone, Block block) noexcept : zone_(&zone), block_(block) {}

  constexpr Owned(Owned&& other) noexcept : zone_(std::exchange(other.zone_, nullptr)), block_(other.block_) {}
  constexpr Owned& operator=(Owned&& other) noexcept {
    std::swap(zone_, other.zone_);
    std::swap(block_, other.block_);
    return *this;
  }
  constexpr ~Owned() {
    if (zone_ != nullptr) static_cast<void>(zone_->deallocate(block_));
  }

  constexpr const Block& operator*() const noexcept { return block_; }
  constexpr const Block* operator->() const noexcept { return &block_; }

  // Hands the block over to the caller, who now gives it back himself.
  constexpr Block release() noexcept {
    zone_ = nullptr;
    return block_;
  }

 private:
  Zone* zone_;
  Block block_;
};

}  // namespace freestone
