// What a call must have answered, and which bytes of the caller's memory it must have changed, by the specification
// (shared/spec: ION 1.3 to 1.5). Of nodes with handles: device_handle_oracle.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <vector>

#include "fuzz/device_programs.hpp"

namespace freestone::tests {

// What a call answers, and why. All of them are listed, so that nobody need wonder whether one was ever seen.
struct Rule {
  Rule(device::Errno error, const char* text) : error(error), text(text) { all.push_back(this); }

  device::Errno error;
  const char* text;
  bool is_reached = false;

  static inline std::vector<Rule*> all = {};
};
namespace rules {
using enum device::Errno;
inline Rule ion_too_long{invalid, "ion: longer than any struct is EINVAL"};
inline Rule ion_unreadable{fault, "ion: a struct that cannot be read is EFAULT"};
inline Rule ion_unknown{no_such_command, "ion: what is unknown is ENOTTY"};
inline Rule ion_no_pages{invalid, "ion: a length without pages is EINVAL"};
inline Rule ion_no_heap{no_device, "ion: a mask without heaps is ENODEV"};
inline Rule ion_no_room{no_memory, "ion: no room is ENOMEM"};
inline Rule ion_no_descriptor{too_many_files, "ion: a full table of descriptors is EMFILE"};
inline Rule ion_untold{fault, "ion: whom his descriptor cannot be told has EFAULT"};
inline Rule ion_given{none, "ion: a buffer is given"};
inline Rule query_reserved{invalid, "query: a reserved field is EINVAL"};
inline Rule query_no_room{invalid, "query: room for no heap is EINVAL"};
inline Rule query_no_records{fault, "query: records that cannot be written are EFAULT"};
inline Rule query_untold{fault, "query: a count that cannot be written is EFAULT"};
inline Rule query_counted{none, "query: heaps are counted"};
inline Rule query_told{none, "query: as many heaps are told as there is room for"};
inline Rule query_all_told{none, "query: no more heaps are told than there are"};
inline Rule version_unknown{no_such_command, "version: of mainline it is ENOTTY"};
inline Rule version_untold{fault, "version: one that cannot be written is EFAULT"};
inline Rule version_told{none, "version: it is told"};
inline Rule heap_unknown{invalid, "dma-heap: another number is EINVAL"};
inline Rule heap_unreadable{fault, "dma-heap: a struct that cannot be read is EFAULT"};
inline Rule heap_wrong{invalid, "dma-heap: wrong fields, or no pages, are EINVAL"};
inline Rule heap_no_room{no_memory, "dma-heap: no room is ENOMEM"};
inline Rule heap_no_descriptor{too_many_files, "dma-heap: a full table of descriptors is EMFILE"};
inline Rule heap_error_untold{fault, "dma-heap: the struct goes back with an error, too, or it is EFAULT"};
inline Rule heap_untold{fault, "dma-heap: whom his descriptor cannot be told has EFAULT"};
inline Rule heap_given{none, "dma-heap: a buffer is given"};
inline Rule heap_unheard{none, "dma-heap: who wants nothing back has no descriptor"};
inline Rule buffer_unknown{no_such_command, "dma-buf: what is unknown is ENOTTY"};
inline Rule sync_unreadable{fault, "sync: flags that cannot be read are EFAULT"};
inline Rule sync_wrong{invalid, "sync: unknown flags are EINVAL"};
inline Rule sync_done{none, "sync: what is right is done"};
inline Rule name_unreadable{fault, "name: a text that cannot be read is EFAULT"};
inline Rule name_endless{invalid, "name: 32 characters are EINVAL"};
inline Rule name_taken{none, "name: a text with an end is taken"};
inline Rule seek_told{none, "lseek: from an end the length is told"};
inline Rule seek_between{invalid, "lseek: between the ends is EINVAL"};
inline Rule map_inside{none, "mmap: what lies in the buffer is mapped"};
inline Rule map_outside{invalid, "mmap: what does not lie in the buffer is EINVAL"};
inline Rule map_wrapped{invalid, "mmap: offset and length that wrap are EINVAL"};
inline Rule open_done{none, "open: there is room for another client, and owner"};
inline Rule open_full{no_memory, "open: there is no room for another client, or owner"};
}  // namespace rules

// `value`: where there is no error.
inline void must_be(Rule& rule, device::Answer answer, std::int64_t value = 0) {
  rule.is_reached = true;
  const device::Answer wanted = rule.error == device::Errno::none ? device::Answer(value) : device::Answer(rule.error);
  if (answer == wanted) return;
  std::fprintf(stderr, "answered %lld, not %lld\n", static_cast<long long>(answer.value()), static_cast<long long>(wanted.value()));
  expect(false, rule.text);
}

// What calls of all nodes have in common.
class CallOracle {
 protected:
  // Before the call.
  CallOracle(FuzzScene& scene, Program& program, Open& file) : scene_(scene), program_(program), file_(file) {}

  void begin(device::Command command, std::uint64_t address, device::Answer answer) {
    command_ = command;
    address_ = address;
    answer_ = answer;
  }
  void check_all() const {
    expect(program_.publishes <= 1, "a call makes one file at most");
    expect((program_.published != nullptr) <= (answer_ == device::done), "no descriptor is left after an error");
    expect(std::memcmp(program_.bytes().data(), program_.should_be.bytes().data(), Caller::length) == 0,
           "memory is changed as promised, and nowhere else");
  }

  static constexpr std::size_t allocation_length = 24;

  void must_be(Rule& rule, std::int64_t value = 0) const { tests::must_be(rule, answer_, value); }
  // What the caller handed in, so many bytes at most of it, and zeros; false where it faults.
  bool take(std::size_t most) {
    length_ = std::min<std::size_t>(command_.length(), most);
    return take_all();
  }
  bool take_all() {
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
  void put(std::uint32_t value) { std::memcpy(bytes_.data(), &value, sizeof value); }
  bool goes_out(std::span<const std::byte> bytes) {
    return bytes.empty() || static_cast<bool>(program_.should_be.copy_out(address_, bytes));
  }

  void check_query() {
    const auto count = at<std::uint32_t>(0);
    const auto records = at<std::uint64_t>(8);
    const auto heaps = static_cast<std::uint32_t>(file_.heaps->heaps.size());
    if (at<std::uint32_t>(4) != 0 || at<std::uint64_t>(16) != 0) return must_be(rules::query_reserved);
    if (records != 0 && count == 0) return must_be(rules::query_no_room);
    const std::uint32_t told = records == 0 ? heaps : std::min(count, heaps);
    for (std::uint32_t number = 0; records != 0 && number < told; ++number) {
      const auto record = record_of(file_.heaps->heaps[number]->info());
      if (!program_.should_be.copy_out(records + number * record.size(), record)) return must_be(rules::query_no_records);
    }
    put(told);
    if (!goes_out(argument())) return must_be(rules::query_untold);
    must_be(records == 0 ? rules::query_counted : count > heaps ? rules::query_all_told : rules::query_told);
  }
  static std::array<std::byte, 52> record_of(const device::HeapInfo& heap) {
    std::array<std::byte, 52> record = {};
    const std::uint32_t numbers[] = {static_cast<std::uint32_t>(heap.type), heap.id};
    std::memcpy(record.data(), heap.name, std::strlen(heap.name));
    std::memcpy(record.data() + 32, numbers, sizeof numbers);
    return record;
  }

  // --- what is allocated ---

  static std::uint64_t rounded(std::uint64_t length) { return (length + 4095) & ~std::uint64_t{4095}; }
  bool is_undisturbed() const { return !program_.is_interrupted && refusals_ == scene_.platform.refusals; }

  // A heap that was asked, and at which alignment.
  struct Asked {
    FuzzHeap* heap;
    std::uint64_t align = 4096;
    bool is_refused = false;
  };
  void check_no_room(const std::vector<Asked>& asked, std::uint64_t size) const {
    if (!is_undisturbed()) return;
    const Occupancy now;
    for (const Asked& one : asked)
      expect(one.is_refused || !now.has_room(one.heap->info(), size, one.align), "a heap with room gives it");
  }
  // It is of one of the heaps, of the first that had room.
  void check_buffer_given(const std::vector<Asked>& asked, std::uint64_t size, const Known& made) const {
    expect(made.size == size, "a buffer has the size in whole pages");
    const auto heap = std::ranges::find_if(asked, [&](const Asked& one) { return one.heap->info().id == made.heap; });
    expect(heap != asked.end() && !heap->is_refused, "a buffer is of a heap that was asked");
    expect(size <= Occupancy::most_of(heap->heap->info()), "a buffer is no larger than its heap gives them");
    std::uint64_t total = 0;
    for (const Block& block : made.blocks) total += block.size().value();
    expect(total >= size, "a buffer's blocks are as much as it is");
    const bool is_aligned = heap->align <= 4096 || made.blocks.front().offset().value() % heap->align == 0;
    expect(is_aligned, "a carveout's buffer is aligned as was asked");
    for (auto before = asked.begin(); before != heap && is_undisturbed(); ++before)
      expect(before->is_refused || !before_.has_room(before->heap->info(), size, before->align), "the first heap that has room gives it");
  }
  void check_file_given(std::uint32_t flags) const {
    expect(program_.published != nullptr && program_.published == program_.descriptors[program_.place].get(),
           "who is told of a descriptor has it");
    expect(program_.published->flags.bits == flags, "a descriptor has the flags that it should");
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

// Of G4's node, of dma-heap's, and of buffers.
class Oracle : public CallOracle {
 public:
  Oracle(FuzzScene& scene, Program& program, Open& file) : CallOracle(scene, program, file) {}

  // After it.
  void check(device::Command command, std::uint64_t address, device::Answer answer) {
    begin(command, address, answer);
    switch (file_.kind()) {
      case FileKind::ion: check_ion(); break;
      case FileKind::heap_node: check_heap_node(); break;
      default: check_buffer(); break;
    }
    check_all();
  }

 private:
  // --- /dev/ion ---

  void check_ion() {
    if (command_.length() > allocation_length) return must_be(rules::ion_too_long);
    if (!take(allocation_length)) return must_be(rules::ion_unreadable);
    switch (command_.code) {
      case 0xC0184900: return check_ion_allocation();
      case 0xC0184908: return check_query();
      case 0x80044909: return check_version();
      default: return must_be(rules::ion_unknown);
    }
  }

  void check_ion_allocation() {
    const std::uint64_t size = rounded(at<std::uint64_t>(0));
    if (size == 0) return must_be(rules::ion_no_pages);
    std::vector<Asked> asked;
    for (FuzzHeap* heap : file_.heaps->heaps) {
      if ((at<std::uint32_t>(8) >> heap->info().id & 1) != 0) asked.push_back({heap});
    }
    if (asked.empty()) return must_be(rules::ion_no_heap);
    if (program_.publishes == 0) return check_no_room(asked, size), must_be(rules::ion_no_room);
    if (program_.place == Program::most_descriptors) return must_be(rules::ion_no_descriptor);
    if (!goes_out(program_.with_number(argument(), 16))) return must_be(rules::ion_untold);
    must_be(rules::ion_given);
    check_given(asked, size, 0x80002);
  }

  void check_version() {
    const std::uint32_t version = file_.heaps->abi_version;
    if (version == 0) return must_be(rules::version_unknown);
    put(version);
    must_be(goes_out(argument()) ? rules::version_told : rules::version_untold);
  }

  // --- /dev/dma_heap/NAME ---

  void check_heap_node() {
    if (command_.number() != 0) return must_be(rules::heap_unknown);
    if (!take(allocation_length)) return must_be(rules::heap_unreadable);
    const std::uint64_t size = rounded(at<std::uint64_t>(0));
    const auto flags = at<std::uint32_t>(12);
    const bool is_right = at<std::uint32_t>(8) == 0 && (flags & ~0x80003U) == 0 && at<std::uint64_t>(16) == 0 && size != 0;
    if (!is_right) return check_given_back(rules::heap_wrong);
    if (program_.publishes == 0 && !command_.gets_back() && answer_ == device::done) return must_be(rules::heap_unheard);
    if (program_.publishes == 0) return check_no_room({{file_.heap}}, size), check_given_back(rules::heap_no_room);
    if (program_.place == Program::most_descriptors) return must_be(rules::heap_no_descriptor);
    if (!goes_out(program_.with_number(argument(), 8))) return must_be(rules::heap_untold);
    must_be(rules::heap_given);
    check_given({{file_.heap}}, size, flags);
  }
  // The struct, where the command failed.
  void check_given_back(Rule& rule) {
    const bool is_given = !command_.gets_back() || goes_out(argument());
    must_be(is_given ? rule : rules::heap_error_untold);
  }

  void check_given(const std::vector<Asked>& asked, std::uint64_t size, std::uint32_t flags) const {
    check_file_given(flags);
    check_buffer_given(asked, size, *program_.published->known);
  }

  // --- a buffer ---

  void check_buffer() {
    switch (command_.code) {
      case 0x40086200: check_sync(); break;
      case 0x40046201:
      case 0x40086201: check_name(); break;
      default: must_be(rules::buffer_unknown);
    }
    FuzzBuffer& buffer = *file_.buffer();
    expect(buffer.open_brackets() == file_.brackets, "brackets are counted, and end without beginning counts nothing");
    expect(buffer.memory().synced.size() == file_.known->syncs, "memory is told of each bracket, and of nothing else");
    expect(buffer.name() == file_.name, "a buffer has the name that it was given last");
  }
  void check_sync() {
    if (!take(8)) return must_be(rules::sync_unreadable);
    const auto flags = at<std::uint64_t>(0);
    if (flags > 7 || (flags & 3) == 0) return must_be(rules::sync_wrong);
    must_be(rules::sync_done);
    ++file_.known->syncs;
    if ((flags & 4) == 0) ++file_.brackets;
    if ((flags & 4) != 0 && file_.brackets != 0) --file_.brackets;
  }
  // The text is read as far as its end, up to a page's end at a time.
  void check_name() {
    std::array<char, 32> text = {};
    for (std::size_t read = 0; read < text.size();) {
      const std::size_t part = std::min<std::size_t>(text.size() - read, 4096 - ((address_ + read) & 4095));
      const auto to = std::as_writable_bytes(std::span(text)).subspan(read, part);
      if (!program_.should_be.copy_in(to, address_ + read)) return must_be(rules::name_unreadable);
      read += part;
      const auto end = std::find(text.begin(), text.end(), '\0');
      if (end >= text.begin() + static_cast<std::ptrdiff_t>(read)) continue;
      std::fill(end, text.end(), '\0');
      file_.name = text;
      return must_be(rules::name_taken);
    }
    must_be(rules::name_endless);
  }
};

}  // namespace freestone::tests
