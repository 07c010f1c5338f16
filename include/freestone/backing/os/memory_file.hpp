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

  // out_of_memory or os_failure with errno; a name of more than 249 bytes is such a failure.
  static Result<MemoryFile> create(const BackingRequest& request) noexcept {
    BackingRequest with_end = request;
    with_end.notes_words += end_words;
    const PageLayout layout = PageLayout::of(with_end);
    OwnedFd file(memfd_create(request.name == nullptr ? "" : request.name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (file.get() < 0) return os_error(request.name, request.size);
    if (ftruncate(file.get(), static_cast<off_t>(layout.bytes)) != 0) return os_error(request.name, request.size);
    if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
      return os_error(request.name, request.size);
    }
    auto made = map(request, layout, std::move(file));
    if (made) made->pages_.words(layout.bytes - sizeof(std::uint64_t), end_words)[0] = layout.notes_offset;
    return made;
  }

  // wrong_capacity when its data is smaller than asked for, cut_short when it is too small for any zone; os_failure
  // when it is no sealed file of ours.
  static Result<MemoryFile> attach(const BackingRequest& request, const Source& source) noexcept {
    OwnedFd file(fcntl(source.fd, F_DUPFD_CLOEXEC, 0));
    if (file.get() < 0) return os_error(request.name, request.size);
    const int seals = fcntl(file.get(), F_GET_SEALS);
    struct stat status {};
    if (seals < 0 || fstat(file.get(), &status) != 0) return os_error(request.name, request.size);
    const auto wrong = [&](ErrorCode code, std::uint64_t available) {
      return Error{.code = code, .asked = request.size.value(), .available = available, .zone = request.name};
    };
    if ((seals & F_SEAL_SHRINK) == 0)
      return Error{.code = ErrorCode::os_failure, .os_error = EPERM, .zone = request.name};
    const auto bytes = static_cast<std::uint64_t>(status.st_size);
    if (bytes < page_size() || (bytes & 7) != 0) return wrong(ErrorCode::cut_short, bytes);
    std::uint64_t notes_offset = 0;
    const auto end = static_cast<off_t>(bytes - sizeof(notes_offset));
    if (pread(file.get(), &notes_offset, sizeof(notes_offset), end) != sizeof(notes_offset)) {
      return os_error(request.name, request.size);
    }
    if (notes_offset >= bytes || (notes_offset & (page_size() - 1)) != 0) return wrong(ErrorCode::cut_short, bytes);
    if (request.size.value() > notes_offset) return wrong(ErrorCode::wrong_capacity, notes_offset);
    return map(request, {notes_offset, bytes}, std::move(file));
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
  static constexpr std::size_t end_words = 1;  // the file's last word says where the notes begin

  MemoryFile(Bytes size, OwnedFd file, Mapping pages, std::span<std::uint64_t> notes) noexcept
      : size_(size), file_(std::move(file)), pages_(std::move(pages)), notes_(notes) {}

  static Result<MemoryFile> map(const BackingRequest& request, const PageLayout& layout, OwnedFd file) noexcept {
    auto pages = Mapping::map_zone(layout, file.get(), request.name);
    if (!pages) return pages.error();
    const auto words = static_cast<std::size_t>(layout.bytes - layout.notes_offset) / sizeof(std::uint64_t);
    const auto notes = pages->words(layout.notes_offset, words - end_words);
    return MemoryFile(request.size, std::move(file), *std::move(pages), notes);
  }

  Bytes size_;
  OwnedFd file_;
  Mapping pages_;
  std::span<std::uint64_t> notes_;
};

}  // namespace freestone::backing
