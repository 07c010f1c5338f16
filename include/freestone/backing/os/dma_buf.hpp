// What DmaHeap and Udmabuf have in common: memory that drivers import by its file descriptor.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// A dma-buf and its mapping in this process. Its pages may be uncached, or far: the notes lie on plain pages of this
// process, so nobody else finds them. Offsets count from 0; up to 2 MiB a pointer is aligned as its offset is. Where a
// device sees the bytes, only the driver knows that attaches to the dma-buf.
class DmaBuf {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability c) noexcept { return c == Cacheability::cached; }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    return pages_.data() + static_cast<std::size_t>(offset.value());
  }

  // The dma-buf, for a driver's import ioctl or SCM_RIGHTS; it stays the backing's. It can be mapped, not read or
  // written.
  int fd() const noexcept { return buffer_.get(); }
  Bytes file_offset() const noexcept { return 0; }

 protected:
  // A dma-buf has whole pages, at least one.
  static Result<void> check_size(const BackingRequest& request, const char* node) noexcept {
    const std::uint64_t size = request.size.value();
    const bool is_too_much = size > SIZE_MAX / 4;
    if (!is_too_much && size != 0 && (size & (page_size() - 1)) == 0) return {};
    Error error = Error::of_node(is_too_much ? ErrorCode::out_of_memory : ErrorCode::not_pages, node, request.name);
    error.asked = size;
    return error;
  }

  // The bytes are those of `mapped`, a file descriptor of `node`. Mapping's errors, but node_failure of the node
  // instead of os_failure.
  static Result<DmaBuf> map(const BackingRequest& request, OwnedFd buffer, int mapped, const char* node) noexcept {
    auto notes = Mapping::map_notes(request);
    if (!notes) return notes.error();
    auto pages = Mapping::map(request.size.value(), Mapping::zone_alignment, mapped, request.name);
    if (!pages) return of_node(pages.error(), node);
    return DmaBuf(request, std::move(buffer), *std::move(pages), *std::move(notes));
  }

 private:
  DmaBuf(const BackingRequest& request, OwnedFd buffer, Mapping pages, Mapping notes) noexcept
      : size_(request.size),
        buffer_(std::move(buffer)),
        pages_(std::move(pages)),
        note_pages_(std::move(notes)),
        notes_(note_pages_.words(0, request.notes_words)) {}

  static Error of_node(const Error& error, const char* node) noexcept {
    if (error.code != ErrorCode::os_failure) return error;
    Error named = Error::of_node(ErrorCode::node_failure, node, error.zone);
    named.os_error = error.os_error;
    named.asked = error.asked;
    return named;
  }

  Bytes size_;
  OwnedFd buffer_;
  Mapping pages_;
  Mapping note_pages_;
  std::span<std::uint64_t> notes_;
};

}  // namespace freestone::backing
