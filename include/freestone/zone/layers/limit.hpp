#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

// Asked when a request was refused for want of room, but not where no room would do (it is more than the limit itself):
// it frees what it can and says whether to try again. No lock is held, so it may call the zone, by its outermost layer
// (deallocate, resize to less); what asks for more might be refused and call it again.
using Retry = bool (*)(void* context, const Request& request, const Error& why) noexcept;

struct LimitSettings {
  Bytes bytes = bits::all;  // the most that may be live, as granted
  std::uint64_t blocks = bits::all;
  Retry retry = nullptr;
  void* context = nullptr;  // its first argument
  unsigned tries = 3;       // how often one call asks it, at most
};

// A limit on the bytes and blocks of this handle that are live, and one for each of the first `Tags` tags of requests:
// a budget. They can be changed at any time. Granted sizes count, and what several threads are asking for right now
// does so too. Blocks that another handle made are not counted, and one that another handle gave back still is until
// its place is granted here again, or forget_gone().
//
// Errors: over_limit (what was asked for and what is left, in bytes; of the blocks' limit, in blocks), too_many_blocks;
// then nothing changed. What turns out too large only when it is granted, for it was rounded up, goes back at once;
// what cannot go back, because that fails too, is granted all the same. Where some blocks of a list can and some
// cannot, the call fails, and those that are left are counted and stand first in the caller's list.
//
// Write it before layers that hold blocks which went back (Quarantine, Magazines): behind them those count still, and a
// retry may have to free more than the request takes.
//
// It follows up to `Blocks` blocks at once in a table in the handle: 64 KiB for 1024. Cost: two turns and two looks
// into the table a call.
template <class Z, std::size_t Tags = 0, std::size_t Blocks = 1024>
class Limit : public Layer<Limit<Z, Tags, Blocks>, Z, LimitSettings> {
  using Base = Layer<Limit, Z, LimitSettings>;
  using typename Base::Turn;
  friend Base;
  static_assert(Blocks != 0, "Limit: Blocks must be 1 at least, for it follows each block that is live.");

 public:
  static constexpr bool sees_each_call = Tags != 0 || Base::sees_each_call;  // whose budget it is, only a request says

  // What is live, of this handle.
  struct Use {
    Bytes bytes = {};
    std::uint64_t blocks = 0;

    friend constexpr bool operator==(const Use&, const Use&) noexcept = default;
  };

  // Errors: limit_too_low where more is live (asked: the new limit; available: what is live); then nothing changed.
  constexpr Result<void> set_byte_limit(Bytes most) noexcept {
    const Turn turn(*this);
    return set(bytes_, most.value());
  }
  constexpr Result<void> set_block_limit(std::uint64_t most) noexcept {
    const Turn turn(*this);
    return set(blocks_, most);
  }
  // As those, for the blocks asked for with this tag. Error besides: no_budget where it is not below Tags.
  constexpr Result<void> set_budget(std::uint32_t tag, Bytes most) noexcept {
    const Turn turn(*this);
    Account* const budget = budget_of(tag);
    if (budget == nullptr) return this->refuse(ErrorCode::no_budget, tag, Tags);
    return set(*budget, most.value());
  }
  constexpr void set_retry(Retry retry, void* context = nullptr, unsigned tries = 3) noexcept {
    const Turn turn(*this);
    retry_ = {retry, context, tries};
  }

  constexpr Use use() noexcept {
    const Turn turn(*this);
    return {bytes_.live, blocks_.live};
  }
  // In bytes; 0 where there is no budget for it.
  constexpr Bytes use(std::uint32_t tag) noexcept {
    const Turn turn(*this);
    const Account* const budget = budget_of(tag);
    return budget == nullptr ? 0 : budget->live;
  }

  // Counts no more what another handle gave back, or a recovery by another dropped. While nobody else calls this
  // handle. Cost: O(table) looks into the zone at most.
  constexpr void forget_gone() noexcept {
    for (std::size_t slot = 0; slot < slots; ++slot) {
      while (table_[slot].offset != vacant && !is_live(table_[slot])) {
        const Turn turn(*this);
        pay_back(table_[slot].size, 1, table_[slot].tag);
        erase(slot);
      }
    }
  }

  constexpr void after_recover() noexcept { forget_gone(); }
  template <class Next>
  constexpr Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    if (request.size == 0) return next(request);  // the zone says what is wrong with it
    return with_retries(request, [&]() -> Result<Block> {
      const std::uint64_t asked = rounded(request.size);
      if (const Error error = charge(asked, request.tag); error) return error;
      const auto block = next(request);
      if (!block) return give_up(asked, request.tag), block.error();
      const Error error = follow({&*block, 1}, asked, request.tag, false, request.size);
      if (!error) return block;
      if (Z::deallocate(*block)) return give_up(asked, request.tag), error;
      static_cast<void>(follow({&*block, 1}, asked, request.tag, true, request.size));
      return block;
    });
  }

  template <class Next>
  constexpr Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    if (request.size == 0) return next(request);
    return with_retries(request, [&]() -> Result<std::span<Block>> {
      const std::uint64_t asked = rounded(request.size);
      if (const Error error = charge(asked, request.tag); error) return error;
      const auto list = next(request);
      if (!list) return give_up(asked, request.tag), list.error();
      const Error error = follow(*list, asked, request.tag, false);
      if (!error) return list;
      std::size_t left = 0;
      for (Block& place : *list) {
        const Block block = std::exchange(place, Block());
        if (!Z::deallocate(block)) (*list)[left++] = block;
      }
      if (left == 0) return give_up(asked, request.tag), error;
      static_cast<void>(follow(list->first(left), asked, request.tag, true));
      if (left != list->size()) return error;
      return list;
    });
  }

  template <class Next>
  constexpr Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    Request request{.size = size};
    return with_retries(request, [&]() -> Result<Block> {
      const std::optional<Entry> before = look_at(block);
      if (!before) return next(block, size);
      request.tag = before->tag;
      const std::uint64_t asked = rounded(size);
      if (asked > before->size) {
        if (const Error error = recount(*before, asked, before->asked, false); error) return error;
      }
      const auto resized = next(block, size);
      if (!resized) {
        static_cast<void>(recount(*before, is_gone(resized.error()) ? 0 : before->size, before->asked, true));
        return resized;
      }
      const Error error = recount(*before, resized->size().value(), size.value(), false);
      if (!error) return resized;
      // To what was asked for then: what was granted may have been rounded up, and would be again.
      const auto undone = next(*resized, before->asked);
      if (undone) {
        static_cast<void>(recount(*before, undone->size().value(), before->asked, true));
        return error;
      }
      static_cast<void>(recount(*before, resized->size().value(), size.value(), true));
      return resized;
    });
  }

  template <class Next>
  constexpr Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    // Out of the table before the zone can grant the place to another; counted until it is really gone.
    const std::optional<Entry> entry = take_out(block);
    const auto result = next(block);
    if (!entry) return result;
    const Turn turn(*this);
    if (result || is_gone(result.error())) {
      pay_back(entry->size, 1, entry->tag);
    } else {
      insert(*entry);
    }
    return result;
  }

 private:
  static constexpr std::size_t slots = std::bit_ceil(Blocks + Blocks / 2 + 1);
  static constexpr std::uint64_t vacant = bits::all;  // no block begins there

  struct Account {
    std::uint64_t live = 0;
    std::uint64_t most = bits::all;

    constexpr std::uint64_t left() const noexcept { return live > most ? 0 : most - live; }
  };
  struct Entry {
    std::uint64_t offset = vacant;
    std::uint64_t size = 0;   // as granted
    std::uint64_t asked = 0;  // for it, last
    std::uint32_t tag = 0;
  };
  struct Asking {
    Retry retry;
    void* context;
    unsigned tries;
  };

  constexpr Limit(Z&& zone, const LimitSettings& settings) noexcept
      : Base(std::move(zone)),
        bytes_{.most = settings.bytes.value()},
        blocks_{.most = settings.blocks},
        retry_{settings.retry, settings.context, settings.tries} {}

  // --- each takes its turn ---

  template <class Call>
  constexpr auto with_retries(const Request& request, Call call) noexcept {
    for (unsigned tries = 0;; ++tries) {
      auto result = call();
      if (result || !is_want_of_space(result.error().code) || !has_room_ever(request)) return result;
      const Asking asking = retry();
      if (asking.retry == nullptr || tries >= asking.tries) return result;
      if (!asking.retry(asking.context, request, result.error())) return result;
    }
  }
  // Would it be within all limits if nothing else were live?
  constexpr bool has_room_ever(const Request& request) noexcept {
    const Turn turn(*this);
    const std::uint64_t bytes = rounded(request.size);
    const Account* const budget = budget_of(request.tag);
    return bytes <= bytes_.most && blocks_.most != 0 && (budget == nullptr || bytes <= budget->most);
  }
  constexpr Asking retry() noexcept {
    const Turn turn(*this);
    return retry_;
  }

  // One block more, of so many bytes; or why not.
  constexpr Error charge(std::uint64_t bytes, std::uint32_t tag) noexcept {
    const Turn turn(*this);
    const Error error = room_for(bytes, 1, tag);
    if (!error) add(bytes, 1, tag);
    return error;
  }
  constexpr void give_up(std::uint64_t bytes, std::uint32_t tag) noexcept {
    const Turn turn(*this);
    pay_back(bytes, 1, tag);
  }

  // The blocks that one block of `charged` bytes became; or why not, and then nothing changed. Those that must be
  // followed are while the table has room. Each was asked for by `asked` bytes; 0: by its own.
  constexpr Error follow(std::span<const Block> blocks, std::uint64_t charged, std::uint32_t tag, bool must,
                         Bytes asked = 0) noexcept {
    std::uint64_t granted = 0;
    for (const Block& block : blocks) granted += block.size().value();
    const Turn turn(*this);
    pay_back(charged, 1, tag);
    if (const Error error = room_for(granted, blocks.size(), tag); error && !must) {
      add(charged, 1, tag);
      return error;
    }
    for (const Block& block : blocks) {
      if (blocks_.live == Blocks) break;
      const std::uint64_t size = block.size().value();
      add(size, 1, tag);
      insert({block.offset().value(), size, asked == 0 ? size : asked.value(), tag});
    }
    return {};
  }

  // The block is `size` bytes long now (0: gone), for `asked`; or why it may not be, and then nothing changed.
  constexpr Error recount(const Entry& of, std::uint64_t size, std::uint64_t asked, bool must) noexcept {
    const Turn turn(*this);
    const std::size_t slot = slot_of(of.offset);
    Entry& entry = table_[slot];
    if (entry.offset == vacant) return {};
    if (size > entry.size && !must) {
      if (Error error = room_for(size - entry.size, 0, entry.tag); error) {
        error.asked += entry.size;
        error.available += entry.size;
        return error;
      }
    }
    pay_back(entry.size, 0, entry.tag);
    add(size, 0, entry.tag);
    entry.size = size;
    entry.asked = asked;
    if (size == 0) {
      pay_back(0, 1, entry.tag);
      erase(slot);
    }
    return {};
  }

  constexpr std::optional<Entry> look_at(const Block& block) noexcept {
    if (block.zone_tag() != this->tag()) return std::nullopt;
    const Turn turn(*this);
    const Entry& entry = table_[slot_of(block.offset().value())];
    return entry.offset == vacant ? std::nullopt : std::optional(entry);
  }
  constexpr std::optional<Entry> take_out(const Block& block) noexcept {
    if (block.zone_tag() != this->tag()) return std::nullopt;
    const Turn turn(*this);
    const std::size_t slot = slot_of(block.offset().value());
    const Entry entry = table_[slot];
    if (entry.offset == vacant) return std::nullopt;
    erase(slot);
    return entry;
  }

  // --- within a turn ---

  // None where there is room; else why there is none.
  constexpr Error room_for(std::uint64_t bytes, std::uint64_t blocks, std::uint32_t tag) noexcept {
    if (blocks > blocks_.left()) return this->refuse(ErrorCode::over_limit, blocks, blocks_.left());
    if (blocks > Blocks - blocks_.live) {
      return this->refuse(ErrorCode::too_many_blocks, blocks, Blocks - blocks_.live);
    }
    if (bytes > bytes_.left()) return this->refuse(ErrorCode::over_limit, bytes, bytes_.left());
    const Account* const budget = budget_of(tag);
    if (budget == nullptr || bytes <= budget->left()) return {};
    return this->refuse(ErrorCode::over_limit, bytes, budget->left());
  }
  constexpr void add(std::uint64_t bytes, std::uint64_t blocks, std::uint32_t tag) noexcept {
    bytes_.live += bytes;
    blocks_.live += blocks;
    if (Account* const budget = budget_of(tag); budget != nullptr) budget->live += bytes;
  }
  constexpr void pay_back(std::uint64_t bytes, std::uint64_t blocks, std::uint32_t tag) noexcept {
    bytes_.live -= bytes;
    blocks_.live -= blocks;
    if (Account* const budget = budget_of(tag); budget != nullptr) budget->live -= bytes;
  }
  constexpr Result<void> set(Account& account, std::uint64_t most) noexcept {
    if (most < account.live) return this->refuse(ErrorCode::limit_too_low, most, account.live);
    account.most = most;
    return {};
  }
  constexpr Account* budget_of(std::uint32_t tag) noexcept { return tag < Tags ? budgets_.data() + tag : nullptr; }

  // The slot of the block that begins there, or the vacant one where it would be. One in three is vacant at least.
  constexpr std::size_t slot_of(std::uint64_t offset) const noexcept {
    std::size_t slot = home_of(offset);
    while (table_[slot].offset != offset && table_[slot].offset != vacant) slot = (slot + 1) & (slots - 1);
    return slot;
  }
  static constexpr std::size_t home_of(std::uint64_t offset) noexcept {
    return static_cast<std::size_t>((offset * 0x9E3779B97F4A7C15U) >> 32) & (slots - 1);  // 2^64 / golden ratio
  }
  // One that is there already is of a block that another handle gave back.
  constexpr void insert(const Entry& entry) noexcept {
    Entry& at = table_[slot_of(entry.offset)];
    if (at.offset != vacant) pay_back(at.size, 1, at.tag);
    at = entry;
  }
  // What lies behind it without a gap moves up where it may.
  constexpr void erase(std::size_t slot) noexcept {
    for (std::size_t next = slot;;) {
      next = (next + 1) & (slots - 1);
      if (table_[next].offset == vacant) break;
      const std::size_t home = home_of(table_[next].offset);
      if (((next - home) & (slots - 1)) < ((next - slot) & (slots - 1))) continue;
      table_[slot] = table_[next];
      slot = next;
    }
    table_[slot] = Entry();
  }

  // --- neither ---

  constexpr std::uint64_t rounded(Bytes size) const noexcept {
    return bits::align_up(size.value(), this->granule().value());
  }
  constexpr bool is_live(const Entry& entry) noexcept {
    const std::optional<Block> block = this->find(entry.offset);
    return block && block->size() == entry.size;
  }
  // Of a block that this handle made: then another gave it back.
  static constexpr bool is_gone(const Error& error) noexcept {
    return error.code == ErrorCode::double_release || error.code == ErrorCode::inner_release;
  }

  Account bytes_;
  Account blocks_;
  [[no_unique_address]] std::array<Account, Tags> budgets_ = {};
  Asking retry_;
  std::array<Entry, slots> table_ = {};
};

}  // namespace freestone::layers
