#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// A memfd: memory with no name that goes from process to process as a file descriptor. Data first, the notes on pages
// of their own behind; its size is sealed, so that no holder can cut it from under another. Offsets count from 0 in
// every process; up to 2 MiB a pointer is aligned as its offset is.
class MemoryFile {
 public:
  static constexpr bool shared = true;
  static constexpr bool gives(Cacheability c) noexcept { return c == Cacheability::cached; }

  // The fd of another's zone, as it came. It stays the caller's.
  struct Source {
    int fd = -1;
  };

  static Result<MemoryFile> create(const BackingRequest& request) noexcept {
    const PageLayout layout = PageLayout::of(request);
    OwnedFd file(memfd_create(request.name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (file.get() < 0) return os_error(request.name, request.size);
    if (ftruncate(file.get(), static_cast<off_t>(layout.bytes)) != 0) return os_error(request.name, request.size);
    if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
      return os_error(request.name, request.size);
    }
    return map(request, layout, std::move(file));
  }

  // cut_short when the file ends before such a zone's notes; os_failure when it is none of ours: its size must be
  // sealed.
  static Result<MemoryFile> attach(const BackingRequest& request, const Source& source) noexcept {
    const PageLayout layout = PageLayout::of(request);
    OwnedFd file(fcntl(source.fd, F_DUPFD_CLOEXEC, 0));
    if (file.get() < 0) return os_error(request.name, request.size);
    const int seals = fcntl(file.get(), F_GET_SEALS);
    if (seals < 0) return os_error(request.name, request.size);
    struct stat status {};
    if (fstat(file.get(), &status) != 0) return os_error(request.name, request.size);
    const auto bytes = static_cast<std::uint64_t>(status.st_size);
    if ((seals & F_SEAL_SHRINK) == 0)
      return Error{.code = ErrorCode::os_failure, .os_error = EPERM, .zone = request.name};
    if (layout.bytes == 0 || bytes <= layout.notes_offset) {
      return Error{.code = ErrorCode::cut_short, .asked = layout.bytes, .available = bytes, .zone = request.name};
    }
    // All the notes that there are: the zone tells from their first words what differs.
    return map(request, {layout.notes_offset, bytes}, std::move(file));
  }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    return pages_.data() + static_cast<std::size_t>(offset.value());
  }

  // For SCM_RIGHTS or a child; it stays the backing's.
  int fd() const noexcept { return file_.get(); }
  Bytes file_offset() const noexcept { return 0; }

 private:
  MemoryFile(Bytes size, OwnedFd file, Mapping pages, std::span<std::uint64_t> notes) noexcept
      : size_(size), file_(std::move(file)), pages_(std::move(pages)), notes_(notes) {}

  static Result<MemoryFile> map(const BackingRequest& request, const PageLayout& layout, OwnedFd file) noexcept {
    auto pages = Mapping::map_zone(layout, file.get(), request.name);
    if (!pages) return pages.error();
    const auto words = static_cast<std::size_t>(layout.bytes - layout.notes_offset) / sizeof(std::uint64_t);
    const auto notes = pages->words(layout.notes_offset, words);
    return MemoryFile(request.size, std::move(file), *std::move(pages), notes);
  }

  Bytes size_;
  OwnedFd file_;
  Mapping pages_;
  std::span<std::uint64_t> notes_;
};

}  // namespace freestone::backing
