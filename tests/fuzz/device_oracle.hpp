// What a call must have answered, and which bytes of the caller's memory it must have changed, by the specification
// (shared/spec: ION 1.3 to 1.5).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "fuzz/device_programs.hpp"

namespace freestone::tests {

class Oracle {
 public:
  // Before the call.
  Oracle(FuzzScene& scene, Program& program, Open& file) : scene_(scene), program_(program), file_(file) {}

  // After it.
  void check(device::Command command, std::uint64_t address, device::Answer answer) {
    command_ = command;
    address_ = address;
    answer_ = answer;
    if (file_.buffer() != nullptr) {
      check_buffer();
    } else if (file_.is_heap_node()) {
      check_heap_node();
    } else {
      check_ion();
    }
    expect(program_.publishes <= 1, "a call makes one file at most");
    expect((program_.published != nullptr) <= (answer_ == device::done), "no descriptor is left after an error");
    expect(std::ranges::equal(program_.bytes(), program_.should_be.bytes()), "memory is changed as promised, and nowhere else");
  }

 private:
  using Errno = device::Errno;
  static constexpr std::size_t allocation_length = 24;

  void must_be(device::Answer wanted, const char* what) const {
    if (answer_ == wanted) return;
    std::fprintf(stderr, "command %08x: %lld, not %lld\n", command_.code, static_cast<long long>(answer_.value()),
                 static_cast<long long>(wanted.value()));
    expect(false, what);
  }
  // What the caller handed in, so many bytes at most of it, and zeros; false where it faults.
  bool take(std::size_t most) {
    length_ = std::min<std::size_t>(command_.length(), most);
    const std::span<std::byte> part(bytes_.data(), length_);
    return !command_.hands_in() || part.empty() || static_cast<bool>(program_.should_be.copy_in(part, address_));
  }
  std::span<const std::byte> argument() const { return {bytes_.data(), length_}; }
  template <class T>
  T at(std::size_t offset) const {
    T value{};
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  void put(std::size_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
  }
  bool goes_out(std::span<const std::byte> bytes) {
    return bytes.empty() || static_cast<bool>(program_.should_be.copy_out(address_, bytes));
  }

  // --- /dev/ion ---

  void check_ion() {
    if (command_.length() > allocation_length) return must_be(Errno::invalid, "ion: longer than any struct is EINVAL");
    if (!take(allocation_length)) return must_be(Errno::fault, "ion: a struct that cannot be read is EFAULT");
    switch (command_.code) {
      case 0xC0184900: return check_ion_allocation();
      case 0xC0184908: return check_query();
      case 0x80044909: return check_version();
      default: return must_be(Errno::no_such_command, "ion: what is unknown is ENOTTY");
    }
  }

  void check_ion_allocation() {
    const std::uint64_t size = rounded(at<std::uint64_t>(0));
    if (size == 0) return must_be(Errno::invalid, "ion: a length without pages is EINVAL");
    std::vector<FuzzHeap*> asked;
    for (FuzzHeap* heap : scene_.ion_heaps.heaps) {
      if ((at<std::uint32_t>(8) >> heap->info().id & 1) != 0) asked.push_back(heap);
    }
    if (asked.empty()) return must_be(Errno::no_device, "ion: a mask without heaps is ENODEV");
    check_file(asked, size, 0x80002, 16);
  }

  void check_query() {
    const auto count = at<std::uint32_t>(0);
    const auto heaps = at<std::uint64_t>(8);
    const auto all = static_cast<std::uint32_t>(scene_.ion_heaps.heaps.size());
    if (at<std::uint32_t>(4) != 0 || at<std::uint64_t>(16) != 0) return must_be(Errno::invalid, "query: reserved is EINVAL");
    if (heaps != 0 && count == 0) return must_be(Errno::invalid, "query: room for no heap is EINVAL");
    const std::uint32_t told = heaps == 0 ? all : std::min(count, all);
    for (std::uint32_t number = 0; heaps != 0 && number < told; ++number) {
      const auto record = record_of(scene_.ion_heaps.heaps[number]->info());
      if (!program_.should_be.copy_out(heaps + number * record.size(), record))
        return must_be(Errno::fault, "query: records that cannot be written are EFAULT");
    }
    put(0, told);
    must_be(goes_out(argument()) ? device::done : Errno::fault, "query: heaps are told, or EFAULT");
  }
  static std::array<std::byte, 52> record_of(const device::HeapInfo& heap) {
    std::array<std::byte, 52> record = {};
    const std::uint32_t numbers[] = {static_cast<std::uint32_t>(heap.type), heap.id};
    std::memcpy(record.data(), heap.name, std::strlen(heap.name));
    std::memcpy(record.data() + 32, numbers, sizeof numbers);
    return record;
  }

  void check_version() {
    const std::uint32_t version = scene_.ion_heaps.abi_version;
    if (version == 0) return must_be(Errno::no_such_command, "version: mainline has none");
    put(0, version);
    must_be(goes_out(argument()) ? device::done : Errno::fault, "version: it is told, or EFAULT");
  }

  // --- /dev/dma_heap/NAME ---

  void check_heap_node() {
    if (command_.number() != 0) return must_be(Errno::invalid, "dma-heap: another number is EINVAL");
    if (!take(allocation_length)) return must_be(Errno::fault, "dma-heap: a struct that cannot be read is EFAULT");
    const std::uint64_t size = rounded(at<std::uint64_t>(0));
    const auto flags = at<std::uint32_t>(12);
    const bool is_right = at<std::uint32_t>(8) == 0 && (flags & ~0x80003U) == 0 && at<std::uint64_t>(16) == 0 && size != 0;
    if (!is_right) return check_given_back(Errno::invalid);
    if (command_.gets_back() || answer_.is_error()) return check_file({file_.heap}, size, flags, 8);
    expect(program_.publishes == 0, "dma-heap: whom nothing is given back has no descriptor");
  }
  // The struct goes back where the command failed, too.
  void check_given_back(Errno error) {
    const bool is_given = !command_.gets_back() || goes_out(argument());
    must_be(is_given ? error : Errno::fault, "dma-heap: the struct goes back with the error, or EFAULT");
  }

  // --- what is allocated ---

  static std::uint64_t rounded(std::uint64_t length) { return (length + 4095) & ~std::uint64_t{4095}; }
  bool is_undisturbed() const { return !program_.is_interrupted && refusals_ == scene_.platform.refusals; }

  // A file of one of the heaps, of the first that has room; its number is at that place of the struct.
  void check_file(const std::vector<FuzzHeap*>& asked, std::uint64_t size, std::uint32_t flags, std::size_t number_at) {
    if (program_.publishes != 0) {
      if (program_.place == Program::most_descriptors)
        return must_be(Errno::too_many_files, "a full table of descriptors is EMFILE");
      const bool is_given = goes_out(program_.with_number(argument(), number_at));
      must_be(is_given ? device::done : Errno::fault, "a file is given, or EFAULT");
      if (is_given) check_made(asked, size, flags);
      return;
    }
    if (is_undisturbed()) {
      const Occupancy now;
      for (const FuzzHeap* heap : asked) expect(!now.has_room(heap->info(), size), "a heap with room gives it");
    }
    if (file_.is_heap_node()) return check_given_back(Errno::no_memory);
    must_be(Errno::no_memory, "no room is ENOMEM");
  }
  void check_made(const std::vector<FuzzHeap*>& asked, std::uint64_t size, std::uint32_t flags) {
    expect(program_.published != nullptr && program_.published == program_.descriptors[program_.place].get(),
           "who is told of a descriptor has it");
    FuzzBuffer* made = program_.published->buffer();
    expect(made != nullptr && made->size() == size && made->memory().size == size, "a buffer has the size in whole pages");
    expect(program_.published->flags.bits == flags, "a descriptor has the flags that it should");
    const auto heap = std::ranges::find_if(asked, [&](auto* one) { return one->info().id == made->buffer().parts().heap; });
    expect(heap != asked.end(), "a buffer is of a heap that was asked");
    std::uint64_t total = 0;
    for (const Block& block : made->buffer().parts().list()) total += block.size().value();
    expect(total >= size, "a buffer's blocks are as much as it is");
    for (auto before = asked.begin(); before != heap && is_undisturbed(); ++before)
      expect(!before_.has_room((*before)->info(), size), "the first heap that has room gives it");
  }

  // --- a buffer ---

  void check_buffer() {
    switch (command_.code) {
      case 0x40086200: check_sync(); break;
      case 0x40046201:
      case 0x40086201: check_name(); break;
      default: must_be(Errno::no_such_command, "dma-buf: what is unknown is ENOTTY");
    }
    FuzzBuffer& buffer = *file_.buffer();
    expect(buffer.open_brackets() == file_.brackets, "brackets are counted, and end without beginning counts nothing");
    expect(buffer.memory().synced.size() == file_.syncs, "memory is told of each bracket, and of nothing else");
    expect(buffer.name() == file_.name, "a buffer has the name that it was given last");
  }
  void check_sync() {
    if (!take(8)) return must_be(Errno::fault, "sync: flags that cannot be read are EFAULT");
    const auto flags = at<std::uint64_t>(0);
    if (flags > 7 || (flags & 3) == 0) return must_be(Errno::invalid, "sync: unknown flags are EINVAL");
    must_be(device::done, "sync: what is right is done");
    ++file_.syncs;
    if ((flags & 4) == 0) ++file_.brackets;
    if ((flags & 4) != 0 && file_.brackets != 0) --file_.brackets;
  }
  // The text is read as far as its end, up to a page's end at a time.
  void check_name() {
    std::array<char, 32> text = {};
    for (std::size_t done_to = 0; done_to < text.size();) {
      const std::size_t part = std::min<std::size_t>(text.size() - done_to, 4096 - ((address_ + done_to) & 4095));
      const auto to = std::as_writable_bytes(std::span(text)).subspan(done_to, part);
      if (!program_.should_be.copy_in(to, address_ + done_to)) return must_be(Errno::fault, "name: text that cannot be read is EFAULT");
      done_to += part;
      const auto end = std::find(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(done_to), '\0');
      if (end == text.begin() + static_cast<std::ptrdiff_t>(done_to)) continue;
      std::fill(end, text.end(), '\0');
      file_.name = text;
      return must_be(device::done, "name: a text with an end is taken");
    }
    must_be(Errno::invalid, "name: 32 characters are EINVAL");
  }

  FuzzScene& scene_;
  Program& program_;
  Open& file_;
  const Occupancy before_ = {};
  const unsigned refusals_ = scene_.platform.refusals;
  device::Command command_ = {};
  std::uint64_t address_ = 0;
  device::Answer answer_ = device::done;
  std::array<std::byte, 64> bytes_ = {};
  std::size_t length_ = 0;
};

}  // namespace freestone::tests
