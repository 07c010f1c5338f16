// /dev/mmz_userdev, opened: blocks that its callers know by their physical addresses. (shared/spec: MMZ 1.3 to 1.7.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command_table.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/mmz/calls.hpp>
#include <freestone/device/mmz/leak.hpp>
#include <freestone/device/mmz/zones.hpp>
#include <freestone/device/own_client.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/client.hpp>
#include <freestone/share/map_counts.hpp>

namespace freestone::device {

// Is the node opened by those only who may do raw I/O (CAP_SYS_RAWIO; else EPERM)?
constexpr bool mmz_needs_raw_io(MmzGeneration generation) noexcept {
  return generation == MmzGeneration::g3 || generation == MmzGeneration::g4;
}

// mmap's, in Linux's bits (asm-generic/mman-common.h).
struct MmzProtection {
  static constexpr std::uint32_t read = 1, execute = 4;
  static constexpr std::uint32_t shared = 1;  // a flag
};

// A mapping that is to be made, of a block: while `hold` lives it stays where it is, and how it is cached stays as it is; or of a window.
template <class D>
struct MmzMapping {
  std::optional<typename D::Map> hold = {};  // empty: it is of the window
  const MmzWindow* window = nullptr;
  std::uint64_t offset = 0;  // from the block's first byte, or the window's first page on, as `length` in whole pages
  std::uint64_t length = 0;
  std::uint32_t protection = MmzProtection::read;
  Cacheability seen = Cacheability::write_combined;
};

// What a caller sees at an address of his own, and the mapping that it is in.
struct MmzView {
  bool is_mapped = false;                      // anything is
  std::optional<std::uint64_t> physical = {};  // empty: no block's
  bool is_cached = false;
  bool is_writable = false;
  std::uint64_t start = 0;
  std::uint64_t end = 0;  // behind its last byte
};

// It has up to `most_blocks` at once; it stays where it is. Any thread, as L lets them; no lock is held while a caller's memory is
// copied, but one of this file's own while it maps and unmaps.
//
// A Call has, beside what all have:
//   Answer map_block(MmzMapping<D>&&)              maps it in the caller's process: its address, or why not
//   Errno unmap_block(address, physical, length)   what map_block mapped there of the block at that one, and nothing else
//   MmzView view_at(address)
//   std::int32_t process()                         who calls
// The platform may have mmz_leaked(const MmzLeak&).
//
// Other than the drivers': what a caller hands in of mapped, of the bits that are not his, and behind the struct is nothing to it;
// mappings and references are counted apart; a mapping ends at the block's end, and whoever has one keeps the block from being
// anybody else's; nobody maps a block of another file's that is not shared with him (g5); nothing is done at addresses that others
// were mapped at meanwhile.
template <class D, class L, MmzGeneration generation, std::size_t most_blocks = 256>
class MmzFile {
  using Turn = typename OwnLock<L>::Turn;
  using Info = MmbInfo<generation>;

 public:
  using Zones = MmzZones<D, L>;
  using Ref = typename D::Ref;
  using Mapping = MmzMapping<D>;

  // The client is this file's from here on.
  MmzFile(const Zones& zones, ClientId client, OpenFlags flags, std::uint32_t process = 0) noexcept
      : zones_(zones), client_(zones.device(), client), flags_(flags), process_(process) {}
  MmzFile(const MmzFile&) = delete;
  MmzFile& operator=(const MmzFile&) = delete;
  // What it has goes back, each with a word about it; where somebody has it mapped, when he has no more.
  ~MmzFile() {
    for (std::size_t at = 0; at < count_; ++at) {
      tell(blocks_[at]);
      share_no_more(blocks_[at]);
    }
    if constexpr (has_sharing) zones_.sharing().forget(static_cast<std::int32_t>(process_));
  }

  // Commands that this generation does not have: EINVAL.
  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    if constexpr (has_command(generation, MmzCommand::flush)) {
      if (command.magic() == mmz_number(MmzCommand::add_reference).magic) return refer(command.number(), argument);
      if (command.magic() == mmz_number(MmzCommand::flush).magic) return flush(command.number(), argument);
    }
    return Table<C>::serve(*this, call, command, argument);
  }

  // mmap, by physical address, of that process (0: one that nothing is shared with). Empty, and `error`: EPERM: no bytes; none of this
  // file's blocks, none that the process may have (g5), and not all in one window (g4, g5); of the first two generations, for whom REMAP
  // maps; to be executed. EIO: REMAP has mapped it. EINVAL: not all in the block, no whole pages, or the file's own block is mapped and
  // cached in another way.
  std::optional<Mapping> map(std::uint64_t physical, std::uint64_t length, std::uint32_t protection, Errno& error,
                             std::int32_t process = 0) noexcept {
    error = Errno::not_permitted;
    if (is_first_two || length == 0 || (protection & MmzProtection::execute) != 0) return std::nullopt;
    {
      const Turn turn(turn_);
      if (const Block* const block = find(physical)) return map_own(*block, physical, length, protection, error);
    }
    return map_other(physical, length, protection, error, process);
  }

 private:
  static constexpr bool is_first_two = generation == MmzGeneration::g1 || generation == MmzGeneration::g2;
  static constexpr bool has_windows = generation == MmzGeneration::g4 || generation == MmzGeneration::g5;
  static constexpr bool has_sharing = has_command(generation, MmzCommand::share);
  static constexpr std::uint64_t line = mmz_cache_line(generation);

  struct Block {
    Ref buffer = {};
    Info info = {};  // what was asked for, and where it lies
    std::uint32_t handle = 0;  // g5's, by which it is shared
    std::uint32_t references = 0;
    std::uint32_t maps = 0;    // by REMAP: one mapping, so often asked for
    std::uint64_t mapped = 0;  // at that address, while there are
    std::uint32_t protection = MmzProtection::read;
    bool is_cached = false;    // as it was mapped last
    bool is_promised = false;  // nobody's when it is not used any more

    std::uint64_t length() const noexcept { return buffer.parts().size.value(); }
    bool is_used() const noexcept { return maps != 0 || references != 0; }
    // Of 0 it has none.
    bool has(std::uint64_t physical, std::uint64_t size) const noexcept {
      return physical >= info.physical && physical - info.physical < size;
    }
    MmbBits bits() const noexcept {
      return {.protection = protection, .flags = MmzProtection::shared, .is_promised = is_promised, .is_cached = is_cached};
    }
  };

  // --- its blocks, in the order of their allocation; under turn_ ---

  // By an address: its first one's, or in what was asked for. Null: there is none.
  Block* find(std::uint64_t physical) noexcept {
    return find_if([&](const Block& block) {
      return is_first_two ? block.info.physical == physical : block.has(physical, block.info.size);
    });
  }
  // The same in all that it has.
  Block* find_whole(std::uint64_t physical) noexcept {
    return find_if([&](const Block& block) { return block.has(physical, block.length()); });
  }
  template <class Is>
  Block* find_if(Is&& is) noexcept {
    for (std::size_t at = 0; at < count_; ++at) {
      if (is(blocks_[at])) return &blocks_[at];
    }
    return nullptr;
  }
  // Its hold: the block is another's when that ends, which it does under no lock.
  Ref take(Block& block) noexcept {
    share_no_more(block);
    Ref hold = std::move(block.buffer);
    for (Block* at = &block; at + 1 != blocks_.data() + count_; ++at) *at = std::move(at[1]);
    blocks_[--count_] = Block();
    return hold;
  }
  Ref take_if_promised(Block& block) noexcept { return block.is_promised && !block.is_used() ? take(block) : Ref(); }

  void tell(const Block& block) noexcept {
    auto& platform = zones_.device().platform();
    const MmzLeak leak{process_, block.info.physical, block.length(), block.info.name.data(), block.maps != 0};
    if constexpr (requires { platform.mmz_leaked(leak); }) platform.mmz_leaked(leak);
  }

  // --- who else may have them ---

  void share_with(Block& block, std::int32_t owner) noexcept {
    if constexpr (has_sharing) block.handle = zones_.sharing().add(block.buffer.id(), block.info.physical, block.length(), owner);
  }
  void share_no_more(const Block& block) noexcept {
    if constexpr (has_sharing) zones_.sharing().remove(block.handle);
  }

  // --- commands; each serves a struct that goes back where that is done ---

  template <bool is_v2, class C>
  Outcome<> allocate(C& call, Info& info) noexcept {
    info.name.back() = info.zone.back() = '\0';
    Ref made = zones_.allocate(client_.id(), {.size = info.size,
                                              .align = info.align,
                                              .gfp = info.gfp,
                                              .zone = info.zone.data(),
                                              .name = info.name.data(),
                                              .is_v2 = is_v2,
                                              .order = is_v2 ? static_cast<MmzOrder>(info.order) : MmzOrder::low_to_high});
    if (!made) return Errno::no_memory;
    const Turn turn(turn_);
    if (count_ == most_blocks) return Errno::no_memory;
    info.physical = zones_.physical_of(made);
    Block& block = blocks_[count_++];
    block.buffer = std::move(made);
    block.info = info;
    share_with(block, call.process());
    return done;
  }

  template <class C>
  Outcome<> attributes(C&, Info& info) noexcept {
    const Turn turn(turn_);
    const Block* const block = find(info.physical);
    if (block == nullptr) return Errno::not_permitted;
    info = block->info;
    info.mapped = block->mapped;
    info.bits = block->bits().value();
    return done;
  }

  // Where somebody uses it: EBUSY, and it is freed when nobody does.
  template <class C>
  Outcome<> free(C&, Info& info) noexcept {
    Ref gone;
    const Turn turn(turn_);
    Block* const block = find(info.physical);
    if (block == nullptr) return Errno::not_permitted;
    if (std::exchange(block->is_promised, true) || block->is_used()) return Errno::busy;
    gone = take(*block);
    return done;
  }

  template <bool is_cached, class C>
  Outcome<> remap(C& call, Info& info) noexcept {
    const Turn turn(turn_);
    Block* const block = find(info.physical);
    if (block == nullptr) return Errno::not_permitted;
    if (block->maps != 0 && block->is_cached != is_cached) return Errno::invalid;
    if (block->maps == std::numeric_limits<std::uint32_t>::max()) return Errno::no_memory;
    const Answer mapped = block->maps != 0 ? Answer(static_cast<std::int64_t>(block->mapped))
                                           : map_first(call, *block, MmbBits::of(info.bits), is_cached);
    if (mapped.is_error()) return mapped;
    ++block->maps;
    info.mapped = block->mapped + (info.physical - block->info.physical);
    return done;
  }
  // EPERM: to be executed; EINVAL: it would not be shared; the platform's.
  template <class C>
  Answer map_first(C& call, Block& block, MmbBits wanted, bool is_cached) noexcept {
    const std::uint32_t protection = wanted.protection != 0 ? wanted.protection : block.protection;
    if ((protection & MmzProtection::execute) != 0) return Errno::not_permitted;
    if (wanted.flags != 0 && wanted.flags != MmzProtection::shared) return Errno::invalid;
    Errno error = Errno::none;
    const std::uint64_t length = bits::align_up(block.info.size, page_size.value());
    auto made = mapping(block.buffer, {.length = length, .protection = protection, .seen = seen_if(is_cached)}, error);
    if (!made) return error;
    const Answer mapped = call.map_block(*std::move(made));
    if (mapped.is_error()) return mapped;
    block.mapped = static_cast<std::uint64_t>(mapped.value());
    block.protection = protection;
    block.is_cached = is_cached;
    return mapped;
  }
  std::optional<Mapping> map_own(const Block& block, std::uint64_t physical, std::uint64_t length, std::uint32_t protection,
                                 Errno& error) noexcept {
    if (block.maps != 0) return error = Errno::io, std::nullopt;
    const std::uint64_t offset = physical - block.info.physical;
    const Cacheability seen = seen_if(block.is_cached && !flags_.is_synchronous());
    return mapping(block.buffer, {.offset = offset, .length = length, .protection = protection, .seen = seen}, error);
  }
  // `error` says already that it may not be.
  std::optional<Mapping> map_other(std::uint64_t physical, std::uint64_t length, std::uint32_t protection, Errno& error,
                                   std::int32_t process) noexcept {
    const bool is_cached = generation == MmzGeneration::g5 && !flags_.is_synchronous();
    Mapping wanted{.length = length, .protection = protection, .seen = seen_if(is_cached)};
    if constexpr (has_sharing) {
      if (const Ref shared = zones_.shared_with(process, physical)) {
        wanted.offset = physical - zones_.physical_of(shared);
        return mapping(shared, std::move(wanted), error, true);
      }
    }
    if (has_windows) wanted.window = zones_.window_of(physical, length);
    if (wanted.window == nullptr) return std::nullopt;
    wanted.offset = physical - wanted.window->start / page_size.value() * page_size.value();
    error = is_whole(wanted) ? Errno::none : Errno::invalid;
    return error == Errno::none ? std::optional(std::move(wanted)) : std::nullopt;
  }
  static constexpr Cacheability seen_if(bool is_cached) noexcept { return is_cached ? Cacheability::cached : Cacheability::write_combined; }
  static bool is_whole(const Mapping& wanted) noexcept { return (wanted.offset | wanted.length) % page_size.value() == 0; }
  // EINVAL also where it is mapped and cached in another way; unless this one gives way, and is cached so too.
  std::optional<Mapping> mapping(const Ref& buffer, Mapping&& wanted, Errno& error, bool gives_way = false) noexcept {
    error = Errno::invalid;
    const std::uint64_t all = buffer.parts().size.value();
    const bool is_within = wanted.length <= all && wanted.offset <= all - wanted.length;
    if (!is_within || !is_whole(wanted)) return std::nullopt;
    auto hold = zones_.device().map(buffer, Mapper::cpu, wanted.seen);
    const bool is_seen_otherwise = !hold && hold.error().code == ErrorCode::still_mapped;
    if (is_seen_otherwise && gives_way) hold = zones_.device().map(buffer, Mapper::cpu);
    if (!hold && !is_seen_otherwise) error = errno_of(hold.error().code);
    if (!hold) return std::nullopt;
    error = Errno::none;
    wanted.hold = *std::move(hold);
    wanted.seen = zones_.device().info(buffer).cacheability;
    return std::move(wanted);
  }

  template <class C>
  Outcome<> unmap(C& call, Info& info) noexcept {
    Ref gone;
    const Turn turn(turn_);
    Block* const block = find(info.physical);
    if (block == nullptr) return Errno::not_permitted;
    if (block->maps == 0) return Errno::io;
    if (--block->maps != 0) return done;
    if (block->is_cached) maintain(block->buffer, WholeBuffer{}, CacheCommand::clean_invalidate);
    const Errno wrong = call.unmap_block(block->mapped, block->info.physical, bits::align_up(block->info.size, page_size.value()));
    info.mapped = block->mapped = 0;
    gone = take_if_promised(*block);
    return wrong;
  }

  Answer refer(unsigned number, std::uint64_t physical) noexcept {
    const bool is_more = number == mmz_number(MmzCommand::add_reference).number;
    if (!is_more && number != mmz_number(MmzCommand::drop_reference).number) return Errno::invalid;
    Ref gone;
    const Turn turn(turn_);
    Block* const block = find(physical);
    if (block == nullptr) return Errno::not_permitted;
    if (is_more && block->references == std::numeric_limits<std::uint32_t>::max()) return Errno::no_memory;
    if (!is_more && block->references == 0) return Errno::not_permitted;
    is_more ? ++block->references : --block->references;
    gone = take_if_promised(*block);
    return done;
  }

  // Bit 0 of the address: it is seen cached.
  template <class C>
  Outcome<> physical_of(C& call, Info& info) noexcept {
    constexpr Errno nowhere = generation == MmzGeneration::g5 ? Errno::invalid : Errno::no_memory;
    if (info.mapped % 4 != 0) return nowhere;
    const MmzView view = call.view_at(info.mapped);
    if (!view.is_mapped) return nowhere;
    if (!view.physical) return Errno::invalid;
    info.physical = *view.physical | std::uint64_t{view.is_cached};
    return done;
  }

  // --- caches ---

  // Address 0: everything, whatever the number is.
  Answer flush(unsigned number, std::uint64_t physical) noexcept {
    if (physical == 0) return zones_.flush_all(), done;
    const Turn turn(turn_);
    const Block* const block = find(physical);
    if (block == nullptr) return Errno::not_permitted;
    if (number != mmz_number(MmzCommand::flush).number) return Errno::invalid;
    if (block->maps == 0 || !block->is_cached) return done;
    clean_invalidate(block->buffer, InnerRange{block->mapped, 0, block->info.size}, block->length());
    return done;
  }
  // Lines as a whole: outwards, which never leaves the block. EFAULT: no block's address, not where REMAP mapped it, beyond the block,
  // or not in one mapping that may be written; EPERM: another file's block.
  template <class C>
  Outcome<> flush_dirty(C& call, MmzDirtyArea& area) noexcept {
    const Errno wrong = flush_seen(area, call.view_at(area.address));
    return wrong == Errno::not_permitted && !zones_.has_block(area.physical) ? Errno::fault : wrong;
  }
  Errno flush_seen(const MmzDirtyArea& area, const MmzView& view) noexcept {
    const Turn turn(turn_);
    const Block* const block = find_whole(area.physical);
    if (block == nullptr) return Errno::not_permitted;
    const std::uint64_t offset = area.physical - block->info.physical;
    if (block->maps == 0 || area.address != block->mapped + offset) return Errno::fault;
    if (area.size > block->length() - offset) return Errno::fault;
    if (!is_writable(view, area.address, area.size)) return Errno::fault;
    return flush_lines(block->buffer, area), Errno::none;
  }
  // G5's of any mapping of this file's blocks, and of those that are shared with who calls. EPERM: it shows something else, or may not
  // be written.
  template <class C>
  Outcome<> flush_range(C& call, Info& info) noexcept {
    const MmzView view = call.view_at(info.mapped);
    if (view.physical != info.physical || !is_writable(view, info.mapped, info.size)) return Errno::not_permitted;
    Ref shared;
    const Turn turn(turn_);
    const Block* const block = find_whole(info.physical);
    if (block == nullptr) shared = zones_.shared_with(call.process(), info.physical);
    if (block == nullptr && !shared) return Errno::not_permitted;
    return flush_lines(block != nullptr ? block->buffer : shared, {info.physical, info.mapped, info.size}), done;
  }
  static bool is_writable(const MmzView& view, std::uint64_t address, std::uint64_t size) noexcept {
    return view.is_mapped && view.is_writable && address >= view.start && size <= view.end - address;
  }
  void flush_lines(const Ref& block, const MmzDirtyArea& area) noexcept {
    const std::uint64_t before = area.physical % line;
    const std::uint64_t length = bits::align_up(area.size + before, line);
    const std::uint64_t offset = area.physical - zones_.physical_of(block) - before;
    clean_invalidate(block, InnerRange{area.address & ~(line - 1), offset, length}, length);
  }
  // The same bytes in the outer cache, or so many of them.
  void clean_invalidate(const Ref& block, const InnerRange& range, std::uint64_t outer) noexcept {
    if (range.length == 0) return;
    maintain(block, range, CacheCommand::clean_invalidate);
    const PhysicalAddress start(zones_.physical_of(block) + range.offset.value());
    maintain(block, OuterRange{start, outer}, CacheCommand::clean_invalidate);
  }
  // It does nothing.
  template <class C>
  Outcome<> test_cache(C&, Info& info) noexcept {
    const Turn turn(turn_);
    return find(info.physical) == nullptr ? Errno::not_permitted : Errno::none;
  }

  // --- G5's questions ---

  // EPERM: not all in one zone, or one window.
  template <class C>
  Outcome<> check_address(C&, Info& info) noexcept {
    const bool is_known = zones_.has_range(info.physical, info.size) || zones_.window_of(info.physical, info.size) != nullptr;
    return is_known ? Errno::none : Errno::not_permitted;
  }
  template <class C>
  Outcome<> query(C&, MmzRoom& told) noexcept {
    const auto room = zones_.room();
    told = {static_cast<std::uint32_t>(room.total.value() >> 10), static_cast<std::uint32_t>(room.free.value() >> 10)};
    return done;
  }

  // --- G5's sharing, of blocks by their handles ---

  template <class C>
  Outcome<> share(C& call, MmzShareCall& wanted) noexcept {
    return zones_.sharing().share(wanted.handle, call.process(), wanted.process);
  }
  template <class C>
  Outcome<> unshare(C& call, MmzShareCall& wanted) noexcept {
    return zones_.sharing().unshare(wanted.handle, call.process(), wanted.process);
  }
  template <bool is_for_all, class C>
  Outcome<> share_all(C& call, MmzShareCall& wanted) noexcept {
    return zones_.sharing().share_all(wanted.handle, call.process(), is_for_all);
  }
  // What the caller sees he may be told of.
  template <class C>
  Outcome<> memory_of_address(C& call, MmzShareCall& told) noexcept {
    const auto physical = call.view_at(told.address).physical;
    const auto block = physical ? zones_.sharing().at(*physical) : std::nullopt;
    return block ? tell_of(*block, *physical, told) : Errno::invalid;
  }
  template <class C>
  Outcome<> memory_of_physical(C& call, MmzShareCall& told) noexcept {
    const auto block = zones_.sharing().at(told.physical);
    if (!block) return Errno::invalid;
    return block->may_have(call.process()) ? tell_of(*block, told.physical, told) : Errno::not_permitted;
  }
  template <class C>
  Outcome<> memory_of_handle(C& call, MmzShareCall& told) noexcept {
    const auto block = zones_.sharing().of(told.handle);
    if (!block) return Errno::invalid;
    return block->may_have(call.process()) ? tell_of(*block, block->physical, told) : Errno::not_permitted;
  }
  static Errno tell_of(const MmzSharedBlock& block, std::uint64_t physical, MmzShareCall& told) noexcept {
    told.physical = physical;
    told.offset = physical - block.physical;
    told.handle = block.handle;
    return Errno::none;
  }

  // --- which commands there are ---

  template <MmzCommand command, class W, auto serve>
  using Row = Entry<mmz_number(command).magic, mmz_number(command).number, mmz_number(command).direction, W, serve>;
  static constexpr bool is_up_to_kernels(std::size_t length, WordSize word) noexcept {
    return length <= mmb_kernel_length<generation>(word);
  }
  static constexpr bool is_kernels(std::size_t length, WordSize word) noexcept { return length == mmb_kernel_length<generation>(word); }
  template <MmzCommand command, auto serve>
  using Of = Taking<Row<command, MmbInfoWire<generation>, serve>, &MmzFile::is_up_to_kernels>;
  static constexpr bool is_up_to_share_call(std::size_t length, WordSize word) noexcept { return length <= MmzShareWire::length(word); }
  template <MmzCommand command, auto serve>
  using Sharing = Taking<Row<command, MmzShareWire, serve>, &MmzFile::is_up_to_share_call>;

  template <class C, class... More>
  using WithAll = CommandTable<Matching::magic_and_number, Of<MmzCommand::allocate, &MmzFile::template allocate<false, C>>,
                               Of<MmzCommand::attributes, &MmzFile::template attributes<C>>,
                               Of<MmzCommand::free, &MmzFile::template free<C>>,
                               Of<MmzCommand::remap, &MmzFile::template remap<false, C>>,
                               Of<MmzCommand::remap_cached, &MmzFile::template remap<true, C>>,
                               Of<MmzCommand::unmap, &MmzFile::template unmap<C>>,
                               Row<MmzCommand::flush_dirty, MmzDirtyWire, &MmzFile::template flush_dirty<C>>, More...>;
  template <class C>
  using PhysicalOf = Of<MmzCommand::physical_of, &MmzFile::template physical_of<C>>;
  template <class C, class... More>
  using WithV2 =
      WithAll<C, Of<MmzCommand::allocate_v2, &MmzFile::template allocate<true, C>>,
              Taking<Row<MmzCommand::test_cache, MmbInfoWire<generation>, &MmzFile::template test_cache<C>>, &MmzFile::is_kernels>,
              More...>;
  template <class C>
  static constexpr auto table() noexcept {
    if constexpr (generation == MmzGeneration::g1) {
      return WithV2<C>();
    } else if constexpr (generation == MmzGeneration::g5) {
      return WithAll<C, PhysicalOf<C>, Of<MmzCommand::flush_range, &MmzFile::template flush_range<C>>,
                     Of<MmzCommand::check_address, &MmzFile::template check_address<C>>,
                     Row<MmzCommand::query, MmzRoomWire, &MmzFile::template query<C>>,
                     Sharing<MmzCommand::share, &MmzFile::template share<C>>, Sharing<MmzCommand::unshare, &MmzFile::template unshare<C>>,
                     Sharing<MmzCommand::share_all, &MmzFile::template share_all<true, C>>,
                     Sharing<MmzCommand::unshare_all, &MmzFile::template share_all<false, C>>,
                     Sharing<MmzCommand::memory_of_address, &MmzFile::template memory_of_address<C>>,
                     Sharing<MmzCommand::memory_of_physical, &MmzFile::template memory_of_physical<C>>,
                     Sharing<MmzCommand::memory_of_handle, &MmzFile::template memory_of_handle<C>>>();
    } else {
      return WithV2<C, PhysicalOf<C>>();
    }
  }
  template <class C>
  using Table = decltype(table<C>());

  const Zones& zones_;
  OwnClient<D> client_;
  const OpenFlags flags_;
  const std::uint32_t process_;
  OwnLock<L> turn_;  // of all that follows
  std::array<Block, most_blocks> blocks_ = {};
  std::size_t count_ = 0;
};

}  // namespace freestone::device
