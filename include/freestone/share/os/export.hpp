// A zone or one of its blocks for another process: a file, where in it, how long, and whether it may be written.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include <freestone/backing/concept.hpp>
#include <freestone/backing/os/mapping.hpp>
#include <freestone/backing/os/node.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/share/os/failure.hpp>
#include <freestone/share/os/file_identity.hpp>

namespace freestone {

enum class FileAccess : std::uint8_t { read_only, read_write };

// What is said of an export in a message beside its descriptor (MessageRecord).
struct ExportRecord {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t access = 0;  // a FileAccess; whoever receives it may find any number
};

// Bytes offset to offset + size of the file; whole pages.
//
// Who holds the descriptor can map all of the file: the other blocks of the zone too, and, where they lie in it
// (MemoryFile), the zone's notes. So to whoever is not trusted with all of these goes a file of the buffer's own
// (backing::DataFile, one zone a buffer), whose bytes nobody else ever gets: for he may keep the file, mapped or passed
// on to somebody, as long as he likes.
struct Exported {
  backing::OwnedFd fd;
  Bytes offset;
  Bytes size;
  FileAccess access;

  ExportRecord record() const noexcept {
    return {offset.value(), size.value(), static_cast<std::uint64_t>(access)};
  }
};

namespace detail {

// Adds what is lacking of these seals. Errors: not_sealed, where the file takes them no more, or never.
inline Result<void> seal_file(int fd, int wanted) noexcept {
  int seals = ::fcntl(fd, F_GET_SEALS);
  int os_error = 0;
  if (seals >= 0 && (seals & wanted) != wanted) {
    if (::fcntl(fd, F_ADD_SEALS, wanted & ~seals) != 0) os_error = errno;
    seals = ::fcntl(fd, F_GET_SEALS);
  }
  if (seals >= 0 && (seals & wanted) == wanted) return {};
  return Error{.code = ErrorCode::not_sealed,
               .os_error = os_error,
               .asked = static_cast<std::uint64_t>(wanted),
               .available = seals < 0 ? 0 : static_cast<std::uint64_t>(seals)};
}

inline constexpr int no_writing = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

// May nobody write it through this descriptor, nor map it for that?
inline bool is_read_only(int fd) noexcept {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  return (::fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR || (seals >= 0 && (seals & no_writing) != 0);
}

// A file goes out read-write or read-only, and from then on it can be the other no more: who had it read-write once could
// keep a mapping of it. The seals hold for the file, however it is opened, mapped or passed on.
inline Result<void> prepare_file(int fd, FileAccess access) noexcept {
  constexpr int fixed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (access == FileAccess::read_only) return seal_file(fd, fixed | F_SEAL_FUTURE_WRITE);
  if (is_read_only(fd)) return Error::of_node(ErrorCode::read_only, "exported file", "");
  return is_dma_buf(fd) ? Result<void>() : seal_file(fd, fixed);
}

inline bool is_whole_pages(Bytes offset, Bytes size) noexcept {
  return ((offset.value() | size.value()) & (backing::page_size() - 1)) == 0;
}

inline Result<Exported> export_file(int fd, Bytes offset, Bytes size, FileAccess access) noexcept {
  if (!is_whole_pages(offset, size)) {
    Error error = Error::of_node(ErrorCode::not_pages, "exported file", "");
    error.asked = size.value();
    return error;
  }
  if (const auto ready = prepare_file(fd, access); !ready) return ready.error();
  backing::OwnedFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (own.get() < 0) return share_failure("exported file");
  return Exported{std::move(own), offset, size, access};
}

}  // namespace detail

// All of a zone's bytes. Read-write: its length is sealed, for whoever could cut it would kill all who have it mapped.
// Read-only: besides, nobody maps it for writing or writes it any more, in whatever way he opens it; the mapping that the
// zone has stays as it is (F_SEAL_FUTURE_WRITE, fcntl(2)), but `decommit` fails from then on. Errors, and then nothing is
// exported: not_sealed, where that cannot be promised: it lacks a seal and takes none (MemoryFile read-only, whose
// users must be able to write; a dma-buf read-only; a file with a name); read_only, where it was exported so before;
// not_pages; limit_reached. Any thread.
template <class Z>
  requires has_file<typename Z::Backing>
Result<Exported> export_zone(Z& zone, FileAccess access) noexcept {
  const auto& backing = zone.backing();
  return detail::export_file(backing.fd(), backing.file_offset(), zone.size(), access);
}

// The same of one live block, which must have its pages for itself. Errors besides: foreign_block. The block must not go
// back while others have it: share/os/exports.hpp and peers.hpp see to that.
template <class Z>
  requires has_file<typename Z::Backing>
Result<Exported> export_block(Z& zone, const Block& block, FileAccess access) noexcept {
  if (!zone.owns(block)) return ErrorCode::foreign_block;
  const auto& backing = zone.backing();
  return detail::export_file(backing.fd(), backing.file_offset() + block.offset(), block.size(), access);
}

// What came from another process, mapped: those bytes and no others, with that access. Nobody can cut the file under
// it. What the bytes hold is another matter: whoever has them read-write may change them at any moment, so copy before
// you check.
class ImportedRange {
 public:
  // The descriptor is the range's, and closed where it fails: foreign_file, where it is not open for reading or the
  // access is none; zero_size; not_sealed, where somebody could cut the file; cut_short, where it ends before offset +
  // size; not_pages; read_only, where it is to be written and may not be; out_of_memory, limit_reached, node_failure.
  static Result<ImportedRange> map(backing::OwnedFd fd, const ExportRecord& said) noexcept {
    if (said.access > static_cast<std::uint64_t>(FileAccess::read_write)) return ErrorCode::foreign_file;
    if (const auto checked = check(fd.get(), said); !checked) return checked.error();
    const auto access = static_cast<FileAccess>(said.access);
    if (access == FileAccess::read_write && detail::is_read_only(fd.get())) return failure(ErrorCode::read_only, said);
    const int protection = access == FileAccess::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
    const auto size = static_cast<std::size_t>(said.size);
    void* const bytes = ::mmap(nullptr, size, protection, MAP_SHARED, fd.get(), static_cast<off_t>(said.offset));
    if (bytes == MAP_FAILED) return detail::share_failure(node);
    return ImportedRange(std::move(fd), {static_cast<std::byte*>(bytes), size}, access);
  }

  ImportedRange(ImportedRange&& other) noexcept
      : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, {})), access_(other.access_) {}
  ImportedRange& operator=(ImportedRange&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(bytes_, other.bytes_);
    std::swap(access_, other.access_);
    return *this;
  }
  ~ImportedRange() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  // Empty where it may not be written.
  std::span<std::byte> writable() const noexcept {
    return access_ == FileAccess::read_write ? bytes_ : std::span<std::byte>();
  }
  FileAccess access() const noexcept { return access_; }
  int fd() const noexcept { return fd_.get(); }

 private:
  static constexpr const char* node = "imported file";

  ImportedRange(backing::OwnedFd fd, std::span<std::byte> bytes, FileAccess access) noexcept
      : fd_(std::move(fd)), bytes_(bytes), access_(access) {}

  static Result<void> check(int fd, const ExportRecord& said) noexcept {
    if (const auto identity = FileIdentity::of(fd); !identity) return identity.error();
    if (said.size == 0) return ErrorCode::zero_size;
    const int seals = ::fcntl(fd, F_GET_SEALS);
    const bool is_sealed = seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
    if (!is_sealed && !is_dma_buf(fd)) return Error{.code = ErrorCode::not_sealed, .asked = F_SEAL_SHRINK};
    const std::uint64_t length = length_of(fd, !is_sealed);
    const bool is_inside = said.offset <= length && said.size <= length - said.offset;
    if (!is_inside) return Error{.code = ErrorCode::cut_short, .asked = said.size, .available = length};
    if (said.size > std::numeric_limits<std::size_t>::max() / 2) return failure(ErrorCode::out_of_memory, said);
    if (!detail::is_whole_pages(said.offset, said.size)) return failure(ErrorCode::not_pages, said);
    return {};
  }

  // 0 where nobody says.
  static std::uint64_t length_of(int fd, bool is_dma_buf) noexcept {
    if (is_dma_buf) {  // (linux/Documentation/driver-api/dma-buf.rst, "llseek")
      const off_t end = ::lseek(fd, 0, SEEK_END);
      return end < 0 ? 0 : static_cast<std::uint64_t>(end);
    }
    struct stat status {};
    return ::fstat(fd, &status) == 0 && status.st_size > 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
  }

  static Error failure(ErrorCode code, const ExportRecord& said) noexcept {
    Error error = Error::of_node(code, node, "");
    error.asked = said.size;
    return error;
  }

  backing::OwnedFd fd_;
  std::span<std::byte> bytes_;
  FileAccess access_;
};

}  // namespace freestone
