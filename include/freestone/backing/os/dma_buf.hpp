// What DmaHeap and Udmabuf have in common: memory that drivers import by its file descriptor.
#pragma once

#include <cerrno>
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
    if (size > SIZE_MAX / 4) return Error{.code = ErrorCode::out_of_memory, .asked = size, .zone = request.name};
    if (size != 0 && (size & (page_size() - 1)) == 0) return {};
    Error error = Error::of_node(ErrorCode::not_pages, node, request.name);
    error.asked = size;
    return error;
  }

  // The bytes are those of `mapped`, a file descriptor of `node`. Fails with out_of_memory, limit_reached where memory
  // is locked as it is mapped (mlockall), node_failure.
  static Result<DmaBuf> map(const BackingRequest& request, OwnedFd buffer, int mapped, const char* node) noexcept {
    auto notes = Mapping::map_notes(request);
    if (!notes) return map_error(notes.error(), node);
    auto pages = Mapping::map(request.size.value(), Mapping::zone_alignment, mapped, request.name);
    if (!pages) return map_error(pages.error(), node);
    return DmaBuf(request, std::move(buffer), *std::move(pages), *std::move(notes));
  }

 private:
  DmaBuf(const BackingRequest& request, OwnedFd buffer, Mapping pages, Mapping notes) noexcept
      : size_(request.size),
        buffer_(std::move(buffer)),
        pages_(std::move(pages)),
        note_pages_(std::move(notes)),
        notes_(note_pages_.words(0, request.notes_words)) {}

  static Error map_error(const Error& error, const char* node) noexcept {
    if (error.code == ErrorCode::out_of_memory) return error;
    Error named = Error::of_node(ErrorCode::node_failure, node, error.zone);
    if (error.os_error == EAGAIN) named.code = ErrorCode::limit_reached;
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
