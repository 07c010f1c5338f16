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
#include <freestone/zone/owned.hpp>
#include <freestone/zone/zone.hpp>

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
class Sized : public Z {
  static_assert(std::is_nothrow_invocable_r_v<Bytes, const Sizing&, Bytes>,
                "Sized: the Sizing must be callable as Bytes(Bytes), const and noexcept: the size to ask for.");

 public:
  using typename Z::Options;

  // As the zone's own, the rule after the options. Where the rule must not be used, its error, and nothing happened.
  template <class... Rest>
  static constexpr Result<Sized> create(const Options& options, const Sizing& sizing, Rest&&... rest) noexcept {
    return over(options, sizing, [&] { return Z::create(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
  static constexpr Result<Sized> attach(const Options& options, const Sizing& sizing, Rest&&... rest) noexcept {
    return over(options, sizing, [&] { return Z::attach(options, std::forward<Rest>(rest)...); });
  }
  template <class... Rest>
  static constexpr Result<Sized> attach_and_recover(const Options& options, const Sizing& sizing,
                                                    Rest&&... rest) noexcept
    requires Z::Backing::shared
  {
    return over(options, sizing, [&] { return Z::attach_and_recover(options, std::forward<Rest>(rest)...); });
  }

  constexpr Result<Block> allocate(const Request& request) noexcept { return Z::allocate(sized(request)); }
  constexpr Result<Block> allocate(Bytes size) noexcept { return allocate(Request{.size = size}); }
  constexpr Result<Block> allocate_high(const Request& request) noexcept
    requires can_place_high<typename Z::Strategy>
  {
    return Z::allocate_high(sized(request));
  }
  constexpr Result<Block> allocate_at(Bytes offset, Bytes size) noexcept
    requires can_place_at<typename Z::Strategy>
  {
    return Z::allocate_at(offset, sized({.size = size}).size);
  }
  constexpr Result<Block> resize(const Block& block, Bytes size) noexcept
    requires Z::Strategy::places && can_resize<typename Z::Strategy>
  {
    return Z::resize(block, sized({.size = size}).size);
  }
  constexpr Result<Owned<Z>> allocate_owned(const Request& request) noexcept {
    return Z::allocate_owned(sized(request));
  }
  constexpr Result<std::span<Block>> allocate_list(const Request& request, std::span<Block> out) noexcept
    requires can_place_part<typename Z::Strategy>
  {
    return Z::allocate_list(sized(request), out);
  }

 private:
  constexpr Sized(Z&& zone, const Sizing& sizing) noexcept : Z(std::move(zone)), sizing_(sizing) {}

  template <class Make>
  static constexpr Result<Sized> over(const Options& options, const Sizing& sizing, Make&& make) noexcept {
    if constexpr (requires { { sizing.check() } -> std::same_as<ErrorCode>; }) {
      if (const ErrorCode code = sizing.check(); code != ErrorCode::none) {
        return Error{.code = code, .zone = options.name};
      }
    }
    auto zone = make();
    if (!zone) return zone.error();
    return Sized(*std::move(zone), sizing);
  }

  constexpr Request sized(Request request) const noexcept {
    const std::uint64_t size = bits::align_up(request.size.value(), this->granule().value());
    if (size != 0) request.size = sizing_(size);  // 0: nothing was asked for, or it wraps; the zone says which
    return request;
  }

  [[no_unique_address]] Sizing sizing_;
};

}  // namespace freestone::layers
