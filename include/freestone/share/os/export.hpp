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
// (MemoryFile), the zone's notes; and he may keep it as long as he likes, mapped or passed on to somebody. So he sees, and
// where he may write changes, whatever comes to lie there later, scrubbed or not: a zone's file goes only to processes
// that may see all of the zone. To any other goes the file of a zone (backing::DataFile) in which nobody else's bytes
// ever lie, made for that process, or for one buffer. A Device has one Z for all its buffers, so such a process has a
// device of its own, over that zone: its handles and quotas hold there, and nothing counts across devices.
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

// mmap and lseek with offsets of 64 bits, also where off_t has 32.
inline void* map_file(std::size_t size, int protection, int fd, std::uint64_t offset) noexcept {
#if defined(__USE_LARGEFILE64) || defined(__BIONIC__)
  return ::mmap64(nullptr, size, protection, MAP_SHARED, fd, static_cast<off64_t>(offset));
#else
  return ::mmap(nullptr, size, protection, MAP_SHARED, fd, static_cast<off_t>(offset));
#endif
}
inline std::int64_t end_of_file(int fd) noexcept {
#if defined(__USE_LARGEFILE64) || defined(__BIONIC__)
  return ::lseek64(fd, 0, SEEK_END);
#else
  return ::lseek(fd, 0, SEEK_END);
#endif
}

// The seals that a file has; none, where it is of a kind that has none (EINVAL, fcntl(2)). Errors: not_sealed with errno,
// where the kernel does not say.
inline Result<int> seals_of(int fd) noexcept {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 && errno != EINVAL) return Error{.code = ErrorCode::not_sealed, .os_error = errno};
  return seals < 0 ? 0 : seals;
}

constexpr bool forbid_writing(int seals) noexcept { return (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0; }

// Adds what is lacking of these seals, all or none; then those that the file has. Errors: not_sealed, where the file
// takes them no more, or never.
inline Result<int> seal_file(int fd, int wanted) noexcept {
  auto seals = seals_of(fd);
  if (!seals) return seals;
  const int lacking = wanted & ~*seals;
  if (lacking == 0 || ::fcntl(fd, F_ADD_SEALS, lacking) == 0) return *seals | wanted;
  const int os_error = errno;
  seals = seals_of(fd);
  if (seals && (*seals & wanted) == wanted) return seals;  // another thread was quicker
  return Error{.code = ErrorCode::not_sealed,
               .os_error = os_error,
               .asked = static_cast<std::uint64_t>(wanted),
               .available = seals ? static_cast<std::uint64_t>(*seals) : 0};
}

// Read-only: nobody can write it through this descriptor, or map it for that. Errors: not_sealed and foreign_file with
// errno, where the kernel does not say.
inline Result<FileAccess> access_through(int fd) noexcept {
  const auto seals = seals_of(fd);
  if (!seals) return seals.error();
  const int mode = ::fcntl(fd, F_GETFL);
  if (mode < 0) return Error{.code = ErrorCode::foreign_file, .os_error = errno};
  return forbid_writing(*seals) || (mode & O_ACCMODE) != O_RDWR ? FileAccess::read_only : FileAccess::read_write;
}

// A file goes out read-write or read-only, and from then on it can be the other no more: who had it read-write once could
// keep a mapping of it. The seals hold for the file, however it is opened, mapped or passed on. Where it fails, the file
// is as it was.
inline Result<void> prepare_file(int fd, FileAccess access) noexcept {
  constexpr int fixed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (access == FileAccess::read_only) {
    const auto sealed = seal_file(fd, fixed | F_SEAL_FUTURE_WRITE);
    return sealed ? Result<void>() : sealed.error();
  }
  const Error read_only = Error::of_node(ErrorCode::read_only, "exported file", "");
  const auto may = access_through(fd);
  if (!may) return may.error();
  if (*may == FileAccess::read_only) return read_only;
  const auto is_dma_buf = look_for_dma_buf(fd);
  if (!is_dma_buf) return is_dma_buf.error();
  if (*is_dma_buf) return {};
  const auto seals = seal_file(fd, fixed);
  if (!seals) return seals.error();
  return forbid_writing(*seals) ? read_only : Error();  // another thread has exported it to be read
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
  backing::OwnedFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (own.get() < 0) return share_failure("exported file");
  if (const auto ready = prepare_file(fd, access); !ready) return ready.error();  // last: it cannot be undone
  return Exported{std::move(own), offset, size, access};
}

}  // namespace detail

// All of a zone's bytes. Read-write: its length is sealed, for whoever could cut it would kill all who have it mapped.
// Read-only: besides, nobody maps it for writing or writes it any more, in whatever way he opens it; the mapping that the
// zone has stays as it is (F_SEAL_FUTURE_WRITE, fcntl(2)), but `decommit` fails from then on. Errors, and then nothing is
// exported, and the file is as it was: not_sealed, where that cannot be promised: it lacks a seal and takes none
// (MemoryFile read-only, whose users must be able to write; a dma-buf read-only; a file with a name); read_only, where it
// was exported so before; not_pages; limit_reached. With errno, where the kernel refuses to say what it is: not_sealed,
// foreign_file. Any thread.
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
  // The descriptor is the range's, and closed where it fails: foreign_file, where it is not open for reading, is a memfd
  // of huge pages, or the access is none; zero_size; not_sealed, where somebody could cut the file; cut_short, where it
  // ends before offset + size; not_pages; read_only, where it is to be written and may not be; out_of_memory,
  // limit_reached, node_failure. Nobody else who serves the file is asked anything; but to close one of his may take as
  // long as he likes (fd_message.hpp, receive).
  static Result<ImportedRange> map(backing::OwnedFd fd, const ExportRecord& said) noexcept {
    if (said.access > static_cast<std::uint64_t>(FileAccess::read_write)) return ErrorCode::foreign_file;
    if (const auto checked = check(fd.get(), said); !checked) return checked.error();
    const auto access = static_cast<FileAccess>(said.access);
    const auto may = access == FileAccess::read_write ? detail::access_through(fd.get()) : access;
    if (!may) return may.error();
    if (*may != access) return failure(ErrorCode::read_only, said);
    const int protection = access == FileAccess::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
    const auto size = static_cast<std::size_t>(said.size);
    void* const bytes = detail::map_file(size, protection, fd.get(), said.offset);
    if (bytes == MAP_FAILED) return detail::share_failure(node);
    return ImportedRange(std::move(fd), {static_cast<std::byte*>(bytes), size}, access);
  }

  ImportedRange(ImportedRange&& other) noexcept
      : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, {})), access_(other.access_) {}
  ImportedRange& operator=(ImportedRange&& other) noexcept {
    ImportedRange next(std::move(other));
    std::swap(fd_, next.fd_);
    std::swap(bytes_, next.bytes_);
    std::swap(access_, next.access_);
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
    const auto length = fixed_length(fd);
    if (!length) return length.error();
    const bool is_inside = said.offset <= *length && said.size <= *length - said.offset;
    if (!is_inside) return Error{.code = ErrorCode::cut_short, .asked = said.size, .available = *length};
    if (said.size > std::numeric_limits<std::size_t>::max() / 2) return failure(ErrorCode::out_of_memory, said);
    if (!detail::is_whole_pages(said.offset, said.size)) return failure(ErrorCode::not_pages, said);
    return {};
  }

  // The length of a file that can never be shorter.
  static Result<std::uint64_t> fixed_length(int fd) noexcept {
    const auto seals = detail::seals_of(fd);
    if (!seals) return seals.error();
    if ((*seals & F_SEAL_SHRINK) != 0) return length_of_sealed(fd);
    const auto is_dma_buf = detail::look_for_dma_buf(fd);
    if (!is_dma_buf) return is_dma_buf.error();
    if (!*is_dma_buf) return Error{.code = ErrorCode::not_sealed, .asked = F_SEAL_SHRINK};
    const std::int64_t end = detail::end_of_file(fd);  // (linux/Documentation/driver-api/dma-buf.rst, "llseek")
    if (end < 0) return detail::share_failure(node);
    return static_cast<std::uint64_t>(end);
  }
  // A file of huge pages takes seals too, but of its mappings only whole huge pages can end (mmap(2), "Huge page
  // (Huge TLB) mappings").
  static Result<std::uint64_t> length_of_sealed(int fd) noexcept {
    constexpr std::uint32_t plain_memory = 0x01021994;  // TMPFS_MAGIC
    const auto file_system = detail::file_system_of(fd);
    if (!file_system) return file_system.error();
    if (*file_system != plain_memory) return ErrorCode::foreign_file;
    const auto status = detail::status_of(fd, STATX_SIZE);
    if (!status) return status.error();
    return std::uint64_t{status->stx_size};
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
