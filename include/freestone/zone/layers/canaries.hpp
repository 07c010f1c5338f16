#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/core/address.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/strategy/concept.hpp>
#include <freestone/zone/cpu_access.hpp>
#include <freestone/zone/layers/bytes.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

struct CanarySettings {
  Bytes behind = 16;         // bytes of pattern behind what was asked for, at least
  Bytes before = 0;          // and before it, rounded up to granules; alignments are what divides it then
  std::uint64_t secret = 0;  // what the pattern is made of; 0: one that nobody knows
};

// Finds out who wrote behind the end of his block, or before its start: the bytes there hold a pattern that no other
// block has, and none of them is 0 (the end of a string). They are looked at when the block goes back or is resized,
// and on check_block(). overrun names the block (asked: its offset; available: how far in it lies the first byte that
// is wrong); then nothing changed: the block is live, to be looked at. forgive() lets it go on.
//
// How many bytes were asked for stands at the block's end, 16 bytes that are sealed with the secret. So a Block is the
// zone's own: its size says what was granted, guards and all, and its offset is that of the guard before. But its views
// (data, cpu_read and the like, addresses, ranges to clean) are of what was asked for; where the end is damaged, of all
// behind the guard before. decommit takes the pattern away. What a device writes there is found out as well, where the
// cache policy does what its CPU needs.
//
// Handles of one zone that give back each other's blocks need the same secret and `before`: other blocks look overrun.
// Errors besides: alignment_beyond_zone where `before` is no multiple of the alignment; the cache policy's own. (A new
// block that cannot be guarded and, as that fails too, cannot go back either, is nobody's and stays live.) Cost: memory
// for both guards and 16 bytes more; a write and a look at each byte of the block that was not asked for.
template <class Z>
class Canaries : public Layer<Canaries<Z>, Z, CanarySettings> {
  using Base = Layer<Canaries, Z, CanarySettings>;
  friend Base;
  static_assert(has_data<Z>, "Canaries: the CPU must see the bytes, so the Backing must have cpu_pointer, or obtain.");

 public:
  static constexpr bool sees_each_call = true;

  // dead_block where none is live there; overrun.
  constexpr Result<void> check_block(const Block& block) noexcept {
    const std::optional<Block> live = live_block<Z>(*this, block);
    if (!live) return this->refuse(ErrorCode::dead_block, block.offset().value(), 0);
    return look(*live);
  }

  // Of all that are live, the lowest that is wrong; what layers behind find. While no other thread allocates or
  // resizes: a block that is half made looks overrun.
  constexpr Result<void> check_all() noexcept {
    Result<void> found;
    Z::for_each_block([&](const Block& block) {
      if (found) found = look(block);
    });
    if constexpr (requires(Z& zone) { zone.check_all(); }) {
      if (found) found = Z::check_all();
    }
    return found;
  }

  // Writes the pattern anew round the block that begins there, as its owner: it may be used on, and go back. Where its
  // end is damaged, nobody knows how much was asked for, and it is all that there is room for. dead_block where there
  // is none, and layers behind know of none either.
  constexpr Result<void> forgive(Bytes offset) noexcept {
    Result<void> behind = this->refuse(ErrorCode::dead_block, offset.value(), 0);
    if constexpr (requires(Z& zone) { zone.forgive(offset); }) behind = Z::forgive(offset);
    const std::optional<Block> live = Z::find(offset);
    if (!live) return behind;
    const std::size_t all = Z::data(*live).size();
    if (all < tail || all - tail < front_) return this->refuse(ErrorCode::dead_block, offset.value(), 0);
    const auto asked = asked_of(*live);
    return seal(*live, asked ? *asked : all - tail - front_);
  }

  // What was asked for, as this CPU sees it; empty where it does not.
  constexpr std::span<std::byte> data(const Block& block) const noexcept {
    const auto [from, size] = shown(block);
    const auto all = Z::data(block);
    return all.empty() ? all : all.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(size));
  }
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  constexpr auto cpu_read(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<typename Z::Backing>
  {
    return within(block, [&](Bytes from, Bytes size) { return Z::template cpu_read<is_checked>(block, from, size); },
                  range...);
  }
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  constexpr auto cpu_write(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<typename Z::Backing>
  {
    return within(block, [&](Bytes from, Bytes size) { return Z::template cpu_write<is_checked>(block, from, size); },
                  range...);
  }
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  constexpr auto cpu_read_write(const Block& block, Range... range) noexcept
    requires requires(Z& zone, Bytes bytes) { zone.template cpu_read_write<is_checked>(block, bytes, bytes); }
  {
    return within(
        block, [&](Bytes from, Bytes size) { return Z::template cpu_read_write<is_checked>(block, from, size); },
        range...);
  }
  using Z::clean;
  using Z::clean_and_invalidate;
  using Z::invalidate;
  constexpr Result<void> clean(const Block& block, Bytes offset, Bytes size) noexcept {
    return within(block, [&](Bytes from, Bytes some) { return Z::clean(block, from, some); }, offset, size);
  }
  constexpr Result<void> invalidate(const Block& block, Bytes offset, Bytes size) noexcept {
    return within(block, [&](Bytes from, Bytes some) { return Z::invalidate(block, from, some); }, offset, size);
  }
  constexpr Result<void> clean_and_invalidate(const Block& block, Bytes offset, Bytes size) noexcept {
    return within(block, [&](Bytes from, Bytes some) { return Z::clean_and_invalidate(block, from, some); }, offset,
                  size);
  }
  constexpr std::optional<PhysicalAddress> physical_address(const Block& block) const noexcept
    requires has_physical_address<typename Z::Backing>
  {
    return behind_guard(Z::physical_address(block));
  }
  constexpr std::optional<DeviceAddress> device_address(const Block& block) const noexcept
    requires has_device_address<typename Z::Backing>
  {
    return behind_guard(Z::device_address(block));
  }

  constexpr void after_recover() noexcept {}
  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    Request larger = request;
    larger.size = with_guards(request.size);
    // Where something else is wrong too, the zone says what.
    const bool is_size = larger.size != 0 && larger.size <= this->size();
    if (front_ != 0 && is_size && is_alignment(request.align) && bits::remainder(front_, request.align.value()) != 0) {
      return this->refuse(ErrorCode::alignment_beyond_zone, request.align.value(), front_);
    }
    auto block = next(larger);
    if (!block) return block;
    if (const auto sealed = seal(*block, request.size.value()); !sealed) {
      static_cast<void>(Z::deallocate(*block));
      return sealed.error();
    }
    return block;
  }
  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    const std::optional<Block> live = live_block<Z>(*this, block);
    if (!live) return next(block, size);
    if (const auto sound = look(*live); !sound) return sound.error();
    const auto before = asked_of(*live);
    auto resized = next(block, with_guards(size));
    if (!resized) return guard_again(*live, before, resized.error()), resized;
    static_cast<void>(seal(*resized, size.value()));  // not cleaned: it is resized all the same
    return resized;
  }
  template <class Next>
  constexpr Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    const std::optional<Block> live = live_block<Z>(*this, block);
    if (!live) return next(block);
    if (const auto sound = look(*live); !sound) return sound;
    const auto asked = asked_of(*live);
    const auto done = next(block);
    if (!done) guard_again(*live, asked, done.error());
    return done;
  }

 private:
  static constexpr std::size_t tail = 16;  // how many bytes were asked for, and the seal on that

  constexpr Canaries(Z&& zone, const CanarySettings& settings) noexcept
      : Base(std::move(zone)),
        secret_(settings.secret != 0 ? settings.secret : fresh_secret(this->tag())),
        behind_(settings.behind.value()),
        front_(rounded(settings.before.value(), this->granule().value())) {}

  static std::uint64_t fresh_secret(std::uint32_t tag) noexcept {
    int here = 0;
    return mix(seam::ticks() ^ (std::uint64_t{tag} << 32) ^ reinterpret_cast<std::uintptr_t>(&here));
  }
  static constexpr std::uint64_t rounded(std::uint64_t bytes, std::uint64_t granule) noexcept {
    const std::uint64_t up = bits::align_up(bytes, granule);
    return up < bytes ? bits::all : up;
  }
  static constexpr std::uint64_t mix(std::uint64_t n) noexcept {
    n = (n ^ (n >> 33)) * 0xFF51AFD7ED558CCDU;  // the finishing steps of MurmurHash3
    n = (n ^ (n >> 33)) * 0xC4CEB9FE1A85EC53U;
    return n ^ (n >> 33);
  }

  // 0 stays 0, and what leaves 64 bits is ~0: the zone says which of the two it was.
  constexpr Bytes with_guards(Bytes size) const noexcept {
    std::uint64_t sum = size.value();
    if (sum == 0) return 0;
    for (const std::uint64_t more : {front_, behind_, std::uint64_t{tail}}) {
      if (more > bits::all - sum) return bits::all;
      sum += more;
    }
    return sum;
  }
  // Is it one, and more than each block has? The zone says what is wrong with others.
  constexpr bool is_alignment(Bytes align) const noexcept {
    if (align <= this->granule()) return false;
    if constexpr (has_any_alignment<typename Z::Strategy>) {
      if (bits::remainder(align.value(), this->granule().value()) == 0) return true;
    }
    return bits::is_power_of_two(align.value());
  }

  constexpr std::uint64_t key_of(const Block& block) const noexcept {
    return mix(secret_ ^ mix(block.offset().value() + 1)) | 0x0101010101010101U;
  }
  constexpr std::uint64_t seal_of(const Block& block, std::uint64_t asked) const noexcept {
    return mix(key_of(block) + mix(asked ^ secret_));
  }

  // How much of a live block was asked for; none where that cannot be read any more.
  std::optional<std::uint64_t> asked_of(const Block& block) const noexcept {
    const std::span<std::byte> all = Z::data(block);
    if (all.size() < front_ || all.size() - front_ < tail) return std::nullopt;
    const auto end = all.last(tail);
    const std::uint64_t asked = bytes::load(end) ^ key_of(block);
    const bool is_sealed = bytes::load(end.subspan(8)) == seal_of(block, asked);
    if (!is_sealed || asked > all.size() - front_ - tail) return std::nullopt;
    return asked;
  }
  struct Shown {
    std::uint64_t from;
    std::uint64_t size;
  };
  Shown shown(const Block& block) const noexcept {
    const std::uint64_t all = block.size().value();
    if (const auto asked = asked_of(block)) return {front_, *asked};
    return front_ < all ? Shown{front_, all - front_} : Shown{0, all};
  }

  // act(offset in the block, size) of what is shown, or of a range of that.
  template <class Act>
  constexpr auto within(const Block& block, Act&& act) const noexcept -> decltype(act(0, 0)) {
    const auto [from, size] = shown(block);
    return act(from, size);
  }
  template <class Act>
  constexpr auto within(const Block& block, Act&& act, Bytes offset, Bytes size) const noexcept -> decltype(act(0, 0)) {
    const auto [from, all] = shown(block);
    if (offset > all || size > all - offset.value()) {
      return this->refuse(ErrorCode::range_beyond_block, size.value(), all);
    }
    return act(offset + from, size);
  }

  // The guards and the end of a block, as this CPU and devices see them. Where the cache policy fails, the CPU's are
  // written all the same.
  constexpr Result<void> seal(const Block& block, std::uint64_t asked) noexcept {
    const std::span<std::byte> all = Z::data(block);
    if (all.empty()) return this->refuse(ErrorCode::os_failure, block.size().value(), 0);
    const auto fetched = fetch(block, asked);  // or a clean might not know that they are others than in memory
    const auto end = all.last(tail);
    const auto from = static_cast<std::size_t>(front_ + asked);
    bytes::fill(all.first(static_cast<std::size_t>(front_)), key_of(block));
    bytes::fill(all.subspan(from, all.size() - tail - from), key_of(block));
    bytes::fill(end.first(8), asked ^ key_of(block));
    bytes::fill(end.subspan(8), seal_of(block, asked));
    if (!fetched) return fetched;
    return at_guards(block, asked, [this](const Block& b, Bytes at, Bytes size) { return Z::clean(b, at, size); });
  }
  // After a call that failed behind: a layer there may have written over them before it did (Scrub). But where somebody
  // else gave the block back meanwhile, they are others'.
  constexpr void guard_again(const Block& block, std::optional<std::uint64_t> asked, const Error& why) noexcept {
    const ErrorCode code = why.code;
    const bool is_gone = code == ErrorCode::double_release || code == ErrorCode::inner_release;
    if (asked && !is_gone) static_cast<void>(seal(block, *asked));
  }

  // What the CPU wrote there is in memory, and what devices wrote is what it reads.
  constexpr Result<void> fetch(const Block& block, std::uint64_t asked) noexcept {
    return at_guards(block, asked,
                     [this](const Block& b, Bytes at, Bytes size) { return Z::clean_and_invalidate(b, at, size); });
  }
  // act(block, offset, size) of the guard before and all that is behind.
  template <class Act>
  constexpr Result<void> at_guards(const Block& block, std::uint64_t asked, Act&& act) noexcept {
    if (front_ != 0) {
      if (const auto done = act(block, 0, front_); !done) return done;
    }
    const std::uint64_t from = front_ + asked;
    return act(block, from, Z::data(block).size() - from);
  }

  constexpr Result<void> look(const Block& block) noexcept {
    if (const auto asked = asked_of(block)) {
      if (const auto fetched = fetch(block, *asked); !fetched) return fetched;
    }
    const std::span<std::byte> all = Z::data(block);
    const std::uint64_t key = key_of(block);
    const auto front = all.first(all.size() < front_ ? all.size() : static_cast<std::size_t>(front_));
    if (const std::size_t wrong = bytes::first_other(front, key); wrong != front.size()) return overrun(block, wrong);
    const auto asked = asked_of(block);
    if (!asked) return overrun(block, all.size() < tail ? 0 : all.size() - tail);
    const auto from = static_cast<std::size_t>(front_ + *asked);
    const auto behind = all.subspan(from, all.size() - tail - from);
    if (const std::size_t wrong = bytes::first_other(behind, key); wrong != behind.size()) {
      return overrun(block, from + wrong);
    }
    return {};
  }
  constexpr Error overrun(const Block& block, std::size_t at) const noexcept {
    return this->refuse(ErrorCode::overrun, block.offset().value(), at);
  }

  template <class Address>
  constexpr std::optional<Address> behind_guard(const std::optional<Address>& address) const noexcept {
    return address ? std::optional(*address + Bytes(front_)) : std::nullopt;
  }

  std::uint64_t secret_;
  std::uint64_t behind_;
  std::uint64_t front_;
};

}  // namespace freestone::layers
