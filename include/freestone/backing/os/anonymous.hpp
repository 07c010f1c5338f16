#pragma once

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// The largest pages that may be taken: if the host has no such pages left, or the size is no multiple of them, the next
// smaller ones are tried. (Huge pages are those that the host set aside: /sys/kernel/mm/hugepages.)
enum class Pages : std::uint8_t { small, huge_2m, huge_1g };

// Fresh zeroed pages of this process, its notes on pages of their own. Offsets count from 0; up to 2 MiB, or the size
// of its pages, a pointer is aligned as its offset is. Pages that nobody touched cost no memory, but for huge pages and
// locked ones, which are all taken at once. The bytes can be committed and decommitted.
//
// With a strategy that keeps books only, each block is a mapping of its own, of small pages, bound and locked as asked
// for; the notes also hold their addresses.
class Anonymous {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability c) noexcept { return c == Cacheability::cached; }

  struct Settings {
    Pages pages = Pages::small;
    int numa_node = -1;   // take memory of that node only, for the notes too; -1: as the host likes
    bool locked = false;  // all of it in memory at once, and never swapped out, the notes too
  };

  // out_of_memory; no_device where there is no such NUMA node; no_access (needs CAP_SYS_NICE) where nodes may not be
  // chosen; limit_reached or no_access (needs CAP_IPC_LOCK) where so much may not be locked; os_failure.
  static Result<Anonymous> create(const BackingRequest& request) noexcept { return create(request, Settings{}); }
  static Result<Anonymous> create(const BackingRequest& request, const Settings& settings) noexcept {
    return request.block_by_block ? create_slots(request, settings) : create_range(request, settings);
  }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    if (!slots_.empty()) return std::nullopt;
    return at(offset.value());
  }

  // The size of the pages that it got: 1 GiB, 2 MiB, or the machine's own.
  Bytes page() const noexcept { return page_; }

  // Where the host has no memory for it: out_of_memory. (Linux 5.14 or later; os_failure before.) decommit: os_failure
  // (EINVAL) of locked pages. A huge page that was decommitted may be another's then: commit it before it is touched.
  Result<void> commit(Bytes offset, Bytes size) noexcept {
    const std::uint64_t from = offset.value() & ~(page_.value() - 1);
    const std::uint64_t to = bits::align_up((offset + size).value(), page_.value());
    if (madvise(at(from), static_cast<std::size_t>(to - from), MADV_POPULATE_WRITE) != 0) return os_error("", size);
    return {};
  }
  Result<void> decommit(Bytes offset, Bytes size) noexcept {
    const std::uint64_t from = bits::align_up(offset.value(), page_.value());
    const std::uint64_t to = (offset + size).value() & ~(page_.value() - 1);
    if (from >= to) return {};
    if (madvise(at(from), static_cast<std::size_t>(to - from), MADV_DONTNEED) != 0) return os_error("", size);
    return {};
  }

  Result<void> obtain(std::uint64_t slot, Bytes bytes, Bytes align) noexcept {
    auto block = Mapping::map(bytes.value(), align.value(), -1, "");
    if (!block) return block.error();
    if (const Error error = settle(*block, {.size = bytes}, settings_); error) return error;
    const auto index = static_cast<std::size_t>(slot);
    slots_[index] = *std::move(block);
    if (index >= slots_used_) slots_used_ = index + 1;
    return {};
  }
  void give_back(std::uint64_t slot) noexcept { Mapping gone = std::move(slots_[static_cast<std::size_t>(slot)]); }
  std::optional<CpuPointer> obtained(std::uint64_t slot) const noexcept {
    if (slot >= slots_.size() || slots_[static_cast<std::size_t>(slot)].data() == nullptr) return std::nullopt;
    return slots_[static_cast<std::size_t>(slot)].data();
  }

  Anonymous(Anonymous&& other) noexcept
      : size_(other.size_),
        page_(other.page_),
        pages_(std::move(other.pages_)),
        notes_pages_(std::move(other.notes_pages_)),
        notes_(std::exchange(other.notes_, {})),
        slots_(std::exchange(other.slots_, {})),
        slots_used_(std::exchange(other.slots_used_, 0)),
        settings_(other.settings_) {}
  Anonymous& operator=(Anonymous&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(page_, other.page_);
    std::swap(pages_, other.pages_);
    std::swap(notes_pages_, other.notes_pages_);
    std::swap(notes_, other.notes_);
    std::swap(slots_, other.slots_);
    std::swap(slots_used_, other.slots_used_);
    std::swap(settings_, other.settings_);
    return *this;
  }
  ~Anonymous() {
    for (Mapping& slot : slots_.first(slots_used_)) slot.~Mapping();
  }

 private:
  struct Range {
    Mapping pages;
    Bytes page;
  };

  Anonymous(Bytes size, Range range, Mapping notes_pages, std::size_t notes_words) noexcept
      : size_(size),
        page_(range.page),
        pages_(std::move(range.pages)),
        notes_pages_(std::move(notes_pages)),
        notes_(notes_pages_.words(0, notes_words)) {}

  static Result<Anonymous> create_range(const BackingRequest& request, const Settings& settings) noexcept {
    if (PageLayout::of(request).bytes == 0) return out_of_memory(request);
    auto notes = Mapping::map_notes(request);
    if (!notes) return notes.error();
    if (const Error error = settle(*notes, request, settings); error) return error;
    auto range = map_largest(request, settings);
    if (!range) return range.error();
    return Anonymous(request.size, *std::move(range), *std::move(notes), request.notes_words);
  }

  static Error out_of_memory(const BackingRequest& request) noexcept {
    return {.code = ErrorCode::out_of_memory,
            .os_error = ENOMEM,
            .asked = request.size.value(),
            .zone = request.name};
  }

  // The cascade.
  static Result<Range> map_largest(const BackingRequest& request, const Settings& settings) noexcept {
    const std::uint64_t size = request.size.value();
    if (size == 0) return Range{{}, page_size()};  // notes only
    for (const auto& [pages, log2] : {std::pair{Pages::huge_1g, 30U}, std::pair{Pages::huge_2m, 21U}}) {
      const Bytes page = std::uint64_t{1} << log2;
      if (pages > settings.pages || (size & (page.value() - 1)) != 0) continue;
      auto mapping = Mapping::map_huge(log2, size, request.name);
      if (!mapping || settle(*mapping, request, settings)) continue;
      if (settings.numa_node < 0 || are_there(*mapping)) return Range{*std::move(mapping), page};
    }
    auto mapping = Mapping::map(size, Mapping::zone_alignment, -1, request.name);
    if (!mapping) return mapping.error();
    if (settings.pages != Pages::small) {
      madvise(mapping->data(), mapping->size(), MADV_HUGEPAGE);  // a hint: it may do nothing
    }
    if (const Error error = settle(*mapping, request, settings); error) return error;
    return Range{*std::move(mapping), page_size()};
  }

  // Huge pages are set aside for all nodes together, and then the node may have none: a signal at the first touch.
  static bool are_there(const Mapping& pages) noexcept {
    return madvise(pages.data(), pages.size(), MADV_POPULATE_WRITE) == 0 || errno == EINVAL;
  }

  // As asked for, before they are touched.
  static Error settle(const Mapping& pages, const BackingRequest& request, const Settings& settings) noexcept {
    if (const Error error = bind(pages, request, settings.numa_node); error) return error;
    return lock(pages, request, settings.locked);
  }

  static Error bind(const Mapping& pages, const BackingRequest& request, int node) noexcept {
    if (node < 0) return {};
    constexpr int mpol_bind = 2;                // as in <linux/mempolicy.h>
    constexpr unsigned long most_nodes = 1024;  // the kernel takes a mask of so many bits
    unsigned long mask[most_nodes / (8 * sizeof(unsigned long))] = {};
    constexpr unsigned bits_a_word = 8 * sizeof(unsigned long);
    errno = EINVAL;
    if (static_cast<unsigned>(node) < most_nodes) {
      mask[static_cast<unsigned>(node) / bits_a_word] = 1UL << (static_cast<unsigned>(node) % bits_a_word);
      if (syscall(SYS_mbind, pages.data(), pages.size(), mpol_bind, mask, most_nodes, 0) == 0) return {};
    }
    if (errno != EINVAL) return node_error("NUMA node", request.name, request.size, Privilege::cap_sys_nice);
    Error error = Error::of_node(ErrorCode::no_device, "NUMA node", request.name);
    error.os_error = EINVAL;
    error.asked = static_cast<std::uint64_t>(node);
    return error;
  }

  static Error lock(const Mapping& pages, const BackingRequest& request, bool locked) noexcept {
    if (!locked || mlock(pages.data(), pages.size()) == 0) return {};
    Error error = node_error("locked memory", request.name, request.size, Privilege::cap_ipc_lock);
    rlimit limit{};
    const bool is_limited = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && !may_lock_all();
    if (error.os_error != EAGAIN && !(error.os_error == ENOMEM && is_limited)) return error;
    Error reached = Error::of_node(ErrorCode::limit_reached, "locked memory", request.name);
    reached.os_error = error.os_error;
    reached.asked = error.asked;
    reached.missing = Privilege::cap_ipc_lock;
    return reached;
  }

  // CAP_IPC_LOCK knows no limit.
  static bool may_lock_all() noexcept {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
    return syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective >> CAP_IPC_LOCK & 1) != 0;
  }

  // A slot per granule of the quota: zeroed pages are slots that hold nothing.
  static Result<Anonymous> create_slots(const BackingRequest& request, const Settings& settings) noexcept {
    const std::uint64_t count = request.size.value() >> bits::floor_log2(request.granule.value());
    BackingRequest tables = request;
    tables.size = count > SIZE_MAX / sizeof(Mapping) ? SIZE_MAX : count * sizeof(Mapping);
    auto made = create_range(tables, Settings{});
    if (!made) return made.error();
    made->size_ = request.size;
    made->settings_ = settings;
    made->slots_ = {reinterpret_cast<Mapping*>(made->pages_.data()), static_cast<std::size_t>(count)};
    return made;
  }

  std::byte* at(std::uint64_t offset) const noexcept { return pages_.data() + static_cast<std::size_t>(offset); }

  Bytes size_;
  Bytes page_;
  Mapping pages_;
  Mapping notes_pages_;
  std::span<std::uint64_t> notes_;
  std::span<Mapping> slots_;
  std::size_t slots_used_ = 0;  // no slot from here on was ever filled
  Settings settings_;           // for those that will be
};

}  // namespace freestone::backing
