// /dev/msm_ion_test, by which programs call ION as drivers in the kernel do. (shared/spec: ION 1.6, 1.7.)
//
// Magic, numbers and names of its commands are the specification's. It tells of no struct, so the layouts here are our own, one
// for callers of 32 and of 64 bits; a program that was built for the original needs its structs changed to these.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command_table.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/device/ion/heaps.hpp>
#include <freestone/device/ion/kernel_buffer.hpp>
#include <freestone/device/ion/pieces.hpp>
#include <freestone/device/ion/secure_heap.hpp>
#include <freestone/device/wire.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// KCLIENT_CREATE's
struct IonTestClient {
  std::uint64_t name = 0;   // where the text is in the caller's memory, which ends with a zero; 0: there is none
  std::uint32_t types = 0;  // of heaps, that he may use
  std::uint32_t padding = 0;
};
using IonTestClientWire = Wire<IonTestClient, Field<&IonTestClient::name, FieldType::u64>,
                               Field<&IonTestClient::types, FieldType::u32>, Field<&IonTestClient::padding, FieldType::u32>>;

// KALLOC's and FIND_PROPER_HEAP's: an ALLOC without its handle, which stays in the kernel.
using IonTestAllocationWire =
    Wire<IonAllocation, Field<&IonAllocation::length, FieldType::u64>, Field<&IonAllocation::align, FieldType::u64>,
         Field<&IonAllocation::heap_mask, FieldType::u32>, Field<&IonAllocation::flags, FieldType::u32>>;

// KPHYS'
struct IonTestPlace {
  std::uint64_t address = 0;
  std::uint64_t length = 0;
};
using IonTestPlaceWire =
    Wire<IonTestPlace, Field<&IonTestPlace::address, FieldType::u64>, Field<&IonTestPlace::length, FieldType::u64>>;

// SEC's and UNSEC's, which looks at the mask alone.
struct IonTestSecuring {
  std::uint32_t heap_mask = 0;  // one bit
  std::uint32_t version = 0;    // of the monitor's call: 1 or 2
  std::uint64_t data = 0;       // version 2's: usage
};
using IonTestSecuringWire = Wire<IonTestSecuring, Field<&IonTestSecuring::heap_mask, FieldType::u32>,
                                 Field<&IonTestSecuring::version, FieldType::u32>, Field<&IonTestSecuring::data, FieldType::u64>>;

// Those that are one number: UIMPORT's descriptor, KMAP's `seen`, the seed of WRITE_VERIFY and VERIFY, UBUF_FLAGS' flags; and
// UBUF_SIZE's bytes.
struct IonTestNumber {
  std::uint64_t value = 0;
};
template <FieldType type>
using IonTestNumberWire = Wire<IonTestNumber, Field<&IonTestNumber::value, type>>;

// Of those without an argument.
struct IonTestNothing {};
struct IonTestNothingWire {
  using Struct = IonTestNothing;
  static constexpr std::size_t most_length = 0;
  static constexpr std::size_t length(WordSize) noexcept { return 0; }
  static constexpr Struct read(std::span<const std::byte>, WordSize) noexcept { return {}; }
  static constexpr void write(const Struct&, std::span<std::byte>, WordSize) noexcept {}
};

// KMAP's number: how the kernel shall see the buffer.
namespace ion_test_seen {
inline constexpr std::uint64_t as_it_is = 0, cached = 1, uncached = 2;
}

// The pattern: what the buffer's 32-bit number in place `at` (counted from 0) is.
constexpr std::uint32_t ion_test_pattern(std::uint32_t seed, std::size_t at) noexcept {
  return seed + static_cast<std::uint32_t>(at);
}

// The node, opened: a client of the IonKernel K's, one buffer of his, and the kernel's mapping of it, each of which the caller
// makes and ends, or the file's end. What a driver may he may: any heap, and he learns where memory lies. So a board's mode for
// this node lets testers in and nobody else.
//
// One command at a time is served: the lock is held while heaps, monitor and hooks work (L should be one that sleeps), and not
// while the caller's memory is copied; it comes before all others. K outlives it; it stays where it is. Any thread.
template <class K, class L>
class IonMsmTestFile {
  using Turn = typename OwnLock<L>::Turn;
  using Client = typename K::Client;
  using Device = std::remove_pointer_t<decltype(K::Heaps::device)>;
  using Words = std::span<volatile std::uint32_t>;  // programs may write there too

 public:
  using Buffer = typename K::Buffer;

  explicit IonMsmTestFile(K& kernel) noexcept : kernel_(kernel) {}
  IonMsmTestFile(const IonMsmTestFile&) = delete;
  IonMsmTestFile& operator=(const IonMsmTestFile&) = delete;
  // A heap that the monitor will not unsecure stays as it is, until some driver has it unsecured.
  ~IonMsmTestFile() {
    static_cast<void>(end_client());
    for (unsigned heap = 0; heap < secured_.size(); ++heap) {
      for (; secured_[heap] != 0; --secured_[heap]) static_cast<void>(kernel_.unsecure_heap(std::uint32_t{1} << heap));
    }
  }

  // A command that fails has changed nothing. Errors: EFAULT; ENOTTY, EINVAL: Matching::code's; EINVAL: what it needs (client,
  // buffer, mapping) is not there; EEXIST: what it would make is; the kernel API's.
  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    return Commands<C>::serve(*this, call, command, argument);
  }

 private:
  // --- the client ---

  template <class C>
  Outcome<> create_client(C& call, IonTestClient& wanted) noexcept {
    std::array<char, Client::most_name> name{};
    if (wanted.name != 0 && !copy_text(call, wanted.name, name)) return Errno::fault;
    const Turn turn(lock_);
    if (client_ != nullptr) return Errno::exists;
    Client* made = nullptr;
    const Errno wrong = kernel_.client_create(wanted.types, wanted.name != 0 ? name.data() : nullptr, made);
    if (wrong == Errno::none) client_ = made;
    return wrong;
  }
  // Byte by byte: nobody promised that there is more behind its end. What is longer than `to` is cut off.
  template <class C>
  static bool copy_text(C& call, std::uint64_t address, std::span<char> to) noexcept {
    for (std::size_t at = 0; at + 1 < to.size(); ++at) {
      std::array<std::byte, 1> one{};
      if (!call.copy_in(one, address + at)) return false;
      if (one[0] == std::byte{0}) return true;
      to[at] = static_cast<char>(one[0]);
    }
    return true;
  }
  // Buffer and mapping end with it.
  template <class C>
  Outcome<> destroy_client(C&, IonTestNothing&) noexcept {
    const Turn turn(lock_);
    return end_client();
  }
  Errno end_client() noexcept {
    forget_buffer();
    return kernel_.client_destroy(std::exchange(client_, nullptr));
  }

  // --- his buffer ---

  template <class C>
  Outcome<> allocate(C&, IonAllocation& wanted) noexcept {
    return take_buffer([&](Client& client, auto& handle) { return kernel_.alloc(client, in_kernel(wanted), handle); });
  }
  // Of this device, whichever exporter's.
  template <class C>
  Outcome<> import(C& call, IonTestNumber& fd) noexcept {
    return call.template with_writable_buffer<Buffer>(static_cast<std::int32_t>(fd.value), nullptr, [&](Buffer& shared) {
      return Answer(take_buffer([&](Client& client, auto& handle) { return kernel_.import_dma_buf(client, shared, handle); }));
    });
  }
  // Made here or imported. Where it is mapped its heap notes that.
  template <class C>
  Outcome<> free(C&, IonTestNothing&) noexcept {
    return with_buffer([&](Client& client) {
      const Errno wrong = kernel_.free(client, buffer_);
      if (wrong == Errno::none) forget_buffer();
      return wrong;
    });
  }
  template <class C>
  Outcome<> phys(C&, IonTestPlace& place) noexcept {
    return with_buffer([&](Client& client) {
      PhysicalPiece piece;
      const Errno wrong = kernel_.phys(client, buffer_, piece);
      place = {piece.address.value(), piece.length.value()};
      return wrong;
    });
  }
  template <class C>
  Outcome<> get_flags(C&, IonTestNumber& number) noexcept {
    return with_buffer([&](Client& client) {
      std::uint32_t flags = 0;
      const Errno wrong = kernel_.handle_get_flags(client, buffer_, flags);
      number.value = flags;
      return wrong;
    });
  }
  template <class C>
  Outcome<> get_size(C&, IonTestNumber& number) noexcept {
    return with_buffer([&](Client& client) {
      Bytes size = {};
      const Errno wrong = kernel_.handle_get_size(client, buffer_, size);
      number.value = size.value();
      return wrong;
    });
  }
  // The mask becomes the bit of the heap that KALLOC would have it of just now. It is found by doing so; what was allocated is
  // gone again.
  template <class C>
  Outcome<> find_heap(C&, IonAllocation& wanted) noexcept {
    return with_client([&](Client& client) {
      typename K::Handle trial = 0;
      if (const Errno wrong = kernel_.alloc(client, in_kernel(wanted), trial); wrong != Errno::none) return wrong;
      std::optional<Buffer> buffer;
      const Errno wrong = kernel_.share_dma_buf(client, trial, buffer);
      if (wrong == Errno::none) wanted.heap_mask = std::uint32_t{1} << buffer->heap().id;
      static_cast<void>(kernel_.free(client, trial));
      return wrong;
    });
  }
  static IonWanted in_kernel(const IonAllocation& wanted) noexcept {
    return {.length = wanted.length, .align = wanted.align, .mask = wanted.heap_mask, .flags = wanted.flags};
  }

  // --- the kernel's mapping of it ---

  // Counted, as the kernel counts: it is there until KUMAP was called as often. Where it is nobody is told.
  template <class C>
  Outcome<> map(C&, IonTestNumber& seen) noexcept {
    if (seen.value > ion_test_seen::uncached) return Errno::invalid;
    std::optional<Cacheability> wanted;
    if (seen.value == ion_test_seen::cached) wanted = Cacheability::cached;
    if (seen.value == ion_test_seen::uncached) wanted = Cacheability::uncached;
    return with_buffer([&](Client& client) {
      void* address = nullptr;
      const Errno wrong = kernel_.map_kernel(client, buffer_, wanted, address);
      if (wrong == Errno::none) address_ = address, ++maps_;
      return wrong;
    });
  }
  template <class C>
  Outcome<> unmap(C&, IonTestNothing&) noexcept {
    return with_buffer([&](Client& client) {
      if (maps_ == 0) return Errno::invalid;
      --maps_;
      return kernel_.unmap_kernel(client, buffer_).error();
    });
  }
  // Both of all of it. Errors: EAGAIN: it is secured; IonBuffer's map_user's; EIO: what was written is not what is read.
  template <class C>
  Outcome<> write_verify(C&, IonTestNumber& seed) noexcept {
    return with_words([&](Words words) {
      for (std::size_t at = 0; at < words.size(); ++at) words[at] = ion_test_pattern(static_cast<std::uint32_t>(seed.value), at);
      return check(words, seed);
    });
  }
  // Errors: as those; EIO: another pattern, or none, is there.
  template <class C>
  Outcome<> verify(C&, IonTestNumber& seed) noexcept {
    return with_words([&](Words words) { return check(words, seed); });
  }
  static Errno check(Words words, const IonTestNumber& seed) noexcept {
    for (std::size_t at = 0; at < words.size(); ++at) {
      if (words[at] != ion_test_pattern(static_cast<std::uint32_t>(seed.value), at)) return Errno::io;
    }
    return Errno::none;
  }

  // --- heaps ---

  // Each time is to be undone; of one heap at most 255 are not: ENOMEM. It takes no client. Errors: EINVAL: several bits; such a
  // call the monitor has not.
  template <class C>
  Outcome<> secure(C&, IonTestSecuring& wanted) noexcept {
    if (wanted.version != 1 && wanted.version != 2) return Errno::invalid;
    const Securing as{static_cast<SecureVersion>(wanted.version), wanted.data};
    return with_heap(wanted.heap_mask, [&](std::uint8_t& times) {
      if (times == 0xff) return Errno::no_memory;
      const Errno wrong = kernel_.secure_heap(wanted.heap_mask, as);
      if (wrong == Errno::none) ++times;
      return wrong;
    });
  }
  // Errors: EINVAL: several bits; this file has not secured it as often, whoever else has.
  template <class C>
  Outcome<> unsecure(C&, IonTestSecuring& wanted) noexcept {
    return with_heap(wanted.heap_mask, [&](std::uint8_t& times) {
      if (times == 0) return Errno::invalid;
      const Errno wrong = kernel_.unsecure_heap(wanted.heap_mask);
      if (wrong == Errno::none) --times;
      return wrong;
    });
  }

  // --- what they have in common ---

  // act(client), act(client) where he has a buffer, act(words) where it is mapped, act(times) of a heap: each says what is wrong.
  template <class Act>
  Errno with_client(Act&& act) noexcept {
    const Turn turn(lock_);
    return client_ == nullptr ? Errno::invalid : act(*client_);
  }
  template <class Act>
  Errno with_buffer(Act&& act) noexcept {
    return with_client([&](Client& client) { return buffer_ == 0 ? Errno::invalid : act(client); });
  }
  // Counted as a program's mapping meanwhile: so what is secured nobody touches (EAGAIN), and what is touched nobody secures.
  template <class Act>
  Errno with_words(Act&& act) noexcept {
    return with_buffer([&](Client& client) {
      if (maps_ == 0) return Errno::invalid;
      std::optional<Buffer> own;
      if (const Errno wrong = kernel_.share_dma_buf(client, buffer_, own); wrong != Errno::none) return wrong;
      Errno hidden = Errno::none;
      const auto looked_at = IonUserMap<Device>::make(own->buffer(), hidden);
      if (!looked_at) return hidden;
      return act(Words(static_cast<std::uint32_t*>(address_), static_cast<std::size_t>(own->size().value() / sizeof(std::uint32_t))));
    });
  }
  template <class Act>
  Errno with_heap(std::uint32_t mask, Act&& act) noexcept {
    const Turn turn(lock_);
    return bits::is_power_of_two(mask) ? act(secured_[bits::lowest_bit(mask)]) : Errno::invalid;
  }
  // make(client, handle) gives him one.
  template <class Make>
  Errno take_buffer(Make&& make) noexcept {
    return with_client([&](Client& client) {
      if (buffer_ != 0) return Errno::exists;
      typename K::Handle made = 0;
      const Errno wrong = make(client, made);
      if (wrong == Errno::none) buffer_ = made;
      return wrong;
    });
  }
  void forget_buffer() noexcept {
    buffer_ = 0;
    maps_ = 0;
  }

  template <class C>
  using Commands = CommandTable<
      Matching::code,  //
      Entry<'M', 0, Direction::write, IonTestClientWire, &IonMsmTestFile::template create_client<C>>,
      Entry<'M', 1, Direction::none, IonTestNothingWire, &IonMsmTestFile::template destroy_client<C>>,
      Entry<'M', 2, Direction::write, IonTestAllocationWire, &IonMsmTestFile::template allocate<C>>,
      Entry<'M', 3, Direction::none, IonTestNothingWire, &IonMsmTestFile::template free<C>>,
      Entry<'M', 4, Direction::read, IonTestPlaceWire, &IonMsmTestFile::template phys<C>>,
      Entry<'M', 5, Direction::write, IonTestNumberWire<FieldType::u32>, &IonMsmTestFile::template map<C>>,
      Entry<'M', 6, Direction::none, IonTestNothingWire, &IonMsmTestFile::template unmap<C>>,
      Entry<'M', 7, Direction::write, IonTestNumberWire<FieldType::s32>, &IonMsmTestFile::template import<C>>,
      Entry<'M', 8, Direction::write, IonTestNumberWire<FieldType::u32>, &IonMsmTestFile::template write_verify<C>>,
      Entry<'M', 9, Direction::write, IonTestNumberWire<FieldType::u32>, &IonMsmTestFile::template verify<C>>,
      Entry<'M', 10, Direction::read, IonTestNumberWire<FieldType::u32>, &IonMsmTestFile::template get_flags<C>>,
      Entry<'M', 11, Direction::read, IonTestNumberWire<FieldType::u64>, &IonMsmTestFile::template get_size<C>>,
      Entry<'M', 12, Direction::write, IonTestSecuringWire, &IonMsmTestFile::template secure<C>>,
      Entry<'M', 13, Direction::write, IonTestSecuringWire, &IonMsmTestFile::template unsecure<C>>,
      Entry<'M', 14, Direction::both, IonTestAllocationWire, &IonMsmTestFile::template find_heap<C>>>;

  K& kernel_;
  OwnLock<L> lock_;
  Client* client_ = nullptr;
  typename K::Handle buffer_ = 0;  // 0: none; it is the client's
  void* address_ = nullptr;        // while maps_ is not 0
  std::uint32_t maps_ = 0;
  std::array<std::uint8_t, 32> secured_ = {};  // of each heap, how often
};

}  // namespace freestone::device
