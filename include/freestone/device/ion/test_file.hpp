// /dev/ion-test, by which programs see a buffer as a device and as the kernel does. (shared/spec: ION 1.6.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <freestone/device/answer.hpp>
#include <freestone/device/command_table.hpp>
#include <freestone/device/dma_buf.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/wire.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// struct ion_test_rw_data
struct IonTestCopy {
  std::uint64_t address = 0;  // of the caller's bytes
  std::uint64_t offset = 0;   // in the buffer
  std::uint64_t length = 0;
  std::int32_t is_write = 0;  // into the buffer; 0: out of it
  std::int32_t padding = 0;
};
using IonTestCopyWire = Wire<IonTestCopy, Field<&IonTestCopy::address, FieldType::u64>, Field<&IonTestCopy::offset, FieldType::u64>,
                             Field<&IonTestCopy::length, FieldType::u64>, Field<&IonTestCopy::is_write, FieldType::s32>,
                             Field<&IonTestCopy::padding, FieldType::s32>>;

// The node, opened: it has one buffer at a time, of any exporter's, for as long as it likes. The platform's Memory has read and
// write, `bool(std::uint64_t offset, span)`. Any thread; it stays where it is.
template <class D, class L>
class IonTestFile {
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Buffer = DmaBuf<D, L>;

  IonTestFile() noexcept = default;
  IonTestFile(const IonTestFile&) = delete;
  IonTestFile& operator=(const IonTestFile&) = delete;

  // SET_FD: the buffer is that of the descriptor `argument`; -1: none. EBADF, EINVAL: no buffer's; EACCES: one that
  // is not for reading and writing. DMA_MAPPING and KERNEL_MAPPING copy: EINVAL: there is no buffer, or the bytes are not all in it;
  // EFAULT: those before the fault are copied.
  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    using Commands = CommandTable<Matching::struct_length,
                                  Entry<'I', 0xf1, Direction::write, IonTestCopyWire, &IonTestFile::template copy<C>>,
                                  Entry<'I', 0xf2, Direction::write, IonTestCopyWire, &IonTestFile::template copy<C>>>;
    constexpr Command set_fd = Command::of(Direction::none, 'I', 0xf0, 0);
    return command == set_fd ? attach(call, static_cast<std::int32_t>(argument)) : Commands::serve(*this, call, command, argument);
  }

 private:
  template <class C>
  Answer attach(C& call, std::int32_t fd) noexcept {
    typename D::Ref next;
    Answer found = done;
    if (fd != -1) {
      found = call.template with_writable_buffer<Buffer>(fd, nullptr, [&](Buffer& buffer) { return hold(buffer.buffer(), next); });
    }
    if (found.is_error()) return found;
    const Turn turn(lock_);
    std::swap(buffer_, next);
    return done;  // what it had before ends under no lock
  }
  static Answer hold(const typename D::Ref& buffer, typename D::Ref& own) noexcept {
    auto hold = buffer.device().ref(buffer.id());
    if (!hold) return Errno::no_memory;
    own = *std::move(hold);
    return done;
  }

  template <class C>
  Outcome<> copy(C& call, IonTestCopy& wanted) noexcept {
    typename D::Ref buffer;
    {
      const Turn turn(lock_);
      if (!buffer_) return Errno::invalid;
      if (const Answer held = hold(buffer_, buffer); held.is_error()) return held;
    }
    const std::uint64_t size = buffer.extra().size().value();
    if (wanted.length > size || wanted.offset > size - wanted.length) return Errno::invalid;
    return wanted.is_write != 0 ? copy_in(call, wanted, buffer.extra().memory()) : copy_out(call, wanted, buffer.extra().memory());
  }
  template <class C, class M>
  static Errno copy_in(C& call, const IonTestCopy& wanted, M& memory) noexcept {
    return each_part(wanted, [&](std::uint64_t address, std::uint64_t offset, std::span<std::byte> part) {
      return call.copy_in(part, address) && memory.write(offset, part);
    });
  }
  template <class C, class M>
  static Errno copy_out(C& call, const IonTestCopy& wanted, M& memory) noexcept {
    return each_part(wanted, [&](std::uint64_t address, std::uint64_t offset, std::span<std::byte> part) {
      return memory.read(offset, part) && call.copy_out(address, part);
    });
  }
  // act(address, offset, bytes), a few hundred at a time. EFAULT where it says no.
  template <class Act>
  static Errno each_part(const IonTestCopy& wanted, Act&& act) noexcept {
    std::array<std::byte, 256> bytes;
    for (std::uint64_t at = 0; at < wanted.length;) {
      const std::uint64_t rest = wanted.length - at;
      const auto part = std::span(bytes).first(rest < bytes.size() ? static_cast<std::size_t>(rest) : bytes.size());
      if (!act(wanted.address + at, wanted.offset + at, part)) return Errno::fault;
      at += part.size();
    }
    return Errno::none;
  }

  OwnLock<L> lock_;
  typename D::Ref buffer_;
};

}  // namespace freestone::device
