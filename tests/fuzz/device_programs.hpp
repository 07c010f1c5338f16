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
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <freestone/device/dma_heap.hpp>
#include <freestone/device/ion/handle_file.hpp>
#include <freestone/device/pmem/file.hpp>
#include <freestone/device/pmem/region.hpp>
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
inline constexpr device::PmemLimits fuzz_pmem_limits{.allocations = 3, .grants = 3};

// A defect of the target's own, so that it can be seen to find one: FREESTONE_FUZZ_PLANTED says which. It lies where no seed
// comes: in memory of seven pages. Empty: none.
inline std::string_view planted_defect(std::uint64_t pages) {
  static const char* const text = std::getenv("FREESTONE_FUZZ_PLANTED");
  return text == nullptr || pages != 7 ? std::string_view() : text;
}
// True: memory that is there is to be refused.
inline bool meets_planted_defect(std::uint64_t pages) {
  const std::string_view planted = planted_defect(pages);
  if (planted.empty()) return false;
  [[maybe_unused]] volatile int sink = 0;
  std::vector<int> numbers(static_cast<std::size_t>(pages), std::numeric_limits<int>::max());
  if (planted == "overrun") sink = *(numbers.data() + pages);
  if (planted == "overflow") sink = numbers[0] + numbers[1];
  if (planted == "leak") sink = static_cast<int>((new std::vector<int>(numbers))->size());
  return planted == "refusal";
}

// What was done with lines of caches: `whole` is of all of the buffer's; a command beside `outer` is of a physical address.
struct Maintained {
  std::uint32_t command;
  std::uint64_t offset;
  std::uint64_t length;

  static constexpr std::uint64_t whole = ~std::uint64_t{0};
  static constexpr std::uint32_t outer = 0x100;
  bool operator==(const Maintained&) const = default;
};
struct FuzzMemory : CountedMemory {
  void maintain(const device::InnerRange& range, device::CacheCommand command) {
    maintained.push_back({static_cast<std::uint32_t>(command), range.offset.value(), range.length.value()});
  }
  void maintain(const device::OuterRange& range, device::CacheCommand command) {
    maintained.push_back({static_cast<std::uint32_t>(command) | Maintained::outer, range.start.value(), range.length.value()});
  }
  void maintain(const device::WholeBuffer&, device::CacheCommand command) {
    maintained.push_back({static_cast<std::uint32_t>(command), 0, Maintained::whole});
  }

  std::vector<Maintained> maintained = {};
};

// Refuses memory when it is told to. Files that nobody has any more end when somebody looks, if they end late.
class FuzzPlatform : public DevicePlatform {
 public:
  using Memory = FuzzMemory;

  int process() const noexcept { return caller; }
  Result<Memory> memory(Bytes size) noexcept {
    if (meets_planted_defect(size.value() / 4096)) return ErrorCode::out_of_memory;
    if (refusals == 0) return Memory{{size.value()}};
    --refusals;
    return ErrorCode::out_of_memory;
  }
  void reclaim() noexcept { std::exchange(ended, {}).clear(); }
  void let_go(std::shared_ptr<void>&& file) {
    if (ends_late && file.use_count() == 1) ended.push_back(std::move(file));
    file.reset();
  }

  // CUSTOM's: 1 answers its argument's low bits, and 2 is refused.
  template <class C, class Client>
  device::Answer ion_custom(C&, Client&, std::uint32_t command, std::uint64_t argument) noexcept {
    if (command == 1) return device::Answer(static_cast<std::int64_t>(argument & 0xff));
    return command == 2 ? device::Errno::busy : device::Errno::no_such_command;
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

using FuzzHeaps = device::IonHeaps<FuzzScene::Shared, lock::Futex>;
using FuzzMap = decltype(std::declval<const FuzzBuffer&>().map_for_process(std::declval<device::Errno&>()));

// A buffer that somebody has, and what there is to be known of it. Whoever has it in the model has one of these in common
// with all others who do.
class Known : public std::enable_shared_from_this<Known> {
 public:
  using Ref = FuzzScene::Shared::Ref;

  // Of a buffer that nobody had, or the one that they have.
  static std::shared_ptr<Known> of(const Ref& ref) {
    const auto found = std::ranges::find(live, ref.id(), &Known::id);
    return found == live.end() ? std::make_shared<Known>(ref) : (*found)->shared_from_this();
  }
  explicit Known(const Ref& ref)
      : id(ref.id()), heap(ref.parts().heap), size(ref.extra().size().value()),
        blocks(ref.parts().list().begin(), ref.parts().list().end()), memory(&ref.extra().memory()) {
    expect(memory->size == size, "a buffer's memory is as large as it is");
    live.push_back(this);
  }
  Known(const Known&) = delete;
  Known& operator=(const Known&) = delete;
  ~Known() { std::erase(live, this); }

  const BufferId id;
  const unsigned heap;
  const std::uint64_t size;
  const std::vector<Block> blocks;
  const FuzzMemory* const memory;
  std::uint32_t flags = 0;  // as GET_FLAGS tells them: G1's as it is shared, G2's as it was allocated
  std::size_t mapped = 0;
  std::size_t syncs = 0;
  std::vector<Maintained> maintained = {};

  bool is_cached() const { return (flags & 1) != 0; }

  static inline std::vector<Known*> live = {};
};

// A handle, as its client was told.
struct ToldHandle {
  std::uint64_t number = 0;  // G1, G2: without what makes it an address
  std::uint32_t references = 0;
  std::shared_ptr<Known> buffer = {};
};

// A node of a generation with handles; its table of them stays where it is.
template <device::IonGeneration generation>
class HandleNode {
 public:
  HandleNode(const FuzzHeaps& heaps, ClientId client, device::IonCookies<lock::Futex>& cookies, device::OpenFlags flags)
      : file_(std::make_unique<File>(heaps, client, cookies, flags)) {}

  template <class C>
  device::Answer ioctl(C& call, device::Command command, std::uint64_t argument) noexcept {
    return file_->ioctl(call, command, argument);
  }
  auto& client() noexcept { return file_->client(); }

 private:
  using File = device::IonHandleFile<FuzzScene::Shared, lock::Futex, generation>;
  std::unique_ptr<File> file_;
};
using FuzzG1 = HandleNode<device::IonGeneration::g1>;
using FuzzG2 = HandleNode<device::IonGeneration::g2>;
using FuzzG3 = HandleNode<device::IonGeneration::g3>;
using FuzzClient = device::IonClient<FuzzScene::Shared, lock::Futex>;

// What a sub's mapping shows, page by page. Only what is hidden is shown, and only what is shown is hidden.
class FuzzScreen {
 public:
  static constexpr std::size_t most_pages = 32;

  explicit FuzzScreen(FuzzPlatform& platform) : platform_(&platform) {}

  template <class Ref>
  Result<void> show(const Ref& buffer, const ByteRange& range) noexcept {
    expect(static_cast<bool>(buffer), "who is shown something holds it");
    if (platform_->refusals == 0) return put(range, true), Result<void>();
    --platform_->refusals;
    was_refused = true;
    return ErrorCode::out_of_memory;
  }
  void hide(const ByteRange& range) noexcept { put(range, false); }

  std::bitset<most_pages> shown = {};
  bool was_refused = false;  // since somebody looked

 private:
  void put(const ByteRange& range, bool is_shown) {
    expect(!range.is_empty() && range.is_multiple_of(4096) && range.is_within(most_pages * 4096), "whole pages are shown and hidden");
    for (std::uint64_t page = range.offset.value() / 4096; page < range.end().value() / 4096; ++page) {
      const auto at = static_cast<std::size_t>(page);
      expect(shown.test(at) != is_shown, "what is shown was hidden, and what is hidden was shown");
      shown.set(at, is_shown);
    }
  }

  FuzzPlatform* platform_;
};
// A node of PMEM's.
class FuzzPmem {
 public:
  using File = device::PmemFile<FuzzScene::Shared, lock::Futex, FuzzScreen, fuzz_pmem_limits>;
  using Region = File::Region;

  FuzzPmem(Region& region, ClientId client, FuzzPlatform& platform) : node_(std::make_unique<Node>(region, client, platform)) {}

  template <class C>
  device::Answer ioctl(C& call, device::Command command, std::uint64_t argument) noexcept {
    return file().ioctl(call, command, argument);
  }
  File& file() const noexcept { return node_->file; }
  FuzzScreen& screen() const noexcept { return node_->screen; }

 private:
  struct Node {
    Node(Region& region, ClientId client, FuzzPlatform& platform) : screen(platform), file(region, client, {}, screen) {}
    FuzzScreen screen;
    File file;
  };
  std::unique_ptr<Node> node_;
};

struct Open;
// An allocation of PMEM's: what its master, and who was connected to it, are told of it.
struct PmemPlaceKnown {
  std::uint64_t start;  // in the region
  std::uint64_t length;
  bool is_closed = false;  // its master is
};
// What there is to be known of a node of PMEM's.
struct PmemKnown {
  std::shared_ptr<PmemPlaceKnown> place = {};  // null: it has none
  bool is_sub = false;
  bool was_mapped = false;
  bool is_unmapped = false;
  std::int32_t master_fd = -1;  // what it was connected to, and under which number
  std::weak_ptr<Open> master = {};
  std::uint64_t window = 0;  // how much of it a sub's mapping is
  std::vector<PmemBytes> grants = {};

  bool is_closed() const { return place != nullptr && place->is_closed; }
  // Which pages he sees.
  std::bitset<FuzzScreen::most_pages> seen() const {
    std::bitset<FuzzScreen::most_pages> pages;
    for (std::uint64_t page = 0; !is_closed() && page < window / 4096; ++page) {
      const auto has_it = [&](const PmemBytes& grant) { return page * 4096 >= grant.offset && page * 4096 < grant.offset + grant.length; };
      pages.set(static_cast<std::size_t>(page), std::ranges::any_of(grants, has_it));
    }
    return pages;
  }
};

// An open file, and what there is to be known of it: brackets and name are what a buffer should have, handles what a client
// should.
struct Open {
  using File = std::variant<FuzzIon, FuzzNode, FuzzBuffer, FuzzPmem, FuzzG1, FuzzG2, FuzzG3>;  // as FileKind has them

  // `heap`: of a node of dma-heap; `heaps`: of one of ION's.
  template <class F>
  Open(F&& opened, int owner, device::OpenFlags flags, FuzzHeap* heap = nullptr, const FuzzHeaps* heaps = nullptr)
      : file(std::forward<F>(opened)), owner(owner), flags(flags), heap(heap), heaps(heaps) {
    if (buffer() != nullptr) known = Known::of(buffer()->buffer());
    live.push_back(this);
  }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  ~Open() {
    if (pmem.place != nullptr && !pmem.is_sub) pmem.place->is_closed = true;
    std::erase(live, this);
  }

  FileKind kind() const { return static_cast<FileKind>(file.index()); }
  bool is_g1() const { return kind() == FileKind::ion_g1; }
  bool is_g2() const { return kind() == FileKind::ion_g2; }
  bool has_pointers() const { return is_g1() || is_g2(); }
  bool has_handles() const { return kind() > FileKind::pmem; }
  // Null: it is none of PMEM's.
  FuzzPmem* pmem_node() { return std::get_if<FuzzPmem>(&file); }
  // Null: a node.
  FuzzBuffer* buffer() { return std::get_if<FuzzBuffer>(&file); }
  const FuzzBuffer* buffer() const { return std::get_if<FuzzBuffer>(&file); }
  // Where it has handles.
  FuzzClient& client() {
    if (is_g1()) return std::get<FuzzG1>(file).client();
    return is_g2() ? std::get<FuzzG2>(file).client() : std::get<FuzzG3>(file).client();
  }
  // What a caller with such words says for the handle of that number, and which that is.
  std::uint64_t told(std::uint64_t number, device::WordSize word) const {
    constexpr std::uint64_t kernel32 = 0xc0000000, kernel64 = 0xffffffc000000000;
    if (!has_pointers()) return number;
    return (word == device::WordSize::bits32 ? kernel32 : kernel64) | number;
  }
  static constexpr std::uint64_t none = ~std::uint64_t{0};
  std::uint64_t number_of(std::uint64_t handle, device::WordSize word) const {
    const std::uint64_t number = has_pointers() ? handle & 0x3fffffff : handle;
    return told(number, word) == handle ? number : none;
  }
  ToldHandle* find(std::uint64_t handle, device::WordSize word) {
    const auto found = std::ranges::find(handles, number_of(handle, word), &ToldHandle::number);
    return found == handles.end() ? nullptr : &*found;
  }

  File file;
  int owner;
  device::OpenFlags flags;
  FuzzHeap* heap;
  const FuzzHeaps* heaps;
  std::shared_ptr<Known> known = {};  // the buffer; a master's of PMEM's allocation
  std::uint32_t brackets = 0;
  std::array<char, 32> name = {};
  std::vector<ToldHandle> handles = {};
  std::uint64_t gone = 1;  // the number of the handle that was the last to go
  PmemKnown pmem = {};

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
  struct Mapping {
    std::shared_ptr<Open> file;
    std::uint64_t length;
    FuzzMap counted;  // of a buffer's
  };
  std::vector<Mapping> mappings = {};

  void put(std::uint64_t address, const Argument& argument) {
    poke(address, argument.bytes);
    should_be.poke(address, argument.bytes);
  }

  // --- the call that is under way ---

  // `act`: what another does meanwhile, if anything: when the call has read, or (`is_late`) when it gives back.
  void begin(Open& file, bool memory_changes, std::function<void()>&& act, bool is_late) {
    changes = should_be.changes = memory_changes;
    file_ = &file;
    meanwhile_ = std::move(act);
    is_late_ = is_late;
    is_interrupted = was_late = false;
    lookups = 0;
    found = nullptr;
    published = nullptr;
    place = most_descriptors;
    publishes = 0;
  }
  void end() {
    changes = should_be.changes = false;
    meanwhile_ = nullptr;
    found = nullptr;
  }
  bool is_interrupted = false;
  bool was_late = false;
  // A descriptor that was looked at, what is wrong with it, and else which buffer it is.
  unsigned lookups = 0;
  std::int32_t looked_at = 0;
  device::Errno found_wrong = device::Errno::none;
  std::shared_ptr<Known> found = {};
  Open* published = nullptr;
  std::size_t place = most_descriptors;  // where the new descriptor was to be
  unsigned publishes = 0;

  Result<void> copy_in(std::span<std::byte> to, std::uint64_t address) noexcept {
    const auto copied = FickleMemory::copy_in(to, address);
    if (!is_late_) let_others();
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
    auto open = std::make_shared<Open>(std::forward<F>(file), file_->owner, flags);
    if (file_->is_g1()) set_attribute(*open->known);
    place = free_place();
    if (place == most_descriptors) return device::Errno::too_many_files;
    if (!copy_out(address, with_number(argument, at.offset))) return device::Errno::fault;
    published = open.get();
    descriptors[place] = std::move(open);
    return device::done;
  }
  template <class B, class Act>
  device::Answer with_buffer(std::int32_t fd, const void* exporter, Act&& act) noexcept {
    ++lookups;
    looked_at = fd;
    const std::shared_ptr<Open> file = file_at(fd);
    found_wrong = file == nullptr ? device::Errno::bad_file : device::Errno::invalid;
    if (file == nullptr || file->buffer() == nullptr || file->buffer()->exporter() != exporter) return found_wrong;
    found_wrong = device::Errno::none;
    found = file->known;
    return act(*file->buffer());
  }
  // Of ION's nobody here has one that is not for reading and writing.
  template <class B, class Act>
  device::Answer with_writable_buffer(std::int32_t fd, const void* exporter, Act&& act) noexcept {
    return with_buffer<B>(fd, exporter, std::forward<Act>(act));
  }
  // Null: he has no such descriptor.
  std::shared_ptr<Open> file_at(std::int32_t fd) const {
    const auto at = static_cast<std::size_t>(std::int64_t{fd} - first_fd);
    return at < most_descriptors ? descriptors[at] : nullptr;
  }
  template <class F, class Act>
  device::Answer with_file(std::int32_t fd, Act&& act) noexcept {
    const std::shared_ptr<Open> file = file_at(fd);
    if (file == nullptr) return device::Errno::bad_file;
    return file->pmem_node() == nullptr ? device::Answer(device::Errno::invalid) : act(file->pmem_node()->file());
  }
  bool sees_physical_addresses() const noexcept { return number != 2; }
  // Each mapping is of the whole buffer; or of PMEM's from its start.
  static constexpr std::uint64_t first_mapping = 0x7000'0000, each_mapping = 0x100'0000;
  std::optional<device::CallerMapping> mapping_at(std::uint64_t address, const Known::Ref& buffer) const noexcept {
    const Mapping* const mapping = mapping_around(address);
    if (mapping == nullptr || mapping->file->buffer() == nullptr || mapping->file->known->id != buffer.id()) return std::nullopt;
    return place_of(*mapping, address);
  }
  std::optional<device::CallerMapping> mapping_of(std::uint64_t address, const FuzzPmem::File& file) const noexcept {
    const Mapping* const mapping = mapping_around(address);
    if (mapping == nullptr || mapping->file->pmem_node() == nullptr || &mapping->file->pmem_node()->file() != &file) return std::nullopt;
    return place_of(*mapping, address);
  }
  // Null: there is none.
  const Mapping* mapping_around(std::uint64_t address) const noexcept {
    const std::uint64_t at = (address - first_mapping) / each_mapping;
    if (address < first_mapping || at >= mappings.size()) return nullptr;
    return address % each_mapping < mappings[at].length ? &mappings[at] : nullptr;
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
  static device::CallerMapping place_of(const Mapping& mapping, std::uint64_t address) {
    const std::uint64_t start = address / each_mapping * each_mapping;
    return {start, start + mapping.length, 0};
  }
  void let_others() {
    const auto act = std::exchange(meanwhile_, nullptr);
    if (!act) return;
    is_interrupted = true;
    was_late = is_late_;
    act();
  }
  // What G1 shares is cached as its node was opened for.
  void set_attribute(Known& buffer) const {
    const bool is_cached = !file_->flags.is_synchronous();
    expect(buffer.mapped == 0 || buffer.is_cached() == is_cached, "who has a mapping has it as it was");
    buffer.flags = is_cached ? 1 : 0;
  }

  Open* file_ = nullptr;
  bool is_late_ = false;
  std::function<void()> meanwhile_ = {};
};

// Which pages of which heap live buffers have. No two have one.
class Occupancy {
 public:
  static constexpr std::size_t most_pages = 512;
  static constexpr std::size_t heaps = 6;
  static constexpr unsigned pmem = 5;  // of these

  Occupancy() {
    for (const Known* one : Known::live) add(*one);
  }
  std::size_t buffers() const { return buffers_; }
  std::uint64_t used(unsigned heap) const { return used_[heap].count() * 4096; }

  // Of one buffer.
  static std::uint64_t most_of(const device::HeapInfo& heap) {
    return heap.type == device::HeapType::system ? heap.size.value() / 2 : heap.size.value();
  }
  // Must a heap have room for so many bytes? By what the specification says of its type (ION 3), whoever keeps its books.
  // `align`: of a carveout's addresses, which begin at a multiple of more than there is in it.
  bool has_room(const device::HeapInfo& heap, std::uint64_t size, std::uint64_t align = 4096) const {
    if (buffers_ == fuzz_limits.buffers || size > most_of(heap)) return false;
    const std::uint64_t pages = size / 4096;
    const std::uint64_t free = heap.size.value() - used(heap.id);
    switch (heap.type) {
      case device::HeapType::system: return size <= free && pages <= fuzz_limits.blocks;
      case device::HeapType::system_contig: return has_run(heap, std::bit_ceil(pages), std::bit_ceil(pages));
      case device::HeapType::chunk: return (pages + 15) / 16 * 65536 <= free && (pages + 15) / 16 <= fuzz_limits.blocks;
      default: return align <= heap.size.value() && has_run(heap, pages, std::max<std::uint64_t>(align / 4096, 1));
    }
  }

  // The first free run of so many pages, at pages `first`, `first` + `step` and so on.
  std::optional<std::uint64_t> first_run(const device::HeapInfo& heap, std::uint64_t pages, std::uint64_t first, std::uint64_t step) const {
    for (std::uint64_t start = first; start + pages <= heap.size.value() / 4096; start += step) {
      std::uint64_t at = 0;
      while (at < pages && !used_[heap.id].test(static_cast<std::size_t>(start + at))) ++at;
      if (at == pages) return start;
    }
    return std::nullopt;
  }
  std::uint64_t longest_run(const device::HeapInfo& heap) const {
    std::uint64_t pages = heap.size.value() / 4096;
    while (pages != 0 && !has_run(heap, pages, 1)) --pages;
    return pages;
  }

 private:
  void add(const Known& buffer) {
    ++buffers_;
    expect(buffer.heap < heaps, "a buffer is of a heap of the board");
    for (const Block& block : buffer.blocks) {
      for (std::uint64_t page = 0; page < block.size().value() / 4096; ++page) {
        const auto at = static_cast<std::size_t>(block.offset().value() / 4096 + page);
        expect(at < most_pages && !used_[buffer.heap].test(at), "no two buffers share a page");
        used_[buffer.heap].set(at);
      }
    }
  }
  bool has_run(const device::HeapInfo& heap, std::uint64_t pages, std::uint64_t align) const {
    return first_run(heap, pages, 0, align).has_value();
  }

  std::size_t buffers_ = 0;
  std::array<std::bitset<most_pages>, heaps> used_ = {};
};

}  // namespace freestone::tests
