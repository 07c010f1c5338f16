#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/stats.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/zone/cpu_access.hpp>
#include <freestone/zone/layers/layer.hpp>

namespace freestone::layers {

namespace detail {

// What a thread has of one zone: for each class of sizes two stacks of blocks, of which the other one is changed to
// when one runs empty or full (Bonwick's magazines), so that a thread that goes up and down by one block stays off the
// zone. Its lock is its thread's alone but for a flush.
template <std::size_t Classes, std::size_t Rounds>
struct MagazinesOfThread {
  struct Stack {
    std::size_t blocks = 0;
    std::array<std::uint64_t, Rounds> offsets;
  };
  struct Pair {
    std::array<Stack, 2> stacks;
    unsigned loaded = 0;

    bool pop(std::uint64_t& offset) noexcept {
      if (stacks[loaded].blocks == 0) loaded ^= 1;
      Stack& stack = stacks[loaded];
      if (stack.blocks == 0) return false;
      offset = stack.offsets[--stack.blocks];
      return true;
    }
    bool push(std::uint64_t offset) noexcept {
      Stack& stack = stacks[loaded];
      if (stack.blocks == Rounds) return false;
      stack.offsets[stack.blocks++] = offset;
      return true;
    }
  };

  struct alignas(64) Lock {
    std::uint64_t word = 0;
    void lock() noexcept { freestone::lock::Spin::attach(&word).lock(); }
    void unlock() noexcept { freestone::lock::Spin::attach(&word).unlock(); }
  };

  bool is_empty() const noexcept {
    for (const Pair& pair : pairs) {
      if (pair.stacks[0].blocks + pair.stacks[1].blocks != 0) return false;
    }
    return true;
  }

  Lock lock;
  std::array<Pair, Classes> pairs;
  void* depot = nullptr;  // whose these are; nullptr: that is gone
  // At the thread's end, under the mutex. False where something did not go back: then they are the depot's from now on.
  bool (*leave)(MagazinesOfThread&) noexcept = nullptr;
  bool has_thread = true;
  MagazinesOfThread* next_of_thread = nullptr;
  MagazinesOfThread* next_of_depot = nullptr;
};

// Held where threads and depots come and go, and where one looks at all threads' magazines.
inline std::mutex& magazines_mutex() noexcept {
  static std::mutex mutex;
  return mutex;
}

// All that a thread has. At its end everything goes back.
template <class Magazines>
class ThreadList {
 public:
  ~ThreadList() {
    has_ended = true;
    const std::lock_guard guard(magazines_mutex());
    while (first_ != nullptr) {
      Magazines* const mine = std::exchange(first_, first_->next_of_thread);
      if (mine->depot == nullptr || mine->leave(*mine)) delete mine;
    }
  }
  // nullptr where it is gone already, and something that the thread ends later calls.
  static ThreadList* mine() noexcept {
    static thread_local ThreadList list;
    return has_ended ? nullptr : &list;
  }

  Magazines* find(const void* depot) const noexcept {
    for (Magazines* mine = first_; mine != nullptr; mine = mine->next_of_thread) {
      if (__atomic_load_n(&mine->depot, __ATOMIC_RELAXED) == depot) return mine;
    }
    return nullptr;
  }
  // Under the mutex. Those of depots that are gone go too.
  void add(Magazines& magazines) noexcept {
    for (Magazines** at = &first_; *at != nullptr;) {
      Magazines* const old = *at;
      if (old->depot == nullptr) {
        *at = old->next_of_thread;
        delete old;
      } else {
        at = &old->next_of_thread;
      }
    }
    magazines.next_of_thread = std::exchange(first_, &magazines);
  }

 private:
  static inline constinit thread_local bool has_ended = false;  // it has no destructor, so it stays till the very end

  Magazines* first_ = nullptr;
};

}  // namespace detail

// Blocks of up to `Classes` granules that are given back stay with the thread, up to 2 * `Rounds` of a size, and serve
// its next requests without the zone and its lock. All go back at the end of the thread and of the handle, when the
// zone runs out of space, and by flush(). What the layers behind refuse then stays, for the next such time; what a
// thread gives back after its own are gone (from a destructor of a thread_local) goes to the zone. To the zone such a
// block is live; this layer keeps a byte a granule, so that all calls here take it for free, and errors are the zone's
// own: a block given back twice is one, whoever has it by then. Its granules join free neighbours only once it is back
// in the zone, and snapshots have it as live. No other handle of the zone may be in use.
//
// Layers behind see no call that a magazine serves. Those that must (Canaries, Scrub, Quarantine, Annotated, Limit with
// budgets) are written before it.
//
// The notes are the host's memory. A thread that gets none, or a handle, goes to the zone each time. Any thread may
// call; none may be in a call when the handle moves or ends, nor end itself while it moves. Cost: a lock that no other
// thread wants, and one exchange of a byte to give back.
template <class Z, std::size_t Classes = 8, std::size_t Rounds = 16>
class Magazines : public Layer<Magazines<Z, Classes, Rounds>, Z> {
  using Base = Layer<Magazines, Z>;
  friend Base;
  static_assert(Z::Lock::words != 0, "Magazines: the zone has a Lock that keeps nothing, so there is none to save.");
  static_assert(
      !requires { Z::has_magazines; }, "Magazines: there are magazines round this zone already.");
  static_assert(
      !Z::Backing::shared,
      "Magazines: the Backing is shared, and its other users cannot tell a block in a magazine from a live one.");
  static_assert(
      Classes > 0 && Classes < 64 && Rounds > 0,
      "Magazines: there must be 1 to 63 Classes (blocks of so many granules), and Rounds for a block at least.");
  static_assert(!must_see_each_call<Z>,
                "Magazines: a layer behind it must see each call, and sees none that a magazine serves, so write that "
                "layer before it.");

  using OfThread = detail::MagazinesOfThread<Classes, Rounds>;
  using OfThisThread = detail::ThreadList<OfThread>;

 public:
  static constexpr bool has_magazines = true;

  Magazines(Magazines&& other) noexcept : Base(std::move(other)), depot_(std::exchange(other.depot_, nullptr)) {
    if (depot_ != nullptr) depot_->zone = this;
  }
  Magazines& operator=(Magazines&& other) noexcept {
    if (this == &other) return *this;
    end();
    Base::operator=(std::move(other));
    depot_ = std::exchange(other.depot_, nullptr);
    if (depot_ != nullptr) depot_->zone = this;
    return *this;
  }
  ~Magazines() { end(); }

  // As the zone's. Only these are served from magazines.
  Result<Block> allocate(const Request& request) noexcept {
    const std::uint64_t count = granules_of(request.size);
    const std::uint64_t align = request.align.value();
    if (count - 1 < Classes && (align & (align - 1)) == 0 && align <= this->granule().value()) {
      if (const auto block = take(count)) return *block;
      const auto block = Base::allocate(request);
      if (block) learn(count, granules_of(block->size()));
      return block;
    }
    return Base::allocate(request);
  }
  Result<Block> allocate(Bytes size) noexcept { return allocate(Request{.size = size}); }
  Result<Owned<Magazines>> allocate_owned(const Request& request) noexcept {
    const auto block = allocate(request);
    if (!block) return block.error();
    return Owned<Magazines>(*this, *block);
  }

  Result<void> deallocate_at(Bytes offset) noexcept {
    const auto result = Base::deallocate_at(offset);
    if (!result) return as_seen(offset, result.error());
    return result;
  }

  // Gives back to the zone what lies in any thread's magazines, and what layers behind hold. What cannot go stays; the
  // first error says why.
  Result<void> flush() noexcept {
    const Error refused = empty_all().refused;
    Result<void> behind;
    if constexpr (requires(Z& zone) { zone.flush(); }) behind = Z::flush();
    return refused ? Result<void>(refused) : behind;
  }

  // As the zone's, where what lies in a magazine is free. Of stats, `largest_free` is the zone's.
  bool owns(const Block& block) noexcept { return !is_parked(block.offset()) && Z::owns(block); }
  std::optional<Block> find(Bytes offset) noexcept { return is_parked(offset) ? std::nullopt : Z::find(offset); }
  std::optional<Block> find_containing(Bytes offset) noexcept
    requires Z::Strategy::places
  {
    const auto found = Z::find_containing(offset);
    return found && is_parked(found->offset()) ? std::nullopt : found;
  }
  // What lies in magazines is free. Costs a walk over the blocks.
  Bytes free() noexcept {
    Bytes all = Z::free();
    Z::for_each_block([&](const Block& block) {
      if (is_parked(block.offset())) all = all + block.size();
    });
    return all;
  }
  template <class Visitor>
  void for_each_block(Visitor&& visit) noexcept {
    Z::for_each_block([&](const Block& block) {
      if (!is_parked(block.offset())) visit(block);
    });
  }
  Stats stats() noexcept {
    Stats stats = Z::stats();
    stats.blocks = 0;
    stats.used = 0;
    Z::for_each_block([&](const Block& block) {
      if (is_parked(block.offset())) {
        stats.free = stats.free + block.size();
      } else {
        stats.used = stats.used + block.size();
        ++stats.blocks;
      }
    });
    if (depot_ != nullptr) stats.metadata = stats.metadata + depot_->granules;
    return stats;
  }

  // As the zone's. Where accesses are checked, what lies in a magazine is dead_block.
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  auto cpu_read(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<typename Z::Backing>
  {
    return opened<is_checked>(block, [&] { return Z::template cpu_read<is_checked>(block, range...); });
  }
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  auto cpu_write(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<typename Z::Backing>
  {
    return opened<is_checked>(block, [&] { return Z::template cpu_write<is_checked>(block, range...); });
  }
  template <bool is_checked = accesses_are_checked, std::convertible_to<Bytes>... Range>
  auto cpu_read_write(const Block& block, Range... range) noexcept
    requires has_cpu_pointer<typename Z::Backing>
  {
    return opened<is_checked>(block, [&] { return Z::template cpu_read_write<is_checked>(block, range...); });
  }

  // As the zone's, where what lies in a magazine is free.
  Result<void> shrink(Bytes size) noexcept
    requires requires(Z& zone) { zone.shrink(size); }
  {
    return with_all([&] { return Z::shrink(size); });
  }

  template <class Next>
  Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    const auto block = with_all([&] { return next(request); });
    if (block) mark(*block);
    return block;
  }
  template <class Next>
  Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    const auto list = with_all([&] { return next(request); });
    if (list) {
      for (const Block& block : *list) mark(block);
    }
    return list;
  }
  template <class Next>
  Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    if (is_mine(block) && is_parked(block.offset())) return gone(block.offset());
    const auto resized = with_all([&] { return next(block, size); });
    if (!resized) return as_seen(block.offset(), resized.error());
    mark(*resized);
    return resized;
  }
  template <class Next>
  Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    if (is_mine(block) && depot_ != nullptr) {
      std::uint8_t* const at = note_of(block.offset());
      std::uint8_t note = at == nullptr ? std::uint8_t{0} : __atomic_load_n(at, __ATOMIC_RELAXED);
      if (note != 0) {
        if (this->template is_touched<accesses_are_checked>(block.offset())) {
          return this->refuse(ErrorCode::access_open, block.offset().value(), 0);
        }
        const auto parked = static_cast<std::uint8_t>(note | in_magazine);
        if ((note & in_magazine) != 0 || !exchange(at, note, parked)) return gone(block.offset());
        if (park(block.offset().value(), note)) return {};
        return leave(block.offset().value(), note, note, next);
      }
    }
    const auto result = next(block);
    if (!result) return as_seen(block.offset(), result.error());
    return result;
  }

 private:
  // The byte of a granule: how many granules the block has that begins there, where this layer may keep it; 0 else.
  static constexpr std::uint8_t in_magazine = 0x80;
  static constexpr std::uint8_t leaving = 0x40;  // with in_magazine: the zone is getting it back

  // What the handle's threads meet at, wherever the handle moves.
  struct Depot {
    Magazines* zone;
    std::uint64_t granules;
    OfThread* first = nullptr;
    std::array<std::uint8_t, Classes + 1> granted = {};  // what the zone granted last for so many granules
    std::uint8_t* notes = nullptr;
  };

  Magazines(Z&& zone, const NoSettings&) noexcept : Base(std::move(zone)) {
    const std::uint64_t granules = granules_of(this->size());
    if (granules > SIZE_MAX) return;
    depot_ = new (std::nothrow) Depot{.zone = this, .granules = granules};
    if (depot_ == nullptr) return;
    depot_->notes = static_cast<std::uint8_t*>(std::calloc(static_cast<std::size_t>(granules), 1));
    if (depot_->notes == nullptr) {
      delete std::exchange(depot_, nullptr);
      return;
    }
    for (std::size_t count = 1; count <= Classes; ++count) learn(count, count);
  }

  // All magazines go back, and their threads know that there is nothing any more.
  void end() noexcept {
    if (depot_ == nullptr) return;
    {
      const std::lock_guard guard(detail::magazines_mutex());
      while (depot_->first != nullptr) {
        OfThread& one = *std::exchange(depot_->first, depot_->first->next_of_depot);
        Emptied emptied;
        empty(one, emptied);
        if (one.has_thread) {
          __atomic_store_n(&one.depot, nullptr, __ATOMIC_RELAXED);
        } else {
          delete &one;
        }
      }
    }
    std::free(depot_->notes);
    delete std::exchange(depot_, nullptr);
  }

  // The calling thread's, made where it has none; nullptr where there is no memory for it, or the thread is at its end.
  OfThread* mine() noexcept {
    if (depot_ == nullptr) return nullptr;
    OfThisThread* const list = OfThisThread::mine();
    if (list == nullptr) return nullptr;
    if (OfThread* const found = list->find(depot_)) return found;
    auto* const made = new (std::nothrow) OfThread;
    if (made == nullptr) return nullptr;
    made->depot = depot_;
    made->leave = [](OfThread& one) noexcept {
      auto& depot = *static_cast<Depot*>(one.depot);
      Emptied emptied;
      depot.zone->empty(one, emptied);
      one.has_thread = false;
      if (!one.is_empty()) return false;
      OfThread** at = &depot.first;
      while (*at != &one) at = &(*at)->next_of_depot;
      *at = one.next_of_depot;
      return true;
    };
    const std::lock_guard guard(detail::magazines_mutex());
    list->add(*made);
    made->next_of_depot = std::exchange(depot_->first, made);
    return made;
  }

  std::optional<Block> take(std::uint64_t asked) noexcept {
    OfThread* const own = mine();
    if (own == nullptr) return std::nullopt;
    const std::uint8_t count = __atomic_load_n(&depot_->granted[static_cast<std::size_t>(asked)], __ATOMIC_RELAXED);
    std::uint64_t offset = 0;
    {
      const std::lock_guard guard(own->lock);
      if (!own->pairs[count - 1U].pop(offset)) return std::nullopt;
    }
    __atomic_store_n(note_of(offset), count, __ATOMIC_RELAXED);
    return Block(offset, count * this->granule().value(), this->tag());
  }
  bool park(std::uint64_t offset, std::uint8_t count) noexcept {
    OfThread* const own = mine();
    if (own == nullptr) return false;
    const std::lock_guard guard(own->lock);
    typename OfThread::Pair& pair = own->pairs[count - 1U];
    if (pair.push(offset)) return true;
    Emptied emptied;
    empty(pair.stacks[pair.loaded ^= 1], count, emptied);  // it is empty already, or full for longer than this one
    return pair.push(offset);
  }

  // The call, and where it finds no room, once more without magazines.
  template <class Call>
  auto with_all(Call call) noexcept {
    auto result = call();
    if (result) return result;
    return is_want_of_space(result.error().code) && empty_all().any ? call() : result;
  }

  // Did anything go back? What the layers behind do not take stays, and this is the first such error.
  struct Emptied {
    bool any = false;
    Error refused = {};
  };
  Emptied empty_all() noexcept {
    Emptied emptied;
    if (depot_ == nullptr) return emptied;
    const std::lock_guard guard(detail::magazines_mutex());
    for (OfThread** at = &depot_->first; *at != nullptr;) {
      OfThread& one = **at;
      empty(one, emptied);
      if (one.has_thread || !one.is_empty()) {
        at = &one.next_of_depot;
      } else {
        *at = one.next_of_depot;
        delete &one;
      }
    }
    return emptied;
  }
  void empty(OfThread& one, Emptied& emptied) noexcept {
    const std::lock_guard guard(one.lock);
    for (std::size_t i = 0; i < Classes; ++i) {
      for (auto& stack : one.pairs[i].stacks) empty(stack, static_cast<std::uint8_t>(i + 1), emptied);
    }
  }
  template <class Stack>
  void empty(Stack& stack, std::uint8_t count, Emptied& emptied) noexcept {
    while (stack.blocks != 0) {
      const auto back = [this](const Block& block) { return Z::deallocate(block); };
      const std::uint64_t offset = stack.offsets[stack.blocks - 1];
      const auto left = leave(offset, count, static_cast<std::uint8_t>(count | in_magazine), back);
      if (!left) {
        if (!emptied.refused) emptied.refused = left.error();
        return;
      }
      --stack.blocks;
      emptied.any = true;
    }
  }
  // Back to the zone, which may grant it to another at once. Where it fails, its byte is `otherwise`.
  template <class Next>
  Result<void> leave(std::uint64_t offset, std::uint8_t count, std::uint8_t otherwise, Next& next) noexcept {
    std::uint8_t* const at = note_of(offset);
    const auto note = static_cast<std::uint8_t>(count | in_magazine | leaving);
    __atomic_store_n(at, note, __ATOMIC_RELAXED);
    const auto result = next(Block(offset, count * this->granule().value(), this->tag()));
    exchange(at, note, result ? std::uint8_t{0} : otherwise);
    return result;
  }

  static bool exchange(std::uint8_t* at, std::uint8_t before, std::uint8_t after) noexcept {
    return __atomic_compare_exchange_n(at, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }

  template <bool is_checked, class Open>
  auto opened(const Block& block, Open open) noexcept -> decltype(open()) {
    if constexpr (is_checked) {
      if (is_mine(block) && is_parked(block.offset())) {
        return this->refuse(ErrorCode::dead_block, block.offset().value(), 0);
      }
    }
    return open();
  }

  // What was granted: may it be kept when it comes back?
  void mark(const Block& block) noexcept {
    const std::uint64_t count = granules_of(block.size());
    std::uint8_t* const at = note_of(block.offset());
    if (at != nullptr) __atomic_store_n(at, static_cast<std::uint8_t>(count <= Classes ? count : 0), __ATOMIC_RELAXED);
  }
  void learn(std::uint64_t asked, std::uint64_t granted) noexcept {
    if (depot_ == nullptr || granted > Classes) return;
    std::uint8_t& known = depot_->granted[static_cast<std::size_t>(asked)];
    __atomic_store_n(&known, static_cast<std::uint8_t>(granted), __ATOMIC_RELAXED);
  }

  // nullptr where no block begins.
  std::uint8_t* note_of(Bytes offset) const noexcept {
    if (depot_ == nullptr || (offset.value() & (this->granule().value() - 1)) != 0) return nullptr;
    const std::uint64_t granule = offset.value() >> bits::floor_log2(this->granule().value());
    return granule < depot_->granules ? depot_->notes + granule : nullptr;
  }
  bool is_mine(const Block& block) const noexcept { return block.zone_tag() == this->tag(); }
  bool is_parked(Bytes offset) const noexcept {
    const std::uint8_t* const at = note_of(offset);
    return at != nullptr && (__atomic_load_n(at, __ATOMIC_RELAXED) & in_magazine) != 0;
  }
  std::uint64_t granules_of(Bytes bytes) const noexcept {
    return ((bytes.value() - 1) >> bits::floor_log2(this->granule().value())) + 1;
  }

  Error gone(Bytes offset) const noexcept { return this->refuse(ErrorCode::double_release, offset.value(), 0); }
  // The zone's error, but that what lies in a magazine is not live.
  Error as_seen(Bytes offset, const Error& error) const noexcept {
    if (error.code != ErrorCode::inner_release) return error;
    const std::uint64_t granule = this->granule().value();
    const std::uint64_t start = offset.value() & ~(granule - 1);
    const std::uint64_t most = Z::Strategy::places ? Classes : 1;  // else a block is no range
    for (std::uint64_t before = 0; before < most && before * granule <= start; ++before) {
      const std::uint8_t* const at = note_of(start - before * granule);
      const std::uint8_t note = at == nullptr ? std::uint8_t{0} : __atomic_load_n(at, __ATOMIC_RELAXED);
      if ((note & in_magazine) != 0 && (note & (leaving - 1U)) > before) return gone(offset);
    }
    return error;
  }

  Depot* depot_ = nullptr;
};

}  // namespace freestone::layers
