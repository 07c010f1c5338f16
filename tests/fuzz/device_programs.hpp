// Programs that call devices in ways that no honest one would: their descriptors, their mappings, memory that changes
// while it is read, and calls that another program makes meanwhile.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <freestone/device/dma_heap.hpp>
#include "fuzz/device_steps.hpp"
#include "support/device_calls.hpp"
#include "support/device_scene_over.hpp"

namespace freestone::tests {

inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "finding: %s\n", what);
  std::abort();
}

// So few that a short input comes to the end of each.
inline constexpr ShareLimits fuzz_limits{.clients = 5, .owners = 2, .buffers = 12, .handles = 2, .blocks = 16};

// A defect of the target's own, so that it can be seen to find one: FREESTONE_FUZZ_PLANTED says which. It lies where no seed
// comes: in memory of seven pages. True: memory that is there is to be refused.
inline bool meets_planted_defect(std::uint64_t pages) {
  static const char* const text = std::getenv("FREESTONE_FUZZ_PLANTED");
  if (text == nullptr || pages != 7) return false;
  [[maybe_unused]] volatile int sink = 0;
  const std::string_view planted = text;
  std::vector<int> numbers(static_cast<std::size_t>(pages), std::numeric_limits<int>::max());
  if (planted == "overrun") sink = *(numbers.data() + pages);
  if (planted == "overflow") sink = numbers[0] + numbers[1];
  if (planted == "leak") sink = static_cast<int>((new std::vector<int>(numbers))->size());
  return planted == "refusal";
}

// Refuses memory when it is told to. Files that nobody has any more end when somebody looks, if they end late.
class FuzzPlatform : public DevicePlatform {
 public:
  int process() const noexcept { return caller; }
  Result<Memory> memory(Bytes size) noexcept {
    if (meets_planted_defect(size.value() / 4096)) return ErrorCode::out_of_memory;
    if (refusals == 0) return DevicePlatform::memory(size);
    --refusals;
    return ErrorCode::out_of_memory;
  }
  void reclaim() noexcept { std::exchange(ended, {}).clear(); }
  void let_go(std::shared_ptr<void>&& file) {
    if (ends_late && file.use_count() == 1) ended.push_back(std::move(file));
    file.reset();
  }

  int caller = 0;
  unsigned refusals = 0;
  bool ends_late = false;
  std::vector<std::shared_ptr<void>> ended = {};
};

using FuzzScene = SceneOver<FuzzPlatform, fuzz_limits>;
using FuzzHeap = FuzzScene::Heap;
using FuzzBuffer = FuzzScene::Buffer;
using FuzzIon = FuzzScene::Ion;
using FuzzNode = device::DmaHeapFile<FuzzScene::Shared, lock::Futex>;

// An open file, and what there is to be known of it: brackets, syncs and name are what a buffer should have.
struct Open {
  template <class F>
  Open(F&& opened, int owner, FuzzHeap* heap, device::OpenFlags flags)
      : file(std::forward<F>(opened)), owner(owner), heap(heap), flags(flags) {
    live.push_back(this);
  }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  ~Open() { std::erase(live, this); }

  FileKind kind() const { return static_cast<FileKind>(file.index()); }
  // Null: a node.
  FuzzBuffer* buffer() { return std::get_if<FuzzBuffer>(&file); }
  const FuzzBuffer* buffer() const { return std::get_if<FuzzBuffer>(&file); }

  std::variant<FuzzIon, FuzzNode, FuzzBuffer> file;  // as FileKind has them
  int owner;
  FuzzHeap* heap;  // of a node of dma-heap
  device::OpenFlags flags;
  std::uint32_t brackets = 0;
  std::size_t syncs = 0;
  std::array<char, 32> name = {};

  static inline std::vector<Open*> live = {};
};

// Memory whose bytes somebody else changes as soon as they have been read once.
class FickleMemory : public Caller {
 public:
  using Caller::Caller;

  Result<void> copy_in(std::span<std::byte> to, std::uint64_t address) noexcept {
    const auto copied = Caller::copy_in(to, address);
    if (copied && std::exchange(changes, false)) {
      for (std::byte& one : bytes().subspan(static_cast<std::size_t>(address - start), to.size())) one ^= std::byte{0x5a};
    }
    return copied;
  }
  // As much as lies in it.
  void poke(std::uint64_t address, std::span<const std::byte> from) {
    for (const std::byte one : from) {
      if (address >= start && address - start < length) bytes()[static_cast<std::size_t>(address - start)] = one;
      ++address;
    }
  }

  bool changes = false;
};

class Program : public FickleMemory {
 public:
  static constexpr std::size_t most_descriptors = 16;

  Program(device::WordSize word, int number) : FickleMemory(word), should_be(word), number(number) {}

  // What its memory is by what was promised; the same in all else.
  FickleMemory should_be;
  int number;
  std::array<std::shared_ptr<Open>, most_descriptors> descriptors = {};
  std::size_t most_files = most_descriptors;
  std::vector<std::shared_ptr<Open>> mappings = {};

  // --- the call that is under way ---

  void begin(int owner, bool memory_changes, std::function<void()>&& act) {
    changes = should_be.changes = memory_changes;
    owner_ = owner;
    meanwhile_ = std::move(act);
    is_interrupted = false;
    published = nullptr;
    place = most_descriptors;
    publishes = 0;
  }
  void end() {
    changes = should_be.changes = false;
    meanwhile_ = nullptr;
  }
  bool is_interrupted = false;
  Open* published = nullptr;
  std::size_t place = most_descriptors;  // where the new descriptor was to be
  unsigned publishes = 0;

  Result<void> copy_in(std::span<std::byte> to, std::uint64_t address) noexcept {
    const auto copied = FickleMemory::copy_in(to, address);
    let_others();
    return copied;
  }
  Result<void> copy_out(std::uint64_t address, std::span<const std::byte> from) noexcept {
    let_others();
    return FickleMemory::copy_out(address, from);
  }
  template <class F>
  device::Answer publish(F&& file, device::OpenFlags flags, device::FdField at, std::uint64_t address,
                         std::span<const std::byte> argument) noexcept {
    ++publishes;
    auto open = std::make_shared<Open>(std::forward<F>(file), owner_, nullptr, flags);
    place = free_place();
    if (place == most_descriptors) return device::Errno::too_many_files;
    if (!copy_out(address, with_number(argument, at.offset))) return device::Errno::fault;
    published = open.get();
    descriptors[place] = std::move(open);
    return device::done;
  }
  // The lowest that is free; most_descriptors: none is.
  std::size_t free_place() const {
    for (std::size_t at = 0; at < most_files; ++at) {
      if (descriptors[at] == nullptr) return at;
    }
    return most_descriptors;
  }
  // The struct with the new descriptor's number where it belongs, if there is room.
  std::vector<std::byte> with_number(std::span<const std::byte> argument, std::size_t at) const {
    std::vector<std::byte> patched(argument.begin(), argument.end());
    const auto number_of_file = static_cast<std::uint32_t>(first_fd + place);
    if (at + sizeof number_of_file <= patched.size()) std::memcpy(patched.data() + at, &number_of_file, sizeof number_of_file);
    return patched;
  }

 private:
  void let_others() {
    const auto act = std::exchange(meanwhile_, nullptr);
    if (!act) return;
    is_interrupted = true;
    act();
  }

  int owner_ = 0;
  std::function<void()> meanwhile_ = {};
};

// Which pages of which heap live buffers have. No two have one.
class Occupancy {
 public:
  static constexpr std::size_t most_pages = 512;
  static constexpr std::size_t heaps = 5;

  Occupancy() {
    for (Open* one : Open::live) {
      if (one->buffer() != nullptr) add(one->buffer()->buffer().parts());
    }
  }
  std::size_t buffers() const { return buffers_; }
  std::uint64_t used(unsigned heap) const { return used_[heap].count() * 4096; }

  // Of one buffer.
  static std::uint64_t most_of(const device::HeapInfo& heap) {
    return heap.type == device::HeapType::system ? heap.size.value() / 2 : heap.size.value();
  }
  // Must a heap have room for so many bytes? By what the specification says of its type (ION 3), whoever keeps its books.
  bool has_room(const device::HeapInfo& heap, std::uint64_t size) const {
    if (buffers_ == fuzz_limits.buffers || size > most_of(heap)) return false;
    const std::uint64_t pages = size / 4096;
    const std::uint64_t free = heap.size.value() - used(heap.id);
    switch (heap.type) {
      case device::HeapType::system: return size <= free && pages <= fuzz_limits.blocks;
      case device::HeapType::system_contig: return has_run(heap, std::bit_ceil(pages), std::bit_ceil(pages));
      case device::HeapType::chunk: return (pages + 15) / 16 * 65536 <= free && (pages + 15) / 16 <= fuzz_limits.blocks;
      default: return has_run(heap, pages, 1);
    }
  }

 private:
  template <class P>
  void add(const P& parts) {
    ++buffers_;
    expect(parts.heap < heaps, "a buffer is of a heap of the board");
    for (const Block& block : parts.list()) {
      for (std::uint64_t page = 0; page < block.size().value() / 4096; ++page) {
        const auto at = static_cast<std::size_t>(block.offset().value() / 4096 + page);
        expect(at < most_pages && !used_[parts.heap].test(at), "no two buffers share a page");
        used_[parts.heap].set(at);
      }
    }
  }
  bool has_run(const device::HeapInfo& heap, std::uint64_t pages, std::uint64_t align) const {
    for (std::uint64_t start = 0; start + pages <= heap.size.value() / 4096; start += align) {
      std::uint64_t at = 0;
      while (at < pages && !used_[heap.id].test(static_cast<std::size_t>(start + at))) ++at;
      if (at == pages) return true;
    }
    return false;
  }

  std::size_t buffers_ = 0;
  std::array<std::bitset<most_pages>, heaps> used_ = {};
};

}  // namespace freestone::tests
