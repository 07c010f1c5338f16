// A zone: one range of bytes with one strategy. It converts between bytes and granules, checks arguments, takes the
// lock, and leaves everything else to its four policies. Which of them it may not name: it sees their concepts only.
// What only some strategies can do is in zone/abilities.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/cache/concept.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/stats.hpp>
#include <freestone/lock/concept.hpp>
#include <freestone/strategy/concept.hpp>
#include <freestone/zone/abilities.hpp>
#include <freestone/zone/cpu_access.hpp>
#include <freestone/zone/gaps.hpp>
#include <freestone/zone/owned.hpp>
#include <freestone/zone/zone_notes.hpp>

namespace freestone {

struct ZoneOptions {
  const char* name = "";   // for errors and for the system's lists; must outlive the zone
  Bytes size = {};         // a multiple of the granule; 0: all that a given backing has, or the zone taken up
  Bytes granule = 4096;    // a power of two
  std::uint8_t owner = 0;  // written beside each block that this handle allocates, where the zone keeps a ledger
};

// What a recovery found.
struct Recovery {
  std::uint64_t kept = 0;     // blocks that live on
  std::uint64_t dropped = 0;  // blocks of owners whom the caller did not keep
  std::uint64_t lost = 0;     // blocks where this strategy puts none: the ledger was damaged
};

// One plain sentence for each policy that is none, and for each pair that cannot work together.
template <class B, class S, class L, class C>
consteval bool check_zone() {
  if constexpr (check_backing<B>() && check_strategy<S>() && check_lock<L>() && check_cache_policy<C>()) {
    static_assert(S::places || can_obtain<B>,
                  "This Strategy keeps books only, so the Backing must give memory block by "
                  "block: obtain, give_back, obtained.");
    static_assert(!B::shared || can_place_at<S>,
                  "A shared Backing needs a Strategy that has place_at: the zone's map is "
                  "rebuilt with it when a user died.");
    static_assert(!B::shared || S::places,
                  "A shared Backing needs a Strategy that places: addresses of one process mean "
                  "nothing in another.");
    static_assert(!has_gaps<B> || can_take_any_extent<S>,
                  "A Backing with gaps needs a Strategy that can take any extent out of use: reserve, or a place_at "
                  "that says any_extent.");
    static_assert(!needs_file<C> || has_file<B>,
                  "This CachePolicy asks the kernel about a file, so the Backing must be one: fd, file_offset.");
    static_assert(!sees_all_first<C> || (has_cpu_pointer<B> && !has_gaps<B> && S::places),
                  "This CachePolicy must see all the bytes first, so the Backing must have them in one piece where the "
                  "CPU sees them: cpu_pointer, and no gaps.");
    static_assert(B::gives(C::cacheability), "This Backing cannot map its memory the way this CachePolicy assumes.");
    return true;
  } else {
    return false;
  }
}

// Where the lock tells of a holder who died inside (reports_death), every call that enters after such a death fails
// with holder_died and changes nothing, whoever's it is, until one calls recover(); so does attach. A block that should
// have gone back meanwhile is still there after. A zone that keeps no ledger (its backing is not shared) has nothing to
// recover from: one thread that ends inside makes it unusable for good.
template <class B, class S, class L, class C>
  requires(check_zone<B, S, L, C>())
class Zone : public ZoneAbilities<Zone<B, S, L, C>, B, S>, public ZoneAccess<Zone<B, S, L, C>, B, C> {
  friend ZoneAbilities<Zone, B, S>;
  friend ZoneAccess<Zone, B, C>;

  struct NoOwner {
    constexpr explicit NoOwner(std::uint8_t) noexcept {}
  };
  static constexpr bool has_ledger = B::shared;
  using Notes = ZoneNotes<S, L, has_ledger>;
  using Opening = ZoneOpening;
  using Owner = std::conditional_t<has_ledger, std::uint8_t, NoOwner>;
  static constexpr ErrorCode wrong_alignment =
      has_any_alignment<S> ? ErrorCode::alignment_not_granules : ErrorCode::alignment_not_power_of_two;

 public:
  using Backing = B;
  using Strategy = S;
  using Lock = L;
  using CachePolicy = C;
  using Options = ZoneOptions;

  // How many 64-bit words the notes of such a zone take: for backings that are given them.
  static constexpr std::size_t notes_words(Bytes size, Bytes granule) noexcept {
    return typename Notes::Layout(size.value() >> log2_of(granule)).words;
  }

  // A new, empty zone over a backing made for it, or over the one given. Fails with the argument that is wrong or with
  // the host's error, and then leaves nothing behind. Nobody else may use the words yet.
  static constexpr Result<Zone> create(const Options& options) noexcept
    requires can_create<B>
  {
    return make_backing(
        options, [](const BackingRequest& request) { return B::create(request); }, Opening::create);
  }
  // `BackingSettings` are the backing's own: DmaHeap::Settings{.heap = "/dev/dma_heap/system"}.
  template <class BackingSettings>
  static constexpr Result<Zone> create(const Options& options, const BackingSettings& settings) noexcept
    requires can_create_with<B, BackingSettings>
  {
    return make_backing(
        options, [&](const BackingRequest& request) { return B::create(request, settings); }, Opening::create);
  }
  // (`exists` where that backing has a name already: it holds a zone.)
  static constexpr Result<Zone> create(const Options& options, B backing) noexcept {
    if constexpr (can_publish<B>) {
      if (backing.published()) return wrong(options, ErrorCode::exists, 0, 0);
    }
    return open(std::move(backing), options, Opening::create);
  }

  // The zone that another handle created, as it is, over a backing (as create) or the backing's `Source`
  // (MemoryFile::Source{fd}). Errors: create's, not_formatted, wrong_version, wrong_strategy, wrong_granule,
  // wrong_capacity, wrong_origin, wrong_lock (also where the lock is not for this caller: see it), wrong_gaps,
  // cut_short, holder_died (also while one recovers), the backing's own; nothing changes. Cost: O(1), where the backing
  // has gaps a walk over the blocks; with a lock that tells of a dead holder also a turn of it, so not from a visit().
  template <class Source>
  static constexpr Result<Zone> attach(const Options& options, Source&& source) noexcept {
    return take_up(options, std::forward<Source>(source), Opening::attach);
  }

  // As attach, for a zone whose users may have died inside: only the ledger is believed. keep(owner) says whose blocks
  // live on; what was found is written to `found`. Errors: attach's, but for holder_died. Who else may use the zone
  // meanwhile: as recover(). Whoever dies in here leaves it to the next one.
  template <class Source, class Keep>
  static constexpr Result<Zone> attach_and_recover(const Options& options, Source&& source, Keep&& keep,
                                                   Recovery* found = nullptr) noexcept
    requires has_ledger
  {
    auto zone = take_up(options, std::forward<Source>(source), Opening::recover);
    if (!zone) return zone;
    const Recovery recovery = zone->recover(keep);
    if (found != nullptr) *found = recovery;
    return zone;
  }

  // The zone of that name, or else a new one: for whoever comes first, or later. Errors: attach's, create's. (Of several
  // who come at once one creates, and the others attach. `exists` of what can neither be found nor made: a link that
  // leads nowhere.)
  template <class Source>
  static constexpr Result<Zone> attach_or_create(const Options& options, const Source& source) noexcept
    requires can_publish<B> && can_attach<B> && can_create_with<B, Source>
  {
    for (int tries = 1;; ++tries) {
      auto found = attach(options, source);
      if (found || found.error().code != ErrorCode::no_device) return found;
      auto made = create(options, source);
      if (made || made.error().code != ErrorCode::exists || tries == 100) return made;
    }
  }

  // A block of at least the size asked for. Errors: zero_size, size_overflow, size_beyond_zone,
  // alignment_not_power_of_two (of a strategy with any_alignment: alignment_not_granules), alignment_beyond_zone,
  // no_space (with what is free), or the backing's own; then nothing changed. Cost: the strategy's, and the lock's.
  constexpr Result<Block> allocate(const Request& request) noexcept {
    return allocate_by(request, [](S& strategy, Granules count, Granules align) { return strategy.place(count, align); });
  }
  constexpr Result<Block> allocate(Bytes size) noexcept { return allocate(Request{.size = size}); }

  // As allocate, as a block that goes back by itself.
  constexpr Result<Owned<Zone>> allocate_owned(const Request& request) noexcept {
    const auto block = allocate(request);
    if (!block) return block.error();
    return Owned<Zone>(*this, *block);
  }

  // Gives the block back. Errors: foreign_block, inner_release, double_release; where accesses are checked
  // (zone/cpu_access.hpp), access_open while a bracket of this program is open to it; then nothing changed. Any handle of
  // the zone may give back what another allocated. With a strategy that has no `exact_release` some go unseen. Cost: the
  // strategy's, and the lock's; an offset that is no multiple of the granule costs a walk over the blocks.
  template <bool is_checked = accesses_are_checked>
  constexpr Result<void> deallocate(const Block& block) noexcept {
    if (block.zone_tag() != tag_) [[unlikely]]
      return fail(ErrorCode::foreign_block, block.offset().value(), 0);
    return deallocate_at<is_checked>(block.offset());
  }

  // The same for callers who keep offsets only.
  template <bool is_checked = accesses_are_checked>
  constexpr Result<void> deallocate_at(Bytes offset) noexcept {
    const Granules first = granule_at(offset);
    const Guard guard(*this);
    if (!guard) [[unlikely]]
      return holder_died();
    if ((offset.value() & granule_mask()) != 0) [[unlikely]]
      return fail(fault_within(first), offset.value(), 0);
    if (this->template is_touched<is_checked>(offset)) return fail(ErrorCode::access_open, offset.value(), 0);
    if (const ReleaseFault fault = take_back(first); fault != ReleaseFault::none) [[unlikely]]
      return fail(code_of(fault), offset.value(), 0);
    return {};
  }

  // Is it a live block of this zone, as it was granted? False where a holder died: nobody knows.
  constexpr bool owns(const Block& block) noexcept {
    if (block.zone_tag() != tag_ || (block.offset().value() & granule_mask()) != 0) return false;
    const Guard guard(*this);
    if (!guard) return false;
    const Granules count = length_of(granule_at(block.offset()));
    return count != Granules(0) && bytes_of(count) == block.size();
  }

  // The live block that begins there. Cost: the strategy's length_of, and the lock's.
  constexpr std::optional<Block> find(Bytes offset) noexcept {
    if ((offset.value() & granule_mask()) != 0) return std::nullopt;
    const Guard guard(*this);
    if (!guard) return std::nullopt;
    const Extent extent{granule_at(offset), length_of(granule_at(offset))};
    return extent.count == Granules(0) ? std::nullopt : std::optional(block_of(extent));
  }

  // The live block that this byte is in. Cost: the strategy's `containing`, or else a walk over the blocks.
  constexpr std::optional<Block> find_containing(Bytes offset) noexcept
    requires S::places
  {
    if (offset >= size()) return std::nullopt;
    const Guard guard(*this);
    if (!guard) return std::nullopt;
    const auto extent = containing(granule_at(offset));
    return extent ? std::optional(block_of(*extent)) : std::nullopt;
  }

  // Computed when asked: the cost is the strategy's for_each_block and largest_free. Where a holder died: nothing used
  // and nothing free.
  constexpr Stats stats() noexcept {
    Stats stats{.capacity = size(),
                .metadata = std::uint64_t{typename Notes::Layout(capacity_).words} * sizeof(std::uint64_t)};
    const Guard guard(*this);
    if (!guard) return stats;
    stats.free = bytes_of(strategy_.free_granules());
    stats.largest_free = bytes_of(strategy_.largest_free());
    for_each_extent([&](Extent extent) {
      ++stats.blocks;
      stats.used = stats.used + bytes_of(extent.count);
    });
    return stats;
  }

  // Bytes that are free now, in whatever pieces. 0 where a holder died. Cost: O(1), and the lock's.
  constexpr Bytes free() noexcept {
    const Guard guard(*this);
    return guard ? bytes_of(strategy_.free_granules()) : Bytes(0);
  }

  // False where a holder died inside: until a recovery nobody knows which blocks are live.
  constexpr bool is_whole() noexcept {
    if constexpr (reports_death<L>) {
      return static_cast<bool>(Guard(*this));
    } else {
      return true;
    }
  }

  // visit(Block) for each live block, lowest first, under the lock: it may ask for views (data), and call nothing else.
  // Where a holder died it is not called.
  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) noexcept {
    const Guard guard(*this);
    if (!guard) return;
    for_each_extent([&](Extent extent) { visit(block_of(extent)); });
  }

  // The block's bytes as this CPU sees them. Empty where it does not see them, and for another zone's block.
  constexpr std::span<std::byte> data(const Block& block) const noexcept
    requires has_cpu_pointer<B> || (!S::places && can_obtain<B>)
  {
    if (!is_inside(block)) return {};
    const auto pointer = pointer_to(block.offset());
    return pointer ? std::span<std::byte>(*pointer, static_cast<std::size_t>(block.size().value()))
                   : std::span<std::byte>{};
  }

  constexpr std::optional<PhysicalAddress> physical_address(const Block& block) const noexcept
    requires has_physical_address<B>
  {
    return is_inside(block) ? backing_.physical_address(block.offset()) : std::nullopt;
  }
  constexpr std::optional<DeviceAddress> device_address(const Block& block) const noexcept
    requires has_device_address<B>
  {
    return is_inside(block) ? backing_.device_address(block.offset()) : std::nullopt;
  }

  // Makes the map agree with the ledger again after a user died inside: half-done calls are dropped, and so are the
  // blocks of owners whom keep(owner) does not want; it is asked under the lock and calls nothing of the zone. Until it
  // is through, no attach takes the zone up; whoever dies in here leaves it to the next one. Who may call: with a lock
  // that tells of a dead holder, anybody at any time, others waiting; with any other, whoever holds the zone alone, and
  // the lock is made anew, whoever held it. Cost: O(granules).
  template <class Keep>
  constexpr Recovery recover(Keep&& keep) noexcept
    requires has_ledger
  {
    if constexpr (reports_death<L>) {
      const Guard guard(*this);
      return rebuild(keep);
    } else {
      return rebuild(keep);
    }
  }

  constexpr Bytes size() const noexcept { return capacity_ << granule_log2_; }
  constexpr Bytes granule() const noexcept { return std::uint64_t{1} << granule_log2_; }
  constexpr const char* name() const noexcept { return name_; }
  constexpr std::uint32_t tag() const noexcept { return tag_; }
  constexpr B& backing() noexcept { return backing_; }
  constexpr const B& backing() const noexcept { return backing_; }

 private:
  // Holds the lock while it lives. False where the zone is not whole, because a holder died: then nothing but a
  // recovery may be done. Whoever learns of the death writes it down for all who come later.
  class Guard {
   public:
    constexpr explicit Guard(Zone& zone) noexcept : zone_(zone) {
      if constexpr (reports_death<L>) {
        const LastHolder before = zone.lock_.lock();
        const auto notes = zone.backing_.notes();
        if (before == LastHolder::died) [[unlikely]]
          Notes::set_seal(notes, Notes::unsealed);
        is_whole_ = Notes::has_seal(notes, Notes::whole);
      } else {
        zone.lock_.lock();
      }
    }
    constexpr ~Guard() { zone_.lock_.unlock(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    constexpr explicit operator bool() const noexcept { return !reports_death<L> || is_whole_; }

   private:
    Zone& zone_;
    bool is_whole_ = true;
  };

  constexpr Zone(B backing, const typename Notes::Parts& parts, const Geometry& geometry,
                 const Options& options) noexcept
      : backing_(std::move(backing)),
        strategy_(parts.strategy),
        lock_(parts.lock),
        ledger_(parts.ledger),
        capacity_(geometry.capacity.value()),
        granule_log2_(log2_of(geometry.granule)),
        tag_(parts.tag),
        name_(options.name),
        owner_(options.owner) {}

  static constexpr unsigned log2_of(Bytes granule) noexcept {
    return granule == 0 ? 0 : bits::floor_log2(granule.value());
  }

  static constexpr Error wrong(const Options& options, ErrorCode code, Bytes asked, Bytes available) noexcept {
    return {.code = code, .asked = asked.value(), .available = available.value(), .zone = options.name};
  }
  static constexpr bool is_multiple(Bytes bytes, Bytes power_of_two) noexcept {
    return (bytes.value() & (power_of_two.value() - 1)) == 0;
  }

  // Why there can be no zone of that size and granule.
  static constexpr Error check_size(Bytes size, const Options& options) noexcept {
    const Bytes granule = options.granule;
    if (granule == 0) return wrong(options, ErrorCode::granule_zero, size, granule);
    if (!bits::is_power_of_two(granule.value()))
      return wrong(options, ErrorCode::granule_not_power_of_two, size, granule);
    if (size < granule) return wrong(options, ErrorCode::zone_below_granule, size, granule);
    if (!is_multiple(size, granule)) return wrong(options, ErrorCode::zone_not_multiple, size, granule);
    return {};
  }

  template <class Make>
  static constexpr Result<Zone> make_backing(const Options& options, Make&& make, Opening how) noexcept {
    const bool is_all_of_another = options.size == 0 && how != Opening::create;
    if (const Error error = check_size(options.size, options); error && !is_all_of_another) return error;
    auto backing = make(BackingRequest{.name = options.name,
                                       .size = options.size,
                                       .granule = options.granule,
                                       .notes_words = notes_words(options.size, options.granule),
                                       .block_by_block = !S::places});
    if (!backing) return backing.error();
    return open(*std::move(backing), options, how);
  }

  template <class Source>
  static constexpr Result<Zone> take_up(const Options& options, Source&& source, Opening how) noexcept {
    static_assert(S::places, "attach: this Strategy keeps books only, and where its blocks are its first user knows.");
    static_assert(!B::shared || L::process_shared,
                  "attach: a shared Backing needs a Lock that orders callers of other "
                  "processes too (process_shared).");
    if constexpr (std::is_same_v<std::remove_cvref_t<Source>, B>) {
      return open(std::forward<Source>(source), options, how);
    } else {
      static_assert(can_attach<B>,
                    "attach: this Backing cannot take up another's (no B::attach and B::Source); give it one.");
      return make_backing(
          options, [&](const BackingRequest& request) { return B::attach(request, source); }, how);
    }
  }

  static constexpr Result<Zone> open(B backing, const Options& options, Opening how) noexcept {
    const Bytes size = options.size == 0 ? backing.size() : options.size;
    if (const Error error = check_size(size, options); error) return error;
    const Bytes base = backing.base();
    if (size > backing.size()) return wrong(options, ErrorCode::data_too_small, size, backing.size());
    if (!is_multiple(base, options.granule)) return wrong(options, ErrorCode::base_misaligned, base, options.granule);
    if (size.value() - 1 > ~base.value()) return wrong(options, ErrorCode::zone_overflow, size, ~base.value());
    const unsigned log2 = log2_of(options.granule);
    const Geometry geometry{.capacity = Granules(size.value() >> log2),
                            .granule = options.granule,
                            .origin = Granules(base.value() >> log2)};
    auto parts = Notes::open(backing.notes(), geometry, how, options.name);
    if (!parts) {
      Error error = parts.error();
      error.zone = options.name;
      return error;
    }
    Zone zone(std::move(backing), *parts, geometry, options);
    if constexpr (has_gaps<B>) {
      if (const Error error = zone.check_gaps(how); error) return error;
    }
    if constexpr (sees_all_first<C>) {
      const auto bytes = zone.backing_.cpu_pointer(0);
      if (!bytes) return zone.fail(ErrorCode::os_failure, size.value(), 0);
      auto cache = C::over({.data = *bytes, .size = size});
      if (!cache) return zone.named(cache.error());
      zone.cache_ = *std::move(cache);
    }
    if constexpr (can_publish<B>) {
      if (how == Opening::create) {
        if (const auto published = zone.backing_.publish(); !published) return zone.named(published.error());
      }
    }
    return zone;
  }

  // Where place(strategy, count, align) puts it. (It has nothing captured, so that it is gone once compiled.)
  template <class Place>
  constexpr Result<Block> allocate_by(const Request& request, Place place) noexcept {
    const std::uint64_t size = request.size.value();
    const std::uint64_t align = request.align.value();
    const std::uint64_t count = granules_of(size);
    if (is_refused(count, align)) [[unlikely]]
      return refuse(request);
    const Guard guard(*this);
    if (!guard) [[unlikely]]
      return holder_died();
    const std::optional<Extent> extent = place(strategy_, Granules(count), align_granules(align));
    if (!extent) return fail(ErrorCode::no_space, size, strategy_.free_granules().value() << granule_log2_);
    return grant(*extent, align);
  }

  // What the strategy placed, with the backing's bytes and in the ledger. Without the bytes it goes back.
  constexpr Result<Block> grant(Extent extent, std::uint64_t align) noexcept {
    if constexpr (!S::places) {
      const Bytes at_least = align > granule_mask() ? align : granule_mask() + 1;
      const auto bytes = backing_.obtain(extent.first.value(), bytes_of(extent.count), at_least);
      if (!bytes) return strategy_.release(extent.first), named(bytes.error());
    }
    if constexpr (has_ledger) ledger_.place(extent, owner_);
    return block_of(extent);
  }

  constexpr ReleaseFault take_back(Granules first) noexcept {
    if constexpr (has_gaps<B>) {
      if (gaps().contain(first)) return ReleaseFault::outside;
    }
    const Released released = strategy_.release(first);
    if (released.fault != ReleaseFault::none) [[unlikely]]
      return released.fault;
    if constexpr (has_ledger) ledger_.release({first, released.count});
    if constexpr (!S::places) backing_.give_back(first.value());
    return ReleaseFault::none;
  }

  template <class Keep>
  constexpr Recovery rebuild(Keep& keep) noexcept {
    Notes::set_seal(backing_.notes(), Notes::unsealed);
    ledger_.repair();
    Recovery found;
    ledger_.for_each_block([&](Extent extent, std::uint8_t owner) {
      if (keep(owner)) return;
      ledger_.release(extent);
      ++found.dropped;
    });
    strategy_ = *S::format(Notes::map_of(backing_.notes()), geometry());
    if constexpr (has_gaps<B>) gaps().take_out(strategy_);
    ledger_.for_each_block([&](Extent extent, std::uint8_t) { ++(place_again(extent) ? found.kept : found.lost); });
    if constexpr (!reports_death<L>) lock_ = L::format(Notes::lock_of(backing_.notes()));
    Notes::set_seal(backing_.notes(), Notes::whole);
    return found;
  }

  // False, and then nobody has it, where the strategy puts no such block.
  constexpr bool place_again(Extent extent) noexcept {
    const std::optional<Extent> placed = strategy_.place_at(extent);
    if (placed == extent) return true;
    if (placed) strategy_.release(placed->first);
    ledger_.release(extent);
    return false;
  }

  // The backing's gaps are out of use in a zone that is made, and must be in one that is taken up; a recovery sees to
  // that itself.
  constexpr Error check_gaps(Opening how) noexcept {
    if (how == Opening::recover) return {};
    const Guard guard(*this);
    if (!guard) return holder_died();
    if (how == Opening::create ? gaps().take_out(strategy_) : gaps().are_out(strategy_)) return {};
    return fail(ErrorCode::wrong_gaps, 0, 0);
  }
  constexpr ZoneGaps<B> gaps() const noexcept { return {backing_, Granules(capacity_), granule_log2_}; }

  // The strategy's, but for gaps.
  constexpr Granules length_of(Granules first) const noexcept {
    if constexpr (has_gaps<B>) {
      if (gaps().contain(first)) return Granules(0);
    }
    return strategy_.length_of(first);
  }
  constexpr std::optional<Extent> containing(Granules granule) const noexcept {
    std::optional<Extent> found;
    if constexpr (can_tell_containing<S>) {
      found = strategy_.containing(granule);
    } else {
      strategy_.for_each_block([&](Extent extent) {
        if (extent.contains(granule)) found = extent;
      });
    }
    if constexpr (has_gaps<B>) {
      if (gaps().contain(granule)) found.reset();
    }
    return found;
  }
  template <class Visitor>
  constexpr void for_each_extent(Visitor&& visit) const noexcept {
    strategy_.for_each_block([&](Extent extent) {
      if constexpr (has_gaps<B>) {
        if (gaps().contain(extent.first)) return;
      }
      visit(extent);
    });
  }

  constexpr Geometry geometry() const noexcept {
    return {.capacity = Granules(capacity_),
            .granule = granule(),
            .origin = Granules(backing_.base().value() >> granule_log2_)};
  }

  // Can so many granules at that alignment not be had, whatever is free?
  constexpr bool is_refused(std::uint64_t count, std::uint64_t align) const noexcept {
    return !is_alignment(align) || count - 1 >= capacity_ || align >> granule_log2_ > capacity_ || !is_kept(align);
  }
  constexpr bool is_alignment(std::uint64_t align) const noexcept {
    if constexpr (has_any_alignment<S>) {
      if ((align & granule_mask()) == 0) return true;
    }
    return (align & (align - 1)) == 0;
  }
  // Would the block's address be aligned as its number is?
  static constexpr bool is_kept(std::uint64_t align) noexcept {
    if constexpr (has_most_alignment<B>) {
      return (align & (align - 1)) == 0 && align <= Bytes(B::most_alignment).value();
    } else {
      return true;
    }
  }

  constexpr std::uint64_t granule_mask() const noexcept { return (std::uint64_t{1} << granule_log2_) - 1; }
  // Rounded up, without overflow. Of 0 bytes it is refused.
  constexpr std::uint64_t granules_of(std::uint64_t bytes) const noexcept { return ((bytes - 1) >> granule_log2_) + 1; }
  constexpr Granules align_granules(std::uint64_t align) const noexcept {
    const std::uint64_t granules = align >> granule_log2_;
    return Granules(granules + (granules == 0));
  }
  constexpr Bytes bytes_of(Granules count) const noexcept { return count.value() << granule_log2_; }
  constexpr Granules granule_at(Bytes offset) const noexcept { return Granules(offset.value() >> granule_log2_); }
  constexpr Block block_of(Extent extent) const noexcept {
    return {bytes_of(extent.first), bytes_of(extent.count), tag_};
  }

  constexpr bool is_inside(const Block& block) const noexcept {
    return block.zone_tag() == tag_ && block.offset() < size() &&
           (!S::places || block.size().value() <= size().value() - block.offset().value());
  }

  constexpr std::optional<CpuPointer> pointer_to(Bytes offset) const noexcept {
    if constexpr (S::places) {
      return backing_.cpu_pointer(offset);
    } else {
      return backing_.obtained(offset.value() >> granule_log2_);
    }
  }

  // Of bytes that are inside.
  constexpr CacheView view_of(const Block& block, Bytes offset, Bytes size) const noexcept {
    CacheView view;
    if constexpr (has_cpu_pointer<B> || (!S::places && can_obtain<B>)) {
      if (const auto pointer = pointer_to(block.offset())) {
        view.data = *pointer + static_cast<std::size_t>(offset.value());
        view.size = size;
      }
    }
    if constexpr (has_file<B>) {
      view.fd = backing_.fd();
      view.offset = backing_.file_offset() + block.offset() + offset;
      view.size = size;
    }
    return view;
  }

  constexpr Error fail(ErrorCode code, std::uint64_t asked, std::uint64_t available) const noexcept {
    return {.code = code, .asked = asked, .available = available, .zone = name_};
  }
  constexpr Error named(Error error) const noexcept {
    error.zone = name_;
    return error;
  }
  constexpr Result<void> named(const Result<void>& done) const noexcept {
    if (done) [[likely]]
      return done;
    return named(done.error());
  }

  [[gnu::cold, gnu::noinline]] constexpr Error holder_died() const noexcept {
    return fail(ErrorCode::holder_died, 0, 0);
  }

  // Which argument of allocate was wrong.
  [[gnu::cold, gnu::noinline]] constexpr Error refuse(const Request& request) const noexcept {
    const std::uint64_t size = request.size.value();
    const std::uint64_t align = request.align.value();
    if (size == 0) return fail(ErrorCode::zero_size, 0, 0);
    if (!is_alignment(align)) return fail(wrong_alignment, align, 0);
    if (size > ~granule_mask()) return fail(ErrorCode::size_overflow, size, capacity_ << granule_log2_);
    if constexpr (has_most_alignment<B>) {
      if (!is_kept(align)) return fail(ErrorCode::alignment_beyond_zone, align, Bytes(B::most_alignment).value());
    }
    if (granules_of(size) > capacity_) return fail(ErrorCode::size_beyond_zone, size, capacity_ << granule_log2_);
    return fail(ErrorCode::alignment_beyond_zone, align, capacity_ << granule_log2_);
  }

  static constexpr ErrorCode code_of(ReleaseFault fault) noexcept {
    switch (fault) {
      case ReleaseFault::inner: return ErrorCode::inner_release;
      case ReleaseFault::outside: return ErrorCode::foreign_block;
      default: return ErrorCode::double_release;
    }
  }
  // Of an offset that is no multiple of the granule, within granule `first`.
  constexpr ErrorCode fault_within(Granules first) noexcept {
    if (first.value() >= capacity_) return ErrorCode::foreign_block;
    if constexpr (has_gaps<B>) {
      if (gaps().contain(first)) return ErrorCode::foreign_block;
    }
    const bool live = S::places ? containing(first).has_value() : strategy_.length_of(first) != Granules(0);
    return live ? ErrorCode::inner_release : ErrorCode::double_release;
  }

  [[no_unique_address]] B backing_;
  [[no_unique_address]] S strategy_;
  [[no_unique_address]] L lock_;
  [[no_unique_address]] C cache_;
  [[no_unique_address]] typename Notes::Ledger ledger_;
  std::uint64_t capacity_;
  unsigned granule_log2_;
  std::uint32_t tag_;
  const char* name_;
  [[no_unique_address]] Owner owner_;
};

}  // namespace freestone
