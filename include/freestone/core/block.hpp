#pragma once

#include <cstdint>

#include <freestone/core/units.hpp>

namespace freestone {

// What a caller holds: a plain value that says which bytes of which zone are his. It is not an address (the zone gives
// views of it) and owns nothing (`Owned` does): a copy names the same bytes.
class Block {
 public:
  constexpr Block() noexcept = default;
  constexpr Block(Bytes offset, Bytes size, std::uint32_t zone_tag) noexcept
      : offset_(offset), size_(size), zone_tag_(zone_tag) {}

  constexpr Bytes offset() const noexcept { return offset_; }  // from the zone's first byte
  constexpr Bytes size() const noexcept { return size_; }      // what was granted: at least what was asked for
  constexpr std::uint32_t zone_tag() const noexcept { return zone_tag_; }

  friend constexpr bool operator==(Block, Block) noexcept = default;

 private:
  Bytes offset_;
  Bytes size_;
  std::uint32_t zone_tag_ = 0;  // 0: of no zone
};

}  // namespace freestone
