#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

// Sizes rounded up to powers of two: MMZ's slab zones.
struct PowerOfTwoSizes {
  constexpr Bytes operator()(Bytes size) const noexcept {
    const unsigned order = bits::ceil_log2(size.value());
    return order > 63 ? bits::all : std::uint64_t{1} << order;
  }
};

// Sizes rounded up to multiples of `block`, any number but 0: MMZ's zones of equal blocks.
struct EqualBlocks {
  Bytes block;

  constexpr ErrorCode check() const noexcept { return block == 0 ? ErrorCode::equal_block_zero : ErrorCode::none; }

  constexpr Bytes operator()(Bytes size) const noexcept {
    if (block < 2) return size;  // nothing to round, or what `check` refuses
    const std::uint64_t over = bits::remainder(size.value(), block.value());
    const std::uint64_t missing = over == 0 ? 0 : block.value() - over;
    return missing > bits::all - size.value() ? bits::all : size + missing;
  }
};

// A zone whose requests are made larger first, by a rule that is a value: a callable that takes a size, which is a
// multiple of the granule already, and says which one to ask for. One that must not be used as it is says why in
// `check`. A size that leaves 64 bits by it is ~0, which the zone refuses as too large; errors tell the rounded size.
// All else is the zone's own. Cost: the rule's.
template <class Z, class Sizing>
class Sized : public Layer<Sized<Z, Sizing>, Z, Sizing> {
  using Base = Layer<Sized, Z, Sizing>;
  friend Base;
  static_assert(std::is_nothrow_invocable_r_v<Bytes, const Sizing&, Bytes>,
                "Sized: the Sizing must be callable as Bytes(Bytes), const and noexcept: the size to ask for.");

 public:
  using Z::reserve;  // exactly what is said, as ever
  using Z::restore;

  // Where the rule must not be used.
  static constexpr Error check(const Sizing& sizing, const typename Base::Options&) noexcept {
    if constexpr (requires { { sizing.check() } -> std::same_as<ErrorCode>; }) {
      return {.code = sizing.check()};
    } else {
      return {};
    }
  }

  constexpr void after_recover() noexcept {}
  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    return next(sized(request));
  }
  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    return next(block, sized({.size = size}).size);
  }
  template <class Next>
  constexpr Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    return next(sized(request));
  }

 private:
  constexpr Sized(Z&& zone, const Sizing& sizing) noexcept : Base(std::move(zone)), sizing_(sizing) {}

  constexpr Request sized(Request request) const noexcept {
    const std::uint64_t size = bits::align_up(request.size.value(), this->granule().value());
    if (size != 0) request.size = sizing_(size);  // 0: nothing was asked for, or it wraps; the zone says which
    return request;
  }

  [[no_unique_address]] Sizing sizing_;
};

}  // namespace freestone::layers
