// What drivers in the kernel ask of PMEM: its API, call by call. (shared/spec: PMEM 1.6.)
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/pmem/calls.hpp>
#include <freestone/device/pmem/kalloc.hpp>
#include <freestone/device/pmem/regions.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/grants.hpp>

namespace freestone::device {

// Files of whoever the kernel is at work for. It is a Call of the PmemFile F's, too, as far as MAP and the cache commands go.
template <class T, class F>
concept PmemKernelFiles = requires(T& files, std::int32_t descriptor, F& file) {
  // What keeps an open file open while it lives; pmem() is its F, or null where it is of another kind.
  requires std::movable<typename T::Held>;
  { std::declval<typename T::Held&>().pmem() } noexcept -> std::same_as<F*>;
  // Empty: nothing is open under that number.
  { files.get(descriptor) } noexcept -> std::same_as<std::optional<typename T::Held>>;
  // Where a program has that sub mapped; empty: nowhere.
  { files.user_range(file) } noexcept -> std::same_as<ByteRange>;
};

// F: the PmemFile, whose memory may have kernel_address(): where the kernel sees it while it is allocated. R: PmemRegions' region,
// made of the files T. Up to `most` files are held by drivers at once. A file that a call is given is one that some driver holds;
// any other is refused, unseen. Any thread, as L lets them; it stays where it is, and its files, regions and arenas outlive it.
template <class F, class T, class R, class L, std::size_t most = 64>
  requires PmemKernelFiles<T, F>
class PmemKernel {
  using Turn = typename OwnLock<L>::Turn;
  using Held = typename T::Held;

 public:
  using File = F;
  static constexpr int failed = -1;

  PmemKernel(T& files, PmemRegions<R, L>& regions, PmemArenas<L>& arenas) noexcept
      : files_(files), regions_(regions), arenas_(arenas) {}
  PmemKernel(const PmemKernel&) = delete;
  PmemKernel& operator=(const PmemKernel&) = delete;

  // Where an allocation's memory is; a sub's is its master's.
  struct Memory {
    std::uint64_t start = 0;    // physical
    std::uintptr_t kernel = 0;  // 0: the kernel does not see it
    std::uint64_t length = 0;
  };

  // --- references ---

  // What is open there, held until put_file. -1: nothing is, or nothing of PMEM's; it has no allocation, or its master is closed;
  // drivers hold too many.
  int get_file(std::int32_t descriptor, Memory& memory, F*& file) noexcept {
    auto held = files_.get(descriptor);
    F* const found = held ? held->pmem() : nullptr;
    if (found == nullptr || !find_memory(*found, memory) || !keep(*held, *found)) return failed;
    file = found;
    return 0;
  }
  // The same until put_fd.
  int get_fd(std::int32_t descriptor, Memory& memory) noexcept {
    F* file = nullptr;
    return get_file(descriptor, memory, file);
  }
  // -1: no driver holds it: one put too many, which changes nothing.
  int put_file(const F* file) noexcept { return let_go(file, &Place::gets) ? 0 : failed; }
  int put_fd(std::int32_t descriptor) noexcept {
    auto held = files_.get(descriptor);
    return held && held->pmem() != nullptr ? put_file(held->pmem()) : failed;
  }

  // Of a file that is held. -1: it is not; it has no allocation, or its master is closed.
  int get_addr(const F* file, Memory& memory) noexcept {
    return with(file, failed, [&](F& own) { return find_memory(own, memory) ? 0 : failed; });
  }
  // Where programs have a sub mapped; (0, 0) of a master, and of what is mapped nowhere. -1: as get_addr.
  int get_user_addr(const F* file, ByteRange& range) noexcept {
    return with(file, failed, [&](F& own) {
      bool is_sub = false;
      if (!own.with_allocation([&](const auto&, const auto&, bool is) { is_sub = is; })) return failed;
      range = is_sub ? files_.user_range(own) : ByteRange();
      return 0;
    });
  }

  // --- commands ---

  // As PmemFile's.
  void flush_file(const F* file, const ByteRange& range) noexcept {
    static_cast<void>(with(file, failed, [&](F& own) { return own.flush(range), 0; }));
  }
  void flush_fd(std::int32_t descriptor, const ByteRange& range) noexcept {
    auto held = files_.get(descriptor);
    if (held && held->pmem() != nullptr) held->pmem()->flush(range);
  }
  // The command is one of programs' three. Errors: EBADF: nobody holds it; EINVAL: no such command; as programs'.
  Answer cache_maint(const F* file, Command command, const PmemCacheCall& wanted) noexcept {
    return with(file, Answer(Errno::bad_file), [&](F& own) {
      if (command == pmem::clean_inv_caches) return own.maintain(files_, wanted, CacheCommand::clean_invalidate);
      if (command == pmem::clean_caches) return own.maintain(files_, wanted, CacheCommand::clean);
      return command == pmem::inv_caches ? own.maintain(files_, wanted, CacheCommand::invalidate) : Answer(Errno::invalid);
    });
  }
  // MAP or UNMAP. Errors: EINVAL: nobody holds it, or the command is another; as programs'.
  Answer remap(const F* file, Command command, const PmemRange& range) noexcept {
    return with(file, Answer(Errno::invalid), [&](F& own) {
      if (command == pmem::map) return own.map(files_, range);
      return command == pmem::unmap ? own.unmap(files_, range) : Answer(Errno::invalid);
    });
  }

  // --- boards and memory ---

  // -1: whatever PmemRegions refuses.
  int setup(const PmemSetup& setup) noexcept {
    return regions_.setup(setup, files_).refusal == PmemRefusal::none ? 0 : failed;
  }
  // As PmemArenas.
  std::int32_t kalloc(std::uint64_t size, std::uint32_t flags) noexcept { return kalloc_int32(arenas_, size, flags); }
  std::int64_t kalloc_wide(std::uint64_t size, std::uint32_t flags) noexcept { return arenas_.kalloc(size, flags).value(); }
  int kfree(std::uint64_t address) noexcept { return static_cast<int>(Answer(arenas_.kfree(address)).value()); }

  // Gets without their put.
  std::uint64_t held() noexcept {
    const Turn turn(lock_);
    std::uint64_t gets = 0;
    for (const Place& place : places_) gets += place.gets;
    return gets;
  }

 private:
  struct Place {
    std::optional<Held> held = {};
    F* file = nullptr;
    std::uint64_t gets = 0;   // by drivers
    std::uint64_t calls = 0;  // that are under way
  };

  static bool find_memory(F& file, Memory& memory) noexcept {
    return file.with_allocation([&](const PmemPlace& place, const auto& buffer, bool) {
      auto& bytes = buffer.extra().memory();
      memory = {.start = file.region().settings().base + place.start, .length = place.length};
      if constexpr (requires { bytes.kernel_address(); }) memory.kernel = reinterpret_cast<std::uintptr_t>(bytes.kernel_address());
    });
  }

  Place* place_of(const F* file) noexcept {
    for (Place& place : places_) {
      if (place.file == file) return &place;
    }
    return nullptr;
  }
  // One more of a driver's. False: there are too many files.
  bool keep(Held& held, F& file) noexcept {
    const Turn turn(lock_);
    Place* const known = place_of(&file);
    Place* const place = known != nullptr ? known : place_of(nullptr);
    if (place == nullptr) return false;
    if (known == nullptr) place->held.emplace(std::move(held)), place->file = &file;
    ++place->gets;
    return true;
  }
  // One less of that count. False: there is none.
  bool let_go(const F* file, std::uint64_t Place::* count) noexcept {
    std::optional<Held> ended;  // under no lock
    const Turn turn(lock_);
    Place* const place = file == nullptr ? nullptr : place_of(file);
    if (place == nullptr || place->*count == 0) return false;
    --(place->*count);
    if (place->gets != 0 || place->calls != 0) return true;
    ended.emplace(*std::move(place->held));
    *place = Place();
    return true;
  }
  // act(F&) of a file that somebody holds, and that is held until act is done; else `refused`.
  template <class A, class Act>
  A with(const F* file, A refused, Act&& act) noexcept {
    F* found = nullptr;
    {
      const Turn turn(lock_);
      Place* const place = file == nullptr ? nullptr : place_of(file);
      if (place == nullptr || place->gets == 0) return refused;
      ++place->calls;
      found = place->file;
    }
    const A answer = act(*found);
    static_cast<void>(let_go(file, &Place::calls));
    return answer;
  }

  T& files_;
  PmemRegions<R, L>& regions_;
  PmemArenas<L>& arenas_;
  OwnLock<L> lock_;  // of the references
  std::array<Place, most> places_ = {};
};

}  // namespace freestone::device
