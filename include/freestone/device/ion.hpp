// ION, generation G4 (Linux 4.12 to 5.10): no clients and no handles; an allocation answers with a buffer as a file.
// (shared/spec: ION 1.4, 3.)
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
#include <freestone/device/file_heap.hpp>
#include <freestone/device/own_client.hpp>
#include <freestone/device/wire.hpp>
#include <freestone/share/client.hpp>

namespace freestone::device {

// struct ion_allocation_data
struct IonAllocation {
  std::uint64_t length = 0;
  std::uint32_t heap_mask = 0;
  std::uint32_t flags = 0;
  std::uint32_t fd = 0;
  std::uint32_t unused = 0;
};
using IonAllocationWire =
    Wire<IonAllocation, Field<&IonAllocation::length, FieldType::u64>, Field<&IonAllocation::heap_mask, FieldType::u32>,
         Field<&IonAllocation::flags, FieldType::u32>, Field<&IonAllocation::fd, FieldType::u32>,
         Field<&IonAllocation::unused, FieldType::u32>>;

// struct ion_heap_query
struct IonQuery {
  std::uint32_t count = 0;
  std::uint32_t reserved0 = 0;
  std::uint64_t heaps = 0;
  std::uint32_t reserved1 = 0;
  std::uint32_t reserved2 = 0;
};
using IonQueryWire = Wire<IonQuery, Field<&IonQuery::count, FieldType::u32>, Field<&IonQuery::reserved0, FieldType::u32>,
                          Field<&IonQuery::heaps, FieldType::u64>, Field<&IonQuery::reserved1, FieldType::u32>,
                          Field<&IonQuery::reserved2, FieldType::u32>>;

// struct ion_heap_data, but for its name, which stands before these in 32 bytes.
struct IonHeapRecord {
  std::uint32_t type = 0;
  std::uint32_t id = 0;
  std::uint32_t reserved0 = 0;
  std::uint32_t reserved1 = 0;
  std::uint32_t reserved2 = 0;
};
using IonHeapRecordWire = Wire<IonHeapRecord, Field<&IonHeapRecord::type, FieldType::u32>,
                               Field<&IonHeapRecord::id, FieldType::u32>, Field<&IonHeapRecord::reserved0, FieldType::u32>,
                               Field<&IonHeapRecord::reserved1, FieldType::u32>,
                               Field<&IonHeapRecord::reserved2, FieldType::u32>>;

// u32; Android's
struct IonVersion {
  std::uint32_t number = 0;
};
using IonVersionWire = Wire<IonVersion, Field<&IonVersion::number, FieldType::u32>>;

// A board's heaps, as /dev/ion walks them: with the highest id first.
template <class D, class L>
struct IonHeaps {
  using Heap = FileHeap<D, L>;

  D* device;
  std::span<Heap* const> heaps;
  std::uint32_t abi_version = 0;  // what ABI_VERSION answers; 0: mainline, which has no such command
};

// /dev/ion, opened.
template <class D, class L>
class IonFile {
 public:
  using Heaps = IonHeaps<D, L>;
  using Heap = typename Heaps::Heap;
  using Buffer = DmaBuf<D, L>;
  static constexpr std::size_t record_length = 52;
  static constexpr std::size_t name_length = 32;

  // The client is this file's from here on. `heaps` outlives it.
  IonFile(const Heaps& heaps, ClientId client) noexcept : heaps_(&heaps), client_(*heaps.device, client) {}

  // ALLOC, HEAP_QUERY, ABI_VERSION. All others, those of older generations too: ENOTTY, by which libraries know this one.
  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    using Commands = CommandTable<
        Matching::code,
        Entry<'I', 0, Direction::both, IonAllocationWire, &IonFile::template allocate<C>, &IonAllocation::fd>,
        Entry<'I', 8, Direction::both, IonQueryWire, &IonFile::template query<C>>,
        Entry<'I', 9, Direction::read, IonVersionWire, &IonFile::template abi_version<C>>>;
    return Commands::serve(*this, call, command, argument);
  }

 private:
  // The first heap of the mask that can. ENODEV: none is in the mask; else as the last that was asked.
  template <class C>
  Outcome<Buffer> allocate(C&, IonAllocation& wanted) noexcept {
    const auto size = whole_pages(wanted.length);
    if (!size) return Errno::invalid;
    Errno error = Errno::no_device;
    for (Heap* heap : heaps_->heaps) {
      if (heap->info().id >= 32 || (wanted.heap_mask >> heap->info().id & 1) == 0) continue;
      auto buffer = heap->allocate(client_.id(), *size);
      if (buffer) return {Buffer(*std::move(buffer)), OpenFlags{OpenFlags::read_write | OpenFlags::close_on_exec}};
      error = errno_of(buffer.error().code);
    }
    return error;
  }

  // How many heaps there are; or the records of as many as the caller has room for, and how many that were.
  template <class C>
  Outcome<> query(C& call, IonQuery& query) noexcept {
    if (query.reserved0 != 0 || query.reserved1 != 0 || query.reserved2 != 0) return Errno::invalid;
    const auto all = static_cast<std::uint32_t>(heaps_->heaps.size());
    if (query.heaps == 0) return query.count = all, done;
    if (query.count == 0) return Errno::invalid;
    if (query.count > all) query.count = all;
    for (std::uint32_t at = 0; at < query.count; ++at) {
      const auto record = record_of(heaps_->heaps[at]->info(), call.word());
      if (!call.copy_out(query.heaps + at * record_length, record)) return Errno::fault;
    }
    return done;
  }
  static std::array<std::byte, record_length> record_of(const HeapInfo& heap, WordSize word) noexcept {
    std::array<std::byte, record_length> record{};
    for (std::size_t at = 0; at + 1 < name_length && heap.name[at] != '\0'; ++at)
      record[at] = static_cast<std::byte>(heap.name[at]);
    IonHeapRecordWire::write({.type = static_cast<std::uint32_t>(heap.type), .id = heap.id},
                             std::span(record).subspan(name_length), word);
    return record;
  }

  template <class C>
  Outcome<> abi_version(C&, IonVersion& version) noexcept {
    if (heaps_->abi_version == 0) return Errno::no_such_command;
    version.number = heaps_->abi_version;
    return done;
  }

  const Heaps* heaps_;
  OwnClient<D> client_;
};

}  // namespace freestone::device
