// ION, as each of its generations had it. Here is the last, G4 (Linux 4.12 to 5.10): no clients and no handles; an allocation
// answers with a buffer as a file. The others: ion/handle_file.hpp. (shared/spec: ION 1.)
#pragma once

#include <cstdint>
#include <utility>

#include <freestone/device/answer.hpp>
#include <freestone/device/command_table.hpp>
#include <freestone/device/dma_buf.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/device/ion/handle_file.hpp>
#include <freestone/device/ion/heaps.hpp>
#include <freestone/device/own_client.hpp>
#include <freestone/share/client.hpp>

namespace freestone::device {

// /dev/ion, opened.
template <class D, class L>
class IonFile {
 public:
  using Heaps = IonHeaps<D, L>;
  using Buffer = DmaBuf<D, L>;

  // The client is this file's from here on. `heaps` outlives it.
  IonFile(const Heaps& heaps, ClientId client) noexcept : heaps_(&heaps), client_(*heaps.device, client) {}

  // ALLOC, HEAP_QUERY, ABI_VERSION. All others, those of older generations too: ENOTTY, by which libraries know this one.
  template <class C>
  Answer ioctl(C& call, Command command, std::uint64_t argument) noexcept {
    using Commands = CommandTable<
        Matching::code,
        Entry<'I', 0, Direction::both, IonAllocationWire<IonGeneration::g4>, &IonFile::template allocate<C>, &IonAllocation::fd>,
        Entry<'I', 8, Direction::both, IonQueryWire, &IonFile::template query<C>>,
        Entry<'I', 9, Direction::read, IonVersionWire, &IonFile::template abi_version<C>>>;
    return Commands::serve(*this, call, command, argument);
  }

 private:
  template <class C>
  Outcome<Buffer> allocate(C&, IonAllocation& wanted) noexcept {
    typename D::Ref buffer;
    const Errno error = heaps_->allocate(client_.id(), {.length = wanted.length, .mask = wanted.heap_mask, .flags = wanted.flags}, buffer);
    if (error != Errno::none) return error;
    return {Buffer(std::move(buffer), heaps_), OpenFlags{OpenFlags::read_write | OpenFlags::close_on_exec}};
  }
  template <class C>
  Outcome<> query(C& call, IonQuery& query) noexcept {
    return heaps_->query(call, query);
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
