#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/zone/layers/bytes.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

// handed_out: whatever was there, and whoever left it. gone_back: what is secret lies about no longer than it is
// needed; bytes that go round this handle, or were never given back, are as they are. both: each time.
enum class ScrubWhen : std::uint8_t { handed_out, gone_back, both };

struct ScrubSettings {
  ScrubWhen when = ScrubWhen::handed_out;
};

// Nobody sees a former owner's bytes, nor what his devices wrote: they are zeroed in a bracket, so that a device sees
// zeros too. Of a block that is resized, those that come or leave.
//
// Errors besides: os_failure where the CPU does not see the block's bytes, the cache policy's own; then nothing
// changed. But bytes that were zeroed before they should leave stay so where what lies behind then refuses: write Scrub
// directly round the zone. And a new block that cannot be zeroed and, as that fails too, cannot go back either, is
// nobody's and stays live (of a list it stands in the list, first). Cost: a write of each byte, no lock held.
template <class Z>
class Scrub : public Layer<Scrub<Z>, Z, ScrubSettings> {
  using Base = Layer<Scrub, Z, ScrubSettings>;
  friend Base;
  static_assert(has_data<Z>, "Scrub: the CPU must see the bytes, so the Backing must have cpu_pointer, or obtain.");

 public:
  static constexpr bool sees_each_call = true;

  constexpr void after_recover() noexcept {}
  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    auto block = next(request);
    if (!block) return block;
    if (const auto done = prepare(*block); !done) {
      static_cast<void>(Z::deallocate(*block));
      return done.error();
    }
    return block;
  }
  template <class Next>
  constexpr Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    auto list = next(request);
    if (!list) return list;
    for (const Block& block : *list) {
      if (const auto done = prepare(block); !done) {
        std::size_t left = 0;
        for (Block& place : *list) {
          const Block back = std::exchange(place, Block());
          if (!Z::deallocate(back)) (*list)[left++] = back;
        }
        return done.error();
      }
    }
    return list;
  }
  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    const std::optional<Block> live = live_block<Z>(*this, block);
    if (!live || size == 0) return next(block, size);
    const std::size_t before = Z::data(*live).size();
    const std::uint64_t kept = bits::align_up(size.value(), this->granule().value());
    if (when_ != ScrubWhen::handed_out && kept != 0 && kept < before) {
      if (const auto done = wipe(*live, static_cast<std::size_t>(kept)); !done) return done.error();
    }
    auto resized = next(block, size);
    if (resized && when_ != ScrubWhen::gone_back) {
      if (const auto done = wipe(*resized, before); !done) {
        static_cast<void>(next(*resized, before));
        return done.error();
      }
    }
    return resized;
  }
  template <class Next>
  constexpr Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    if (when_ != ScrubWhen::handed_out) {
      if (const auto live = live_block<Z>(*this, block)) {
        if (const auto done = wipe(*live, 0); !done) return done;
      }
    }
    return next(block);
  }

 private:
  constexpr Scrub(Z&& zone, const ScrubSettings& settings) noexcept : Base(std::move(zone)), when_(settings.when) {}

  constexpr Result<void> prepare(const Block& block) noexcept {
    if (Z::data(block).empty()) return this->refuse(ErrorCode::os_failure, block.size().value(), 0);
    return when_ == ScrubWhen::gone_back ? Result<void>() : wipe(block, 0);
  }
  // From byte `from` on.
  constexpr Result<void> wipe(const Block& block, std::size_t from) noexcept {
    const std::size_t all = Z::data(block).size();
    if (from >= all) return {};
    return bytes::overwrite<Z>(*this, block, from, all - from, 0);
  }

  ScrubWhen when_;
};

}  // namespace freestone::layers
