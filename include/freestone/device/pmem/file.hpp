// /dev/pmem*, opened: a master, which has an allocation, or a sub, which sees what was granted of a master's. (shared/spec:
// PMEM 1, 4, 5.)
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/cacheability.hpp>
#include <freestone/core/result.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/own_client.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/device/pmem/calls.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/client.hpp>
#include <freestone/share/grants.hpp>
#include <freestone/share/view.hpp>

namespace freestone::device {

// What the platform does to the one mapping that a sub has: as Screen of share/view.hpp, of one file's.
template <class S, class Ref>
concept PmemScreen = requires(S& screen, const Ref& buffer, const ByteRange& range) {
  { screen.show(buffer, range) } noexcept -> std::same_as<Result<void>>;
  { screen.hide(range) } noexcept;
};

// Of a region. It stays where it is, and ends when nobody has it open or mapped any more. Any thread, as L lets them.
//
// A Call has, beside what all have:
//   Answer with_file<F>(descriptor, act)   act(F&), of what the caller has under that number: EBADF, or EINVAL of another kind
//   bool sees_physical_addresses()         whoever does not is told offsets from the region's first byte in their stead
template <class D, class L, PmemScreen<typename D::Ref> S, PmemLimits limits = PmemLimits{}>
class PmemFile {
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Region = PmemRegion<D, L, limits>;
  using Hold = typename Region::Hold;

  // The client is this file's from here on; `screen` is the platform's part of it, and outlives it.
  PmemFile(Region& region, ClientId client, OpenFlags flags, S& screen) noexcept
      : region_(region), client_(region.device(), client), flags_(flags), screen_(screen), number_(region.add(listed_)) {}
  PmemFile(const PmemFile&) = delete;
  PmemFile& operator=(const PmemFile&) = delete;
  ~PmemFile() {
    if (is_sub_) end_window();
    region_.remove(listed_);
    if (allocation_ && !is_sub_) region_.free(allocation_, screens_);
    if (settings().hooks.close != nullptr) static_cast<void>(settings().hooks.close(this));
  }

  Region& region() const noexcept { return region_; }

  // What is none of PMEM's is the region's own: EINVAL where it has no hook.
  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    const PmemNumbers numbers = settings().numbers;
    if (command == pmem::get_phys || command == pmem::get_size) return tell<PmemRangeWire>(call, argument, placed(call));
    if (command == pmem::map) return remap(call, argument, &PmemFile::grant);
    if (command == pmem::unmap) return remap(call, argument, &PmemFile::withdraw);
    if (command == pmem::allocate) return allocate(argument);
    if (command == pmem::connect) return connect(call, static_cast<std::int32_t>(argument));
    if (command == pmem::get_total_size) return tell<PmemRangeWire>(call, argument, PmemRange{0, settings().size.value()});
    if (numbers == PmemNumbers::google) return command == pmem::cache_flush ? flush(call, argument) : hooked(command, argument);
    if (command == pmem::clean_inv_caches) return maintain(call, argument, CacheCommand::clean_invalidate);
    if (command == pmem::clean_caches) return maintain(call, argument, CacheCommand::clean);
    if (command == pmem::inv_caches) return maintain(call, argument, CacheCommand::invalidate);
    if (numbers == PmemNumbers::caf) return hooked(command, argument);
    if (command == pmem::get_free_space) return tell<PmemFreeWire>(call, argument, free_space());
    if (command == pmem::allocate_aligned) return allocate_aligned(call, argument);
    return hooked(command, argument);
  }
  // The same of MAP, UNMAP and the cache commands, with the structs that others hand over by themselves.
  template <class C>
  Answer map(C& call, const PmemRange& range) noexcept {
    return remap(call, range, &PmemFile::grant);
  }
  template <class C>
  Answer unmap(C& call, const PmemRange& range) noexcept {
    return remap(call, range, &PmemFile::withdraw);
  }
  template <class C>
  Answer maintain(C& call, const PmemCacheCall& wanted, CacheCommand command) noexcept {
    if (wanted.address == 0) return Errno::invalid;
    if (!settings().is_cached) return done;
    const auto place = this->place();
    if (!place || !ByteRange{wanted.offset, wanted.length}.is_within(place->length)) return Errno::invalid;
    if (wanted.length == 0) return done;
    const CacheCall range{.command = command,
                          .address = wanted.address,
                          .offset = wanted.offset,
                          .length = wanted.length,
                          .mapping = call.mapping_of(wanted.address, *this)};
    const PhysicalPiece whole{PhysicalAddress(settings().base + place->start), place->length};
    const bool is_contiguous = settings().allocator != PmemAllocator::system;
    return cache_operations({.size = place->length, .pieces = {&whole, 1}, .has_outer_cache = is_contiguous}, range,
                            [&](const auto& part, CacheCommand what) { maintain(part, what); });
  }

  // The caller maps the first `length` bytes; a master that has none yet gets an allocation of them. EINVAL: they do not begin
  // at 0, are no whole pages, are more than there are; a sub's second mapping; before Qualcomm's last, a master's, too. ENOMEM (EINVAL
  // before): there is no room. EAGAIN: the platform cannot show what was granted.
  Answer map(std::uint64_t offset, std::uint64_t length, std::uint32_t process) noexcept {
    const bool is_last = settings().numbers == PmemNumbers::qualcomm;
    const Turn turn(turn_);
    if (offset != 0 || length == 0 || length % page_size.value() != 0 || was_mapped_as_sub_) return Errno::invalid;
    if (is_mapped_master_ && !is_last) return Errno::invalid;
    if (!allocation_ && !take(length, page_size.value())) return is_last ? Errno::no_memory : Errno::invalid;
    if (allocation_->place.length < length) return Errno::invalid;
    if (is_sub_) return map_window(length);
    is_mapped_master_ = true;
    region_.change(listed_, [&](auto& file) { file.process = process; });
    return done;
  }
  // What was mapped is gone, all of it and in every process. Cost: one lock, that nobody holds for long.
  void unmapped() noexcept {
    region_.change(listed_, [](auto& file) { file.is_unmapped = true; });
  }

  // Memory that a device is to see, in a cached region: a master's whole allocation; of a sub the whole of the newest grant that has
  // all of these bytes, or nothing. (5.2.)
  void flush(const ByteRange& range) noexcept {
    const auto place = this->place();
    if (!settings().is_cached || !place) return;
    if (!is_sub()) return maintain(WholeBuffer{}, CacheCommand::clean_invalidate);
    ByteRange found = {};
    region_.change(listed_, [&](auto& file) {
      file.grants.for_each([&](const ByteRange& grant) {
        if (found.is_empty() && range.is_within(place->length) && range.clipped_to(grant) == range) found = grant;
      });
    });
    if (!found.is_empty()) maintain(InnerRange{0, found.offset, found.length}, CacheCommand::clean_invalidate);
  }

  // How its mappings are cached. (1.5.)
  Cacheability cacheability() const noexcept {
    if (!settings().is_cached || flags_.is_synchronous()) return Cacheability::uncached;
    return settings().is_buffered ? Cacheability::write_combined : Cacheability::cached;
  }

  // act(const PmemPlace&, const Ref&, is_sub) of its allocation, a sub's master's too. False: it has none, or its master is closed. act
  // calls nothing of this.
  template <class Act>
  bool with_allocation(Act&& act) noexcept {
    const Turn turn(turn_);
    if (!allocation_) return false;
    const Turn views(allocation_->turn);
    if (!allocation_->windows) return false;
    act(allocation_->place, allocation_->buffer, is_sub_);
    return true;
  }
  // act(const Ref&) of its own allocation; not of a sub's, nor where there is none. It may be asked while a screen shows or hides: the
  // one lock that is taken is that of `unmapped`, and act calls nothing of this.
  template <class Act>
  void with_own(Act&& act) noexcept {
    region_.change(listed_, [&](auto& file) {
      if (file.own != nullptr) act(*file.own);
    });
  }

 private:
  struct Window : Region::Window {
    PmemFile* file = nullptr;
  };
  // Of all subs of a master: each has its own.
  struct Screens {
    using Of = typename Region::Window;
    static S& of(Of& window) noexcept { return static_cast<Window&>(window).file->screen_; }
    Result<void> show(Of& window, const ByteRange& range) noexcept { return of(window).show(window.buffer(), range); }
    void hide(Of& window, const ByteRange& range) noexcept { of(window).hide(range); }
    void forget(Of& window) noexcept {
      PmemFile& sub = *static_cast<Window&>(window).file;
      sub.region_.change(sub.listed_, [](auto& file) { file.grants.clear(); });
    }
  };
  // What another file connects to.
  struct Source {
    Hold allocation = {};
    const Region* region = nullptr;
    std::uint64_t number = 0;
  };

  const PmemSettings& settings() const noexcept { return region_.settings(); }

  // --- structs of the caller's ---

  template <class W, class C>
  static bool get(C& call, std::uint64_t address, typename W::Struct& values) noexcept {
    std::array<std::byte, W::most_length> bytes{};
    const std::span<std::byte> there(bytes.data(), W::length(call.word()));
    if (!call.copy_in(there, address)) return false;
    values = W::read(there, call.word());
    return true;
  }
  template <class W, class C>
  static Answer tell(C& call, std::uint64_t address, const typename W::Struct& values) noexcept {
    std::array<std::byte, W::most_length> bytes{};
    const std::span<std::byte> there(bytes.data(), W::length(call.word()));
    W::write(values, there, call.word());
    return call.copy_out(address, there) ? done : Answer(Errno::fault);
  }

  // --- commands ---

  Answer hooked(Command command, std::uint64_t argument) noexcept {
    const auto hook = settings().hooks.ioctl;
    return hook == nullptr ? Answer(Errno::invalid) : Answer(hook(this, command.code, argument));
  }
  template <class C>
  PmemRange placed(C& call) noexcept {
    const auto place = this->place();
    if (!place) return {};
    return {call.sees_physical_addresses() ? settings().base + place->start : place->start, place->length};
  }
  std::optional<PmemPlace> place() noexcept {
    const Turn turn(turn_);
    return allocation_ ? std::optional(allocation_->place) : std::nullopt;
  }
  bool is_sub() noexcept {
    const Turn turn(turn_);
    return is_sub_;
  }
  PmemFreeSpace free_space() const noexcept {
    const auto room = region_.room();
    return {room.total, room.largest};
  }

  // Google's tells of no failure here; the file has none then.
  Answer allocate(std::uint64_t length) noexcept {
    const Answer answer = allocate(length, page_size.value());
    return settings().numbers == PmemNumbers::google ? done : answer;
  }
  Answer allocate(std::uint64_t length, std::uint64_t align) noexcept {
    const Turn turn(turn_);
    if (allocation_) return Errno::invalid;
    if (!take(length, align)) return Errno::no_memory;
    return Answer(allocation_->place.index & 0x7fff'ffff);  // an int, and no error
  }
  template <class C>
  Answer allocate_aligned(C& call, std::uint64_t argument) noexcept {
    PmemWanted wanted;
    if (!get<PmemWantedWire>(call, argument, wanted)) return Errno::fault;
    constexpr std::uint32_t least = 4096, most = 1 << 20;
    const bool is_other = wanted.align != least;
    if ((wanted.align & (wanted.align - 1)) != 0 || wanted.align < least || wanted.align > most) return Errno::invalid;
    if (is_other && settings().allocator != PmemAllocator::bitmap) return Errno::invalid;
    return allocate(wanted.size, wanted.align);
  }
  bool take(std::uint64_t length, std::uint64_t align) noexcept {
    allocation_ = region_.allocate(client_.id(), length, align);
    if (!allocation_) return false;
    region_.change(listed_, [&](auto& file) { file.own = &allocation_->buffer; });
    return true;
  }

  template <class C>
  Answer connect(C& call, std::int32_t descriptor) noexcept {
    Source source;
    const Answer found = call.template with_file<PmemFile>(descriptor, [&](PmemFile& other) {
      if (&other == this) return Answer(Errno::invalid);
      source = other.source();
      return done;
    });
    if (found.is_error()) return settings().numbers == PmemNumbers::google ? Errno::invalid : found.error();
    if (!source.allocation || source.region != &region_) return Errno::invalid;
    return become_sub(source, descriptor);
  }
  Answer become_sub(const Source& source, std::int32_t descriptor) noexcept {
    const Turn turn(turn_);
    if (allocation_ && (!is_sub_ || !(allocation_ == source.allocation))) return Errno::invalid;
    if (const Errno wrong = join(source.allocation); wrong != Errno::none) return wrong;
    allocation_ = source.allocation;
    is_sub_ = true;
    master_ = {descriptor, source.number};
    return done;
  }
  Errno join(const Hold& allocation) noexcept {
    const Turn views(allocation->turn);
    if (!allocation->windows) return Errno::invalid;  // just closed
    if (window_) return Errno::none;
    auto hold = region_.device().ref(allocation->windows->buffer().id());
    if (!hold) return Errno::no_memory;
    window_.emplace();
    window_->file = this;
    const auto connected = allocation->windows->connect(*window_, *std::move(hold));
    return connected ? Errno::none : Errno::invalid;
  }
  Source source() noexcept {
    const Turn turn(turn_);
    return {allocation_, &region_, number_};
  }

  // Whose is it to grant? Of a file's own process, where it is a mapped master; else of whoever has its master under the number by
  // which it was connected.
  struct Master {
    std::int32_t descriptor = -1;
    std::uint64_t file = 0;
  };
  template <class C>
  bool is_owner(C& call) noexcept {
    Master master;
    {
      const Turn turn(turn_);
      if (!allocation_) return false;
      if (!is_sub_) return is_mapped_master_;
      master = master_;
    }
    const Answer found = call.template with_file<PmemFile>(master.descriptor, [&](PmemFile& other) {
      return &other.region_ == &region_ && other.number_ == master.file ? done : Answer(Errno::invalid);
    });
    return !found.is_error();
  }
  template <class C>
  Answer remap(C& call, std::uint64_t argument, Errno (PmemFile::*change)(const ByteRange&) noexcept) noexcept {
    PmemRange wanted;
    return get<PmemRangeWire>(call, argument, wanted) ? remap(call, wanted, change) : Errno::fault;
  }
  template <class C>
  Answer remap(C& call, const PmemRange& wanted, Errno (PmemFile::*change)(const ByteRange&) noexcept) noexcept {
    const ByteRange range{wanted.offset, wanted.length};
    if (!range.is_multiple_of(page_size)) return Errno::invalid;
    if (range.is_empty() || is_gone()) return done;
    if (!is_owner(call)) return Errno::invalid;
    const Turn turn(turn_);
    if (!range.is_within(allocation_->place.length)) return Errno::invalid;
    return (this->*change)(range);
  }
  bool is_gone() noexcept {
    if (!is_sub()) return false;
    return region_.change(listed_, [](auto& file) { return file.is_unmapped; });
  }
  Errno grant(const ByteRange& range) noexcept {
    const bool has_room = region_.change(listed_, [&](auto& file) { return !file.grants.is_full() && (file.grants.add(range), true); });
    if (!has_room) return Errno::no_memory;
    const Errno wrong = is_sub_ ? errno_of_window([&](auto& windows) { return windows.grant(*window_, range, screens_); }) : Errno::none;
    if (wrong != Errno::none) forget(range);
    return wrong;
  }
  // All grants of just this range.
  Errno withdraw(const ByteRange& range) noexcept {
    if (!forget(range)) return Errno::invalid;
    while (forget(range)) {
    }
    if (!is_sub_) return Errno::none;
    return errno_of_window([&](auto& windows) {
      auto withdrawn = windows.withdraw(*window_, range, screens_);
      while (withdrawn) withdrawn = windows.withdraw(*window_, range, screens_);
      return withdrawn.error().code == ErrorCode::not_granted ? Result<void>() : withdrawn;
    });
  }
  bool forget(const ByteRange& range) noexcept {
    return region_.change(listed_, [&](auto& file) { return file.grants.remove(range); });
  }
  template <class Act>
  Errno errno_of_window(Act&& act) noexcept {
    const Turn views(allocation_->turn);
    if (!allocation_->windows) return Errno::invalid;  // revoked
    const auto changed = act(*allocation_->windows);
    return changed ? Errno::none : errno_of_window(changed.error().code);
  }
  static Errno errno_of_window(ErrorCode code) noexcept {
    switch (code) {
      case ErrorCode::too_many_grants: return Errno::no_memory;
      case ErrorCode::revoked:
      case ErrorCode::not_owner:
      case ErrorCode::mapped_before:
      case ErrorCode::range_beyond_block: return Errno::invalid;
      case ErrorCode::not_mapped: return Errno::none;
      default: return Errno::try_again;
    }
  }

  // --- caches ---

  // What the caller sees at the address is done in the inner cache, what lies at the offset in the outer one. EINVAL: address 0, none
  // of this file's mappings of the caller's, or beyond the allocation. Where the region is not cached there is nothing to do.
  template <class C>
  Answer maintain(C& call, std::uint64_t argument, CacheCommand command) noexcept {
    PmemCacheCall wanted;
    if (!get<PmemCacheWire>(call, argument, wanted)) return Errno::fault;
    return maintain(call, wanted, command);
  }
  template <class Part>
  void maintain(const Part& part, CacheCommand command) noexcept {
    const Turn turn(turn_);
    const Turn views(allocation_->turn);
    if (!allocation_->windows) return;
    auto& memory = allocation_->windows->buffer().extra().memory();
    if constexpr (requires { memory.maintain(part, command); }) memory.maintain(part, command);
  }
  template <class C>
  Answer flush(C& call, std::uint64_t argument) noexcept {
    PmemRange range;
    if (!get<PmemRangeWire>(call, argument, range)) return Errno::fault;
    flush({range.offset, range.length});
    return done;
  }

  Answer map_window(std::uint64_t length) noexcept {
    const Errno wrong = errno_of_window([&](auto&) { return window_->map(length, screens_); });
    if (wrong != Errno::none) return wrong;
    was_mapped_as_sub_ = true;
    return done;
  }
  void end_window() noexcept {
    const Turn views(allocation_->turn);
    static_cast<void>(window_->unmap());
    window_.reset();
  }

  Region& region_;
  OwnClient<D> client_;
  const OpenFlags flags_;
  S& screen_;
  typename Region::Listed listed_;
  const std::uint64_t number_;  // no other file of the region's ever has it
  Screens screens_ = {};
  OwnLock<L> turn_;  // of all that follows; before an allocation's
  Hold allocation_;  // once there is one it stays
  std::optional<Window> window_;
  Master master_ = {};
  bool is_sub_ = false;
  bool is_mapped_master_ = false;
  bool was_mapped_as_sub_ = false;
};

}  // namespace freestone::device
