#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// A memfd of the data alone; the notes lie on pages of this process. For what goes out to other processes
// (share/os/export.hpp): who holds the file sees no notes, and it can be sealed read-only for them, which a MemoryFile
// cannot. One of these for each buffer keeps a process from the others' bytes. Its size is sealed. Offsets count from 0;
// up to 2 MiB a pointer is aligned as its offset is.
class DataFile {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability c) noexcept { return c == Cacheability::cached; }

  // The size is rounded up to pages in the file. Errors: bad_name where the zone's name has more than 249 bytes;
  // limit_reached, out_of_memory, node_failure.
  static Result<DataFile> create(const BackingRequest& request) noexcept {
    const char* name = request.name == nullptr ? "" : request.name;
    if (std::strlen(name) > most_name) return Error::of_node(ErrorCode::bad_name, name, name);
    if (request.size.value() == 0 || request.size.value() > SIZE_MAX / 4) return errno = ENOMEM, failure(request);
    const std::uint64_t length = bits::align_up(request.size.value(), page_size());
    if (exceeds_file_size_limit(length)) return too_long(request, length);
    OwnedFd file(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (file.get() < 0 || ftruncate(file.get(), static_cast<off_t>(length)) != 0 ||
        fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
      return failure(request);
    }
    auto notes = Mapping::map_notes(request);
    if (!notes) return notes.error();
    auto pages = Mapping::map(length, Mapping::zone_alignment, file.get(), request.name);
    if (!pages) return pages.error();
    return DataFile(request, std::move(file), *std::move(pages), *std::move(notes));
  }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    return pages_.data() + static_cast<std::size_t>(offset.value());
  }

  // It stays the backing's.
  int fd() const noexcept { return file_.get(); }
  Bytes file_offset() const noexcept { return 0; }

 private:
  static constexpr std::size_t most_name = 249;  // "memfd:" and a name are a file's name

  DataFile(const BackingRequest& request, OwnedFd file, Mapping pages, Mapping notes) noexcept
      : size_(request.size),
        file_(std::move(file)),
        pages_(std::move(pages)),
        note_pages_(std::move(notes)),
        notes_(note_pages_.words(0, request.notes_words)) {}

  static Error failure(const BackingRequest& request) noexcept { return node_error("memfd", request.name, request.size); }

  static Error too_long(const BackingRequest& request, std::uint64_t length) noexcept {
    Error error = Error::of_node(ErrorCode::limit_reached, "memfd", request.name);
    error.asked = length;
    return error;
  }

  Bytes size_;
  OwnedFd file_;
  Mapping pages_;
  Mapping note_pages_;
  std::span<std::uint64_t> notes_;
};

}  // namespace freestone::backing
