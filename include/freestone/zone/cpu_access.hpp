// The CPU's way to a block's bytes: a bracket that is a type, so that nobody forgets its end or swaps the two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/cache/concept.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/seam.hpp>

namespace freestone {

// Are accesses looked after? In builds without NDEBUG, or as FREESTONE_CHECK_ACCESS (0 or 1) says. It changes no layout,
// and functions of both kinds have names of their own, so units may differ; the calls that layers and Owned make are of
// the one kind or the other.
inline constexpr bool accesses_are_checked =
#if defined(FREESTONE_CHECK_ACCESS)
    FREESTONE_CHECK_ACCESS != 0;
#elif defined(NDEBUG)
    false;
#else
    true;
#endif

namespace detail {

// The accesses of this program that are going on, as far as they are checked and up to `most`; those beyond are not, and
// an access to no byte is none.
class OpenAccesses {
 public:
  struct Entry {
    std::uint64_t begin = 0;  // in the zone; of a strategy that keeps books only, whose blocks lie anywhere, the address
    std::uint64_t end = 0;
    std::uint32_t zone_tag = 0;
    bool writes = false;
    std::uint64_t block = 0;  // where its block begins: `open` needs it, `close` does not
  };

  // False where one of them meets this one, and one of the two writes.
  bool open(const Entry& mine) noexcept {
    if (mine.begin == mine.end) return true;
    const Turn turn(word_);
    Entry* room = nullptr;
    for (Entry& other : entries_) {
      if (other.end == 0) {
        if (room == nullptr) room = &other;
      } else if (other.zone_tag == mine.zone_tag && other.begin < mine.end && mine.begin < other.end &&
                 (other.writes || mine.writes)) {
        return false;
      }
    }
    if (room != nullptr) *room = mine, CompilerAtomics::store_release(count_, count_ + 1);
    return true;
  }
  void close(const Entry& mine) noexcept {
    if (mine.begin == mine.end) return;
    const Turn turn(word_);
    for (Entry& other : entries_) {
      if (other.zone_tag == mine.zone_tag && other.begin == mine.begin && other.end == mine.end &&
          other.writes == mine.writes) {
        other = {}, CompilerAtomics::store_release(count_, count_ - 1);
        return;
      }
    }
  }
  // Is one of them to the block that begins there?
  bool any_to(std::uint32_t zone_tag, std::uint64_t block) noexcept {
    if (CompilerAtomics::load_acquire(count_) == 0) return false;
    const Turn turn(word_);
    for (const Entry& other : entries_) {
      if (other.end != 0 && other.zone_tag == zone_tag && other.block == block) return true;
    }
    return false;
  }

 private:
  static constexpr std::size_t most = 64;

  class Turn {
   public:
    explicit Turn(std::uint32_t& word) noexcept : word_(word) {
      while (CompilerAtomics::exchange_acquire(word_, 1) != 0) seam::pause();
    }
    ~Turn() { CompilerAtomics::store_release(word_, 0); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    std::uint32_t& word_;
  };

  Entry entries_[most] = {};
  std::uint32_t count_ = 0;
  std::uint32_t word_ = 0;
};
inline constinit OpenAccesses open_accesses;

}  // namespace detail

// The CPU touches these bytes while it lives: what the cache policy must do first was done, and what it must do last is
// done at its end. The zone must outlive it and stay where it is. One that has ended, or was moved from, shows no byte.
template <class Z, Access access, bool is_checked>
class [[nodiscard]] CpuAccess {
 public:
  using Byte = std::conditional_t<access == Access::read, const std::byte, std::byte>;

  constexpr CpuAccess(Z& zone, const CacheView& view, std::uint64_t offset) noexcept
      : zone_(&zone), view_(view), offset_(offset) {}
  constexpr CpuAccess(CpuAccess&& other) noexcept
      : zone_(std::exchange(other.zone_, nullptr)),
        view_(std::exchange(other.view_, {})),
        offset_(other.offset_) {}
  // Its own access ends first.
  constexpr CpuAccess& operator=(CpuAccess&& other) noexcept {
    if (this == &other) return *this;
    static_cast<void>(end());
    zone_ = std::exchange(other.zone_, nullptr);
    view_ = std::exchange(other.view_, {});
    offset_ = other.offset_;
    return *this;
  }
  constexpr ~CpuAccess() {
    if (zone_ != nullptr) static_cast<void>(end());
  }

  // Not of a temporary, whose access ends at the semicolon. (Through a Result's `->` nobody can tell.)
  constexpr std::span<Byte> bytes() const& noexcept { return {data(), size()}; }
  constexpr Byte* data() const& noexcept { return view_.data; }
  std::span<Byte> bytes() const&& = delete;
  Byte* data() const&& = delete;
  constexpr std::size_t size() const noexcept { return static_cast<std::size_t>(view_.size.value()); }

  // Ends it now, once. Who wants to know whether the host could do its part asks here: its error, and it has ended.
  constexpr Result<void> end() noexcept {
    Z* const zone = std::exchange(zone_, nullptr);
    if (zone == nullptr) return {};
    return zone->template end_cpu_access<access, is_checked>(std::exchange(view_, {}), offset_);
  }

 private:
  Z* zone_;
  CacheView view_;
  std::uint64_t offset_;
};

// An empty part of the zone Z, of B and C: its bytes with what its cache policy does.
//
// A range is `size` bytes of the block from its byte `offset` on. Errors of all calls: foreign_block; range_beyond_block
// where a range leaves the block; the policy's own. Then nothing was done. No lock is taken, but where accesses are
// checked.
template <class Z, class B, class C>
class ZoneAccess {
 public:
  // After the CPU wrote and before a device reads; before the CPU reads what a device wrote; both.
  constexpr Result<void> clean(const Block& block) noexcept { return clean(block, 0, block.size()); }
  constexpr Result<void> clean(const Block& block, Bytes offset, Bytes size) noexcept {
    return maintain(block, offset, size, [](C& cache, const CacheView& view) { return cache.clean(view); });
  }
  constexpr Result<void> invalidate(const Block& block) noexcept { return invalidate(block, 0, block.size()); }
  constexpr Result<void> invalidate(const Block& block, Bytes offset, Bytes size) noexcept {
    return maintain(block, offset, size, [](C& cache, const CacheView& view) { return cache.invalidate(view); });
  }
  constexpr Result<void> clean_and_invalidate(const Block& block) noexcept {
    return clean_and_invalidate(block, 0, block.size());
  }
  constexpr Result<void> clean_and_invalidate(const Block& block, Bytes offset, Bytes size) noexcept {
    return maintain(block, offset, size, [](C& cache, const CacheView& view) -> Result<void> {
      if constexpr (can_clean_and_invalidate<C>) {
        return cache.clean_and_invalidate(view);
      } else {
        if (const auto cleaned = cache.clean(view); !cleaned) return cleaned;
        return cache.invalidate(view);
      }
    });
  }

  // Several blocks, with one wait for each 16 of them; where they are sorted by offset, no line is done twice, but for one
  // that two such lots share. The first error ends it: foreign_block before any of them is done.
  constexpr Result<void> clean(std::span<const Block> blocks) noexcept {
    return maintain_list(blocks, [](C& cache, const auto& views) { return cache.clean(views); });
  }
  constexpr Result<void> invalidate(std::span<const Block> blocks) noexcept {
    return maintain_list(blocks, [](C& cache, const auto& views) { return cache.invalidate(views); });
  }

  // A bracket, which begins with an invalidate, cpu_write's too: what the CPU stored there before, and nobody cleaned, may
  // be lost. Errors besides: os_failure where this CPU does not see the bytes; where accesses are checked, dead_block,
  // holder_died, and access_open while another access to these bytes is open and one of the two writes. (While one is open
  // that is checked, deallocate refuses its block with access_open too.)
  template <bool is_checked = accesses_are_checked>
  constexpr Result<CpuAccess<Z, Access::read, is_checked>> cpu_read(const Block& block) noexcept
    requires has_cpu_pointer<B>
  {
    return begin<Access::read, is_checked>(block, 0, block.size());
  }
  template <bool is_checked = accesses_are_checked>
  constexpr Result<CpuAccess<Z, Access::read, is_checked>> cpu_read(const Block& block, Bytes offset,
                                                                    Bytes size) noexcept
    requires has_cpu_pointer<B>
  {
    return begin<Access::read, is_checked>(block, offset, size);
  }
  template <bool is_checked = accesses_are_checked>
  constexpr Result<CpuAccess<Z, Access::write, is_checked>> cpu_write(const Block& block) noexcept
    requires has_cpu_pointer<B>
  {
    return begin<Access::write, is_checked>(block, 0, block.size());
  }
  template <bool is_checked = accesses_are_checked>
  constexpr Result<CpuAccess<Z, Access::write, is_checked>> cpu_write(const Block& block, Bytes offset,
                                                                      Bytes size) noexcept
    requires has_cpu_pointer<B>
  {
    return begin<Access::write, is_checked>(block, offset, size);
  }
  template <bool is_checked = accesses_are_checked>
  constexpr Result<CpuAccess<Z, Access::read_write, is_checked>> cpu_read_write(const Block& block) noexcept
    requires has_cpu_pointer<B>
  {
    return begin<Access::read_write, is_checked>(block, 0, block.size());
  }
  template <bool is_checked = accesses_are_checked>
  constexpr Result<CpuAccess<Z, Access::read_write, is_checked>> cpu_read_write(const Block& block, Bytes offset,
                                                                                Bytes size) noexcept
    requires has_cpu_pointer<B>
  {
    return begin<Access::read_write, is_checked>(block, offset, size);
  }

  // The policy itself, for what one has of its own (Modelled's devices).
  constexpr C& cache() noexcept { return zone().cache_; }

  // Is there an open access to the block that begins there, as far as they are checked? For the zone, and for those who
  // keep blocks which their owners gave back.
  template <bool is_checked>
  constexpr bool is_touched(Bytes offset) noexcept {
    if constexpr (is_checked) {
      if (!std::is_constant_evaluated()) return detail::open_accesses.any_to(zone().tag(), offset.value());
    }
    return false;
  }

 private:
  template <class, Access, bool>
  friend class CpuAccess;

  constexpr Z& zone() noexcept { return static_cast<Z&>(*this); }

  // What is wrong with the range; code none where it is all in the block, and that in the zone.
  constexpr Error check(const Block& block, Bytes offset, Bytes size) noexcept {
    if (!zone().is_inside(block)) [[unlikely]]
      return zone().fail(ErrorCode::foreign_block, block.offset().value(), 0);
    if (offset > block.size() || size > block.size() - offset) [[unlikely]]
      return zone().fail(ErrorCode::range_beyond_block, size.value(), block.size().value());
    return {};
  }

  template <class Do>
  constexpr Result<void> maintain(const Block& block, Bytes offset, Bytes size, Do&& act) noexcept {
    if (const Error error = check(block, offset, size); error) return error;
    return zone().named(act(zone().cache_, zone().view_of(block, offset, size)));
  }

  template <class Do>
  constexpr Result<void> maintain_list(std::span<const Block> blocks, Do&& act) noexcept {
    for (const Block& block : blocks) {
      if (const Error error = check(block, 0, 0); error) return error;
    }
    if constexpr (can_maintain_list<C>) {
      constexpr std::size_t at_once = 16;
      while (!blocks.empty()) {
        CacheView views[at_once];
        const std::size_t count = blocks.size() < at_once ? blocks.size() : at_once;
        for (std::size_t i = 0; i < count; ++i) views[i] = zone().view_of(blocks[i], 0, blocks[i].size());
        if (const auto done = act(zone().cache_, std::span<const CacheView>(views, count)); !done) {
          return zone().named(done.error());
        }
        blocks = blocks.subspan(count);
      }
    } else {
      for (const Block& block : blocks) {
        if (const auto done = act(zone().cache_, zone().view_of(block, 0, block.size())); !done) {
          return zone().named(done.error());
        }
      }
    }
    return {};
  }

  template <Access access, bool is_checked>
  constexpr Result<CpuAccess<Z, access, is_checked>> begin(const Block& block, Bytes offset, Bytes size) noexcept {
    if (const Error error = check(block, offset, size); error) [[unlikely]]
      return error;
    const CacheView view = zone().view_of(block, offset, size);
    if (view.data == nullptr) [[unlikely]]
      return zone().fail(ErrorCode::os_failure, size.value(), 0);
    const std::uint64_t from = (block.offset() + offset).value();
    if constexpr (is_checked) {
      if (!std::is_constant_evaluated()) {
        if (const Error error = check_live(block); error) return error;
        auto entry = entry_of(access, view, from);
        entry.block = block.offset().value();
        if (!detail::open_accesses.open(entry)) {
          return zone().fail(ErrorCode::access_open, size.value(), 0);
        }
      }
    }
    if (const auto begun = begin_access(zone().cache_, view, access); !begun) [[unlikely]] {
      close<access, is_checked>(view, from);
      return zone().named(begun.error());
    }
    return CpuAccess<Z, access, is_checked>(zone(), view, from);
  }

  template <Access access, bool is_checked>
  constexpr Result<void> end_cpu_access(const CacheView& view, std::uint64_t offset) noexcept {
    const auto ended = end_access(zone().cache_, view, access);
    close<access, is_checked>(view, offset);
    return zone().named(ended);
  }

  template <Access access, bool is_checked>
  constexpr void close(const CacheView& view, std::uint64_t offset) noexcept {
    if constexpr (is_checked) {
      if (!std::is_constant_evaluated()) detail::open_accesses.close(entry_of(access, view, offset));
    }
  }
  constexpr detail::OpenAccesses::Entry entry_of(Access access, const CacheView& view,
                                                 std::uint64_t offset) noexcept {
    const std::uint64_t begin = Z::Strategy::places ? offset : reinterpret_cast<std::uintptr_t>(view.data);
    return {.begin = begin, .end = begin + view.size.value(), .zone_tag = zone().tag(), .writes = writes(access)};
  }
  // As owns, with the reason why not.
  constexpr Error check_live(const Block& block) noexcept {
    Z& z = zone();
    const typename Z::Guard guard(z);
    if (!guard) return z.holder_died();
    const Bytes offset = block.offset();
    const Granules count = z.length_of(z.granule_at(offset));
    const bool is_live = (offset.value() & z.granule_mask()) == 0 && count != Granules(0);
    if (is_live && z.bytes_of(count) == block.size()) return {};
    return z.fail(ErrorCode::dead_block, offset.value(), 0);
  }
};

}  // namespace freestone
