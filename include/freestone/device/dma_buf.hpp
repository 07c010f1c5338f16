// A buffer as a file: what dma-buf descriptors are, whichever system made the buffer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command_table.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/heap_buffer.hpp>
#include <freestone/device/wire.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// Brackets round the CPU's accesses (DMA_BUF_IOCTL_SYNC), counted for a file: an end without its beginning is let
// pass and counts nothing. (CVE-2021-39800, CVE-2021-0929: there a caller drove the count below 0.)
class AccessBrackets {
 public:
  static constexpr std::uint64_t read = 1, write = 2, end = 4;  // linux/dma-buf.h

  // False where the flags are none of these, or neither read nor write.
  constexpr bool change(std::uint64_t flags) noexcept {
    if ((flags & ~(read | write | end)) != 0 || (flags & (read | write)) == 0) return false;
    const bool begins = (flags & end) == 0;
    if (begins && open_ != std::numeric_limits<std::uint32_t>::max()) ++open_;
    if (!begins && open_ != 0) --open_;
    return true;
  }
  constexpr std::uint32_t open() const noexcept { return open_; }

 private:
  std::uint32_t open_ = 0;
};

// A hold on a buffer of the Device D, whose extra is a HeapBuffer. Any thread, as L lets them; it may be moved while nobody
// calls.
template <class D, class L>
class DmaBuf {
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Memory = typename D::Platform::Memory;
  static constexpr std::size_t most_name = 32;  // with its end; linux/dma-buf.h

  // `exporter`: of whichever system on D, by any address of its own: others take no buffer of it.
  explicit DmaBuf(typename D::Ref&& buffer, const void* exporter = nullptr) noexcept
      : buffer_(std::move(buffer)), exporter_(exporter) {}

  // What callers see; the blocks may have more.
  Bytes size() const noexcept { return buffer_.extra().size(); }
  const auto& buffer() const noexcept { return buffer_; }
  const void* exporter() const noexcept { return exporter_; }
  const Memory& memory() const noexcept { return buffer_.extra().memory(); }
  Memory& memory() noexcept { return buffer_.extra().memory(); }
  const HeapInfo& heap() const noexcept { return buffer_.extra().heap(); }
  std::array<char, most_name> name() noexcept {
    const Turn turn(state_.lock);
    return state_.name;
  }
  std::uint32_t open_brackets() noexcept {
    const Turn turn(state_.lock);
    return state_.brackets.open();
  }

  // SYNC, SET_NAME (both of its numbers). Others: ENOTTY, and nothing of the caller's is looked at.
  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    using SyncEntry = Entry<'b', 0, Direction::write, SyncWire, &DmaBuf::template sync<C>>;
    if (is_set_name(command)) return set_name(call, argument);
    if (command != SyncEntry::command(call.word())) return Errno::no_such_command;
    return CommandTable<Matching::code, SyncEntry>::serve(*this, call, command, argument);
  }

  // From one end, and nowhere between: so callers learn the length.
  Answer seek(std::int64_t offset, Whence whence) const noexcept {
    if (whence == Whence::current || offset != 0) return Errno::invalid;
    return Answer(whence == Whence::end ? static_cast<std::int64_t>(size().value()) : 0);
  }
  // A mapping that is counted, for a process whose mappings are known. Errors: those of its extra's map_program; EINVAL: its
  // heap maps it to no process as it is cached now.
  auto map_for_process(Errno& error) const noexcept {
    auto map = D::Extra::map_program(buffer_, error);
    const bool is_uncached = map && buffer_.device().info(buffer_).cacheability != Cacheability::cached;  // and stays so
    if (is_uncached && !heap().maps_uncached) error = Errno::invalid, map.reset();
    return map;
  }
  // May these bytes be mapped? EINVAL: they are not all in the buffer.
  Answer map(std::uint64_t offset, std::uint64_t length) const noexcept {
    const std::uint64_t all = size().value();
    return length > all || offset > all - length ? Answer(Errno::invalid) : done;
  }

 private:
  struct Sync {
    std::uint64_t flags = 0;
  };
  using SyncWire = Wire<Sync, Field<&Sync::flags, FieldType::u64>>;

  template <class C>
  Outcome<> sync(C&, Sync& sync) noexcept {
    {
      const Turn turn(state_.lock);
      if (!state_.brackets.change(sync.flags)) return Errno::invalid;
    }
    memory().sync(sync.flags);
    return done;
  }

  // Its argument is the text itself, whatever length its number says (one, that of a pointer, and those of u32 and u64).
  static constexpr bool is_set_name(Command command) noexcept {
    return command == Command::of(Direction::write, 'b', 1, 4) || command == Command::of(Direction::write, 'b', 1, 8);
  }
  // A page at a time: nobody promised that there is more behind the text's end.
  template <class C>
  Answer set_name(C& call, std::uint64_t address) noexcept {
    std::array<char, most_name> name{};
    std::array<std::byte, most_name> bytes{};
    for (std::size_t at = 0; at < most_name;) {
      const std::size_t in_page = 4096 - static_cast<std::size_t>((address + at) & 4095);
      const std::span<std::byte> part(bytes.data() + at, in_page < most_name - at ? in_page : most_name - at);
      if (!call.copy_in(part, address + at)) return Errno::fault;
      for (const std::byte one : part) {
        if (one == std::byte{0}) return keep(name), done;
        name[at++] = static_cast<char>(one);
      }
    }
    return Errno::invalid;
  }

  void keep(const std::array<char, most_name>& name) noexcept {
    const Turn turn(state_.lock);
    state_.name = name;
  }

  // Its lock stays behind when it moves.
  struct State {
    State() noexcept = default;
    State(State&& other) noexcept : brackets(other.brackets), name(other.name) {}

    OwnLock<L> lock;
    AccessBrackets brackets;
    std::array<char, most_name> name = {};
  };

  typename D::Ref buffer_;
  const void* exporter_;
  State state_;
};

}  // namespace freestone::device
