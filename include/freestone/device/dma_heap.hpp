// Linux's dma-heap (since 5.6): a node for each heap, /dev/dma_heap/NAME, and one command, whose answer is a buffer as a
// file. (shared/spec: ION 1.5, generation G5.)
#pragma once

#include <cstdint>
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

// struct dma_heap_allocation_data
struct DmaHeapAllocation {
  std::uint64_t length = 0;
  std::uint32_t fd = 0;
  std::uint32_t fd_flags = 0;
  std::uint64_t heap_flags = 0;
};
using DmaHeapWire = Wire<DmaHeapAllocation, Field<&DmaHeapAllocation::length, FieldType::u64>,
                         Field<&DmaHeapAllocation::fd, FieldType::u32>, Field<&DmaHeapAllocation::fd_flags, FieldType::u32>,
                         Field<&DmaHeapAllocation::heap_flags, FieldType::u64>>;

// The node, opened.
template <class D, class L>
class DmaHeapFile {
 public:
  using Heap = FileHeap<D, L>;
  using Buffer = DmaBuf<D, L>;

  // The client is this file's from here on.
  DmaHeapFile(D& device, Heap& heap, ClientId client) noexcept : client_(device, client), heap_(&heap) {}

  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    using Commands = CommandTable<Matching::number, Entry<'H', 0, Direction::both, DmaHeapWire,
                                                          &DmaHeapFile::template allocate<C>, &DmaHeapAllocation::fd>>;
    return Commands::serve(*this, call, command, argument);
  }

 private:
  template <class C>
  Outcome<Buffer> allocate(C&, DmaHeapAllocation& wanted) noexcept {
    const OpenFlags flags{wanted.fd_flags};
    const bool is_known = (flags.bits & ~(OpenFlags::access_mask | OpenFlags::close_on_exec)) == 0;
    if (wanted.fd != 0 || !is_known || wanted.heap_flags != 0) return Errno::invalid;
    const auto size = whole_pages(wanted.length);
    if (!size) return Errno::invalid;
    auto buffer = heap_->allocate(client_.id(), *size);
    if (!buffer) return errno_of(buffer.error().code);
    return {Buffer(*std::move(buffer), heap_), flags};
  }

  OwnClient<D> client_;
  Heap* heap_;
};

}  // namespace freestone::device
