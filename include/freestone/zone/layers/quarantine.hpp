#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/stats.hpp>
#include <freestone/zone/cpu_access.hpp>
#include <freestone/zone/layers/bytes.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

// The most that is held: blocks, and bytes in them; bits::all: as many as there is room for.
struct QuarantineSettings {
  std::uint64_t blocks = bits::all;
  Bytes bytes = bits::all;
};

// Blocks that go back are held for a while, the first in is the first out, and filled with a pattern. So who uses one
// after it went back finds nothing of anybody's; who writes to it, be it a device, is found out when it leaves
// (written_when_dead: asked is its offset, available how far in it the first byte lies); and who gives it back again
// gets double_release. To all others a held block is dead (where accesses are checked, to a bracket too), and its bytes
// are free: before a request fails for want of space, blocks leave until it fits. When the handle goes they leave too,
// whatever is in them; a layer behind that found something is asked to forgive it.
//
// A block that was written to does not leave, and calls that need its room fail with written_when_dead; the block to go
// back is live then. It can be looked at (data), and forgive() lets it leave. One that is more than may be held goes
// back at once, as it is. Where the CPU does not see a block's bytes it is held as it is. After recover() it holds what
// is live still and was not written to; of the rest, what is live is so for everybody. (Until that returns nobody else
// may be granted a place that it held.)
//
// Errors besides: the cache policy's own; the block to go back is live then, though it may be filled. Write a Limit
// before it, or what it holds counts.
//
// `Most` blocks at once, 24 bytes each in the handle. Errors of create: quarantine_too_large where the settings say
// more bytes than the zone has, or more blocks than Most. (Where the size is the backing's own, it holds what there
// is.) Cost: a write and a look at each byte, for which threads that give back wait for each other; a look through the
// table.
template <class Z, std::size_t Most = 64>
class Quarantine : public Layer<Quarantine<Z, Most>, Z, QuarantineSettings> {
  using Base = Layer<Quarantine, Z, QuarantineSettings>;
  using typename Base::Turn;
  friend Base;
  static_assert(Most != 0, "Quarantine: Most must be 1 at least, for it is how many blocks can be held.");

 public:
  using Options = typename Base::Options;

  static constexpr bool sees_each_call = true;
  static constexpr std::uint64_t pattern = 0xDDDDDDDDDDDDDDDDU;

  constexpr Quarantine(Quarantine&& other) noexcept : Base(std::move(other)) { take(other); }
  constexpr Quarantine& operator=(Quarantine&& other) noexcept {
    if (this != &other) {
      let_all_go();
      Base::operator=(std::move(other));
      take(other);
    }
    return *this;
  }
  constexpr ~Quarantine() { let_all_go(); }

  static constexpr Error check(const QuarantineSettings& settings, const Options& options) noexcept {
    const ErrorCode code = ErrorCode::quarantine_too_large;
    if (settings.blocks != bits::all && settings.blocks > Most) {
      return {.code = code, .asked = settings.blocks, .available = Most};
    }
    if (settings.bytes != bits::all && options.size != 0 && settings.bytes > options.size) {
      return {.code = code, .asked = settings.bytes.value(), .available = options.size.value()};
    }
    return {};
  }

  // What is held now.
  struct Held {
    std::uint64_t blocks = 0;
    Bytes bytes = {};

    friend constexpr bool operator==(const Held&, const Held&) noexcept = default;
  };
  constexpr Held held() noexcept {
    const Turn turn(*this);
    return {count_, bytes_};
  }

  // All leave, oldest first, and then what layers behind hold. Ends at the first that was written to:
  // written_when_dead, and it is held on.
  constexpr Result<void> flush() noexcept {
    while (true) {
      const auto left = let_go();
      if (!left) return left.error();
      if (!*left) break;
    }
    if constexpr (requires(Z& zone) { zone.flush(); }) return Z::flush();
    return {};
  }

  // The oldest that was written to; what layers behind find.
  constexpr Result<void> check_all() noexcept {
    {
      const Turn turn(*this);
      for (std::size_t i = 0; i < count_; ++i) {
        if (const Error error = look(at(i)); error) return error;
      }
    }
    if constexpr (requires(Z& zone) { zone.check_all(); }) return Z::check_all();
    return {};
  }

  // What was written to the held block that begins there is over and done with. dead_block where there is none, and
  // layers behind know of none either.
  constexpr Result<void> forgive(Bytes offset) noexcept {
    Result<void> done = this->refuse(ErrorCode::dead_block, offset.value(), 0);
    if constexpr (requires(Z& zone) { zone.forgive(offset); }) done = Z::forgive(offset);
    const Turn turn(*this);
    for (std::size_t i = 0; i < count_; ++i) {
      if (at(i).offset() == offset) return fill(at(i));
    }
    return done;
  }

  constexpr bool owns(const Block& block) noexcept { return Z::owns(block) && !is_held(block.offset()); }
  constexpr std::optional<Block> find(Bytes offset) noexcept {
    return is_held(offset) ? std::nullopt : Z::find(offset);
  }
  constexpr std::optional<Block> find_containing(Bytes offset) noexcept
    requires Z::Strategy::places
  {
    const auto found = Z::find_containing(offset);
    return found && is_held(found->offset()) ? std::nullopt : found;
  }
  // What is held is free.
  constexpr Bytes free() noexcept {
    const Bytes behind = Z::free();
    const Turn turn(*this);
    return behind + bytes_;
  }
  // Costs a look through the table for each block.
  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) noexcept {
    Z::for_each_block([&](const Block& block) {
      if (!is_held(block.offset())) visit(block);
    });
  }
  // What is held is free, but for largest_free: what could be had with nothing leaving.
  constexpr Stats stats() noexcept {
    Stats stats = Z::stats();
    const Bytes all = stats.used + stats.free;
    stats.used = 0;
    stats.blocks = 0;
    for_each_block([&](const Block& block) {
      ++stats.blocks;
      stats.used = stats.used + block.size();
    });
    stats.free = stats.used < all ? all - stats.used : Bytes(0);
    return stats;
  }

  // As the zone's. Where accesses are checked, what is held is dead_block.
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  constexpr auto cpu_read(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<typename Z::Backing>
  {
    return opened<is_checked>(block, [&] { return Z::template cpu_read<is_checked>(block, range...); });
  }
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  constexpr auto cpu_write(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<typename Z::Backing>
  {
    return opened<is_checked>(block, [&] { return Z::template cpu_write<is_checked>(block, range...); });
  }
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  constexpr auto cpu_read_write(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<typename Z::Backing>
  {
    return opened<is_checked>(block, [&] { return Z::template cpu_read_write<is_checked>(block, range...); });
  }

  // As the zone's, where what is held is free: blocks leave until the end is.
  constexpr Result<void> shrink(Bytes size) noexcept
    requires requires(Z& zone) { zone.shrink(size); }
  {
    return until_it_fits([&] { return Z::shrink(size); });
  }

  // Holds on to what is live still.
  constexpr void after_recover() noexcept {
    for (std::uint64_t left = held().blocks; left != 0; --left) {
      Block block;
      {
        const Turn turn(*this);
        if (count_ == 0) return;
        block = take_first();
      }
      const std::optional<Block> live = Z::find(block.offset());
      if (!live || live->size() != block.size()) continue;
      const Turn turn(*this);
      if (count_ != Most && !look(block)) hold(block);
    }
  }
  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    return until_it_fits([&] { return next(request); });
  }
  template <class Next>
  constexpr Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    return until_it_fits([&] { return next(request); });
  }
  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    if (block.zone_tag() == this->tag() && is_held(block.offset())) return twice(block.offset());
    return until_it_fits([&] { return next(block, size); });
  }
  template <class Next>
  constexpr Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    const std::optional<Block> live = live_block<Z>(*this, block);
    if (!live) return told(next(block), block.offset());
    if (this->template is_touched<accesses_are_checked>(live->offset())) {
      return this->refuse(ErrorCode::access_open, live->offset().value(), 0);
    }
    while (true) {
      {
        const Turn turn(*this);
        if (find_held(live->offset())) return twice(live->offset());
        if (live->size() > most_bytes_ || most_blocks_ == 0) break;
        if (count_ < most_blocks_ && bytes_ <= most_bytes_ && live->size() <= most_bytes_ - bytes_) {
          if (const auto filled = fill(*live); !filled) return filled;
          hold(*live);
          return {};
        }
      }
      if (const auto left = let_go(); !left) return left.error();
    }
    return next(block);
  }

 private:
  constexpr Quarantine(Z&& zone, const QuarantineSettings& settings) noexcept
      : Base(std::move(zone)),
        most_blocks_(settings.blocks < Most ? static_cast<std::size_t>(settings.blocks) : Most),
        most_bytes_(settings.bytes < this->size() ? settings.bytes : this->size()) {}

  // --- under the turn ---

  constexpr Block& at(std::size_t i) noexcept {
    const std::size_t place = first_ + i;
    return held_[place < Most ? place : place - Most];
  }
  constexpr void hold(const Block& block) noexcept {
    at(count_++) = block;
    bytes_ = bytes_ + block.size();
  }
  constexpr void hold_first(const Block& block) noexcept {
    if (count_ == Most) return;  // other threads were faster, and it is live again
    first_ = first_ == 0 ? Most - 1 : first_ - 1;
    held_[first_] = block;
    ++count_;
    bytes_ = bytes_ + block.size();
  }
  constexpr Block take_first() noexcept {
    const Block block = at(0);
    first_ = first_ + 1 == Most ? 0 : first_ + 1;
    --count_;
    bytes_ = bytes_ - block.size();
    return block;
  }
  constexpr bool find_held(Bytes offset) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (at(i).offset() == offset) return true;
    }
    return false;
  }
  constexpr Result<void> fill(const Block& block) noexcept {
    if constexpr (has_data<Z>) {
      if (const std::size_t all = Z::data(block).size(); all != 0) {
        return bytes::overwrite<Z>(*this, block, 0, all, pattern);
      }
    }
    return {};
  }
  constexpr Error look(const Block& block) noexcept {
    if constexpr (has_data<Z>) {
      const std::span<std::byte> all = Z::data(block);
      if (all.empty()) return {};
      // What the CPU wrote is in memory then, and what devices wrote is what it reads.
      if (const auto done = Z::clean_and_invalidate(block, 0, all.size()); !done) return done.error();
      if (const std::size_t wrong = bytes::first_other(all, pattern); wrong != all.size()) {
        return this->refuse(ErrorCode::written_when_dead, block.offset().value(), wrong);
      }
    }
    return {};
  }

  // --- not under it ---

  constexpr bool is_held(Bytes offset) noexcept {
    const Turn turn(*this);
    return find_held(offset);
  }
  constexpr bool is_within_held(Bytes offset) noexcept {
    if constexpr (!Z::Strategy::places) return false;  // numbers, and not where they lie
    const Turn turn(*this);
    for (std::size_t i = 0; i < count_; ++i) {
      if (offset >= at(i).offset() && offset - at(i).offset() < at(i).size()) return true;
    }
    return false;
  }
  constexpr Error twice(Bytes offset) const noexcept {
    return this->refuse(ErrorCode::double_release, offset.value(), 0);
  }
  template <bool is_checked, class Open>
  constexpr auto opened(const Block& block, Open&& open) noexcept -> decltype(open()) {
    if constexpr (is_checked) {
      if (block.zone_tag() == this->tag() && is_held(block.offset())) {
        return this->refuse(ErrorCode::dead_block, block.offset().value(), 0);
      }
    }
    return open();
  }
  // What the zone said of an offset that is no live block's: inside a held one there is none either.
  constexpr Result<void> told(const Result<void>& done, Bytes offset) noexcept {
    const bool is_inner = !done && done.error().code == ErrorCode::inner_release;
    return is_inner && is_within_held(offset) ? twice(offset) : done;
  }

  // The oldest leaves: false where none is held.
  constexpr Result<bool> let_go() noexcept {
    Block block;
    {
      const Turn turn(*this);
      if (count_ == 0) return false;
      if (const Error error = look(at(0)); error) return error;
      block = take_first();
    }
    const auto done = Z::deallocate(block);
    if (done) return true;
    const ErrorCode why = done.error().code;
    if (why != ErrorCode::double_release && why != ErrorCode::inner_release) {  // else another handle was faster
      const Turn turn(*this);
      static_cast<void>(fill(block));  // a layer behind found something; it may have written over it first (Scrub)
      hold_first(block);
    }
    return done.error();
  }
  constexpr void let_all_go() noexcept {
    while (count_ != 0) {
      const Block block = take_first();
      if (Z::deallocate(block)) continue;
      if constexpr (requires(Z& zone) { zone.forgive(block.offset()); }) {
        if (Z::forgive(block.offset())) static_cast<void>(Z::deallocate(block));
      }
    }
  }

  template <class Ask>
  constexpr auto until_it_fits(Ask&& ask) noexcept -> decltype(ask()) {
    while (true) {
      auto result = ask();
      if (result) return result;
      if (!is_want_of_space(result.error().code)) return result;
      const auto left = let_go();
      if (!left) return left.error();
      if (!*left) return result;
    }
  }

  constexpr void take(Quarantine& other) noexcept {
    held_ = other.held_;
    first_ = other.first_;
    count_ = std::exchange(other.count_, 0);
    bytes_ = std::exchange(other.bytes_, Bytes(0));
    most_blocks_ = other.most_blocks_;
    most_bytes_ = other.most_bytes_;
  }

  std::array<Block, Most> held_ = {};
  std::size_t first_ = 0;  // where the oldest is
  std::size_t count_ = 0;
  Bytes bytes_ = {};
  std::size_t most_blocks_ = 0;
  Bytes most_bytes_ = {};
};

}  // namespace freestone::layers
