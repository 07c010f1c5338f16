// Pages of this process: what the backings of an operating system share.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/backing/os/node.hpp>
#include <freestone/core/bits.hpp>

namespace freestone::backing {

inline std::uint64_t page_size() noexcept { return static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)); }

// Where in one mapping or file data and notes lie: the notes on a page of their own, behind the data.
struct PageLayout {
  std::uint64_t notes_offset = 0;
  std::uint64_t bytes = 0;  // of both; 0 when that is more than this process can map

  static PageLayout of(const BackingRequest& request) noexcept {
    const std::uint64_t page = page_size();
    const std::uint64_t limit = SIZE_MAX / 2;
    if (request.size.value() > limit || request.notes_words > limit / sizeof(std::uint64_t)) return {};
    const std::uint64_t notes_offset = bits::align_up(request.size.value(), page);
    const std::uint64_t notes = bits::align_up(std::uint64_t{request.notes_words} * sizeof(std::uint64_t), page);
    return notes > limit - notes_offset ? PageLayout{} : PageLayout{notes_offset, notes_offset + notes};
  }
};

// A mapping that ends with its owner.
class Mapping {
 public:
  // Up to this, what is aligned in a zone's offsets is aligned in CPU pointers too.
  static constexpr std::uint64_t zone_alignment = 2U << 20;

  Mapping() noexcept = default;

  // `bytes` (> 0) of the file from byte `from` on, or of fresh zeroed pages where fd is -1, at a multiple of `align` (a
  // power of two). Errors: out_of_memory; limit_reached where what is locked may be no more (mlockall); os_failure with
  // errno, which is the file's own (EAGAIN too: for so many other pages there was room).
  static Result<Mapping> map(std::uint64_t bytes, std::uint64_t align, int fd, const char* zone,
                             std::uint64_t from = 0) noexcept {
    if (align < page_size()) align = page_size();
    if (bytes == 0 || bytes > SIZE_MAX / 4 || align > SIZE_MAX / 4) return errno = ENOMEM, map_error(zone, bytes);
    const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    const auto size = static_cast<std::size_t>(bits::align_up(bytes, page_size()));
    for (int attempt = 0;; ++attempt) {
      std::byte* const start = aligned_room(size, static_cast<std::size_t>(align));
      if (start == nullptr) return map_error(zone, bytes);
      void* const pages = mmap(start, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, fd,
                               static_cast<off_t>(from));
      if (pages == start) return Mapping({start, size});
      if (pages != MAP_FAILED) munmap(pages, size), errno = EEXIST;  // a kernel that does not know the flag
      if (errno != EEXIST || attempt == 100) return fd < 0 ? map_error(zone, bytes) : os_error(zone, bytes);
    }
  }
  // The same of huge pages, of which `bytes` is a multiple: 2^log2 bytes each. It has them all, or out_of_memory.
  static Result<Mapping> map_huge(unsigned log2, std::uint64_t bytes, const char* zone) noexcept {
    if (bytes > SIZE_MAX / 4) return errno = ENOMEM, map_error(zone, bytes);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | static_cast<int>(log2 << MAP_HUGE_SHIFT);
    const auto size = static_cast<std::size_t>(bytes);
    void* const pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (pages == MAP_FAILED) return map_error(zone, bytes);
    return Mapping({static_cast<std::byte*>(pages), size});
  }

  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&& other) noexcept {
    Mapping old(std::exchange(bytes_, std::exchange(other.bytes_, {})));
    return *this;
  }
  ~Mapping() {
    if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
  }

  // A zone's pages.
  static Result<Mapping> map_zone(const PageLayout& layout, int fd, const char* zone, std::uint64_t from = 0) noexcept {
    return map(layout.bytes, zone_alignment, fd, zone, from);
  }

  // Zeroed words of this process's own, for notes that must not lie in what they are about. (At least a page.)
  static Result<Mapping> map_notes(const BackingRequest& request) noexcept {
    const std::uint64_t bytes = std::uint64_t{request.notes_words} * sizeof(std::uint64_t);
    return map(request.notes_words > SIZE_MAX / 16 ? SIZE_MAX : bytes + 1, 0, -1, request.name);
  }

  std::byte* data() const noexcept { return bytes_.data(); }
  std::size_t size() const noexcept { return bytes_.size(); }

  std::span<std::uint64_t> words(std::uint64_t offset, std::size_t count) const noexcept {
    return {reinterpret_cast<std::uint64_t*>(bytes_.data() + static_cast<std::size_t>(offset)), count};
  }

 private:
  explicit Mapping(std::span<std::byte> bytes) noexcept : bytes_(bytes) {}

  // Where so much is free, at a multiple of align; nullptr with errno. Nobody holds it: another thread may be quicker, and
  // whoever maps there must neither replace nor unmap what is not his.
  static std::byte* aligned_room(std::size_t size, std::size_t align) noexcept {
    void* const room = mmap(nullptr, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return nullptr;
    munmap(room, size + align);
    const auto address = reinterpret_cast<std::uintptr_t>(room);
    return static_cast<std::byte*>(room) + static_cast<std::size_t>(bits::align_up(address, align) - address);
  }

  static Error map_error(const char* zone, std::uint64_t bytes) noexcept {
    if (errno != EAGAIN) return os_error(zone, bytes);
    Error error = Error::of_node(ErrorCode::limit_reached, "locked memory", zone);
    error.os_error = EAGAIN;
    error.asked = bytes;
    error.missing = Privilege::cap_ipc_lock;
    return error;
  }

  std::span<std::byte> bytes_;
};

}  // namespace freestone::backing
