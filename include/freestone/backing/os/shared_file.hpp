// What MemoryFile, SharedMemory and File have in common: a file that holds a zone.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// In the file: a header that says how long the rest is, the data, the notes on pages of their own. Every process maps
// the data at a multiple of 2 MiB. Offsets count from 0 in all of them.
class SharedFile {
 public:
  static constexpr bool shared = true;
  static constexpr bool gives(Cacheability c) noexcept { return c == Cacheability::cached; }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    return pages_.data() + static_cast<std::size_t>(offset.value());
  }

  // For SCM_RIGHTS or a child; it stays the backing's.
  int fd() const noexcept { return file_.get(); }
  Bytes file_offset() const noexcept { return header_bytes; }

  // Storage for the pages that the range touches (where there is none left: node_failure with ENOSPC); no
  // storage for those that lie in it.
  Result<void> commit(Bytes offset, Bytes size) noexcept {
    return allocate_storage(0, offset.value(), offset.value() + size.value());
  }
  Result<void> decommit(Bytes offset, Bytes size) noexcept {
    const std::uint64_t page = page_size();
    const std::uint64_t from = bits::align_up(offset.value(), page);
    const std::uint64_t to = (offset.value() + size.value()) & ~(page - 1);
    if (from >= to) return {};
    return allocate_storage(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to);
  }

  // cut_short when somebody cut the file meanwhile: what lay behind its end may not be touched any more (SIGBUS). Of a
  // MemoryFile nobody can, for its size is sealed.
  Result<void> check_length() const noexcept {
    struct stat status {};
    if (fstat(file_.get(), &status) != 0) return node_error(node_, "", 0);
    const auto length = static_cast<std::uint64_t>(status.st_size);
    if (length >= length_) return {};
    return Error{.code = ErrorCode::cut_short, .asked = length_, .available = length};
  }

 protected:
  static Error failure(const char* node, const BackingRequest& request) noexcept {
    return node_error(node, request.name, request.size);
  }

  // A new file's: `file` is empty. `node` names it in errors, and must outlive this.
  static Result<SharedFile> make(const BackingRequest& request, OwnedFd file, const char* node) noexcept {
    const PageLayout layout = PageLayout::of(request);
    const Header header{.magic = magic, .version = version, .notes_offset = layout.notes_offset, .bytes = layout.bytes};
    const auto length = static_cast<off_t>(header_bytes + layout.bytes);
    if (layout.bytes == 0) errno = ENOMEM;
    if (layout.bytes == 0 || ftruncate(file.get(), length) != 0 ||
        pwrite(file.get(), &header, sizeof(header), 0) != sizeof(header)) {
      return failure(node, request);
    }
    return map(request, layout, std::move(file), node);
  }

  // One that was made. not_formatted and wrong_version where it is no such file, cut_short where it is shorter than it
  // says, wrong_capacity where its data is shorter than asked for.
  static Result<SharedFile> take_up(const BackingRequest& request, OwnedFd file, const char* node) noexcept {
    Header header;
    struct stat status {};
    const ssize_t read = pread(file.get(), &header, sizeof(header), 0);
    if (read < 0 || fstat(file.get(), &status) != 0) return failure(node, request);
    const auto wrong = [&](ErrorCode code, std::uint64_t asked, std::uint64_t available) {
      return Error{.code = code, .asked = asked, .available = available, .zone = request.name};
    };
    if (read != sizeof(header) || header.magic != magic) return wrong(ErrorCode::not_formatted, 0, 0);
    if (header.version != version) return wrong(ErrorCode::wrong_version, version, header.version);
    const auto bytes = static_cast<std::uint64_t>(status.st_size);
    if (bytes < header_bytes || bytes - header_bytes < header.bytes || header.notes_offset >= header.bytes)
      return wrong(ErrorCode::cut_short, header.bytes, bytes);
    if (request.size.value() > header.notes_offset)
      return wrong(ErrorCode::wrong_capacity, request.size.value(), header.notes_offset);
    return map(request, {header.notes_offset, header.bytes}, std::move(file), node);
  }

 private:
  static constexpr std::uint64_t header_bytes = 64U << 10;  // a page of any target: where the data begins
  static constexpr std::uint64_t magic = 0x656E6F7473656572;
  static constexpr std::uint64_t version = 1;
  struct Header {
    std::uint64_t magic = 0;
    std::uint64_t version = 0;
    std::uint64_t notes_offset = 0;  // from the data on
    std::uint64_t bytes = 0;         // of data and notes
  };

  SharedFile(Bytes size, OwnedFd file, Mapping pages, std::span<std::uint64_t> notes, std::uint64_t length,
             const char* node) noexcept
      : size_(size), file_(std::move(file)), pages_(std::move(pages)), notes_(notes), length_(length), node_(node) {}

  static Result<SharedFile> map(const BackingRequest& request, const PageLayout& layout, OwnedFd file,
                                const char* node) noexcept {
    auto pages = Mapping::map_zone(layout, file.get(), request.name, header_bytes);
    if (!pages) return pages.error();
    const auto words = static_cast<std::size_t>(layout.bytes - layout.notes_offset) / sizeof(std::uint64_t);
    const auto notes = pages->words(layout.notes_offset, words);
    return SharedFile(request.size, std::move(file), *std::move(pages), notes, header_bytes + layout.bytes, node);
  }

  Result<void> allocate_storage(int mode, std::uint64_t from, std::uint64_t to) noexcept {
    const auto first = static_cast<off_t>(header_bytes + from);
    if (fallocate(file_.get(), mode, first, static_cast<off_t>(to - from)) == 0) return {};
    return node_error(node_, "", to - from);
  }

  Bytes size_;
  OwnedFd file_;
  Mapping pages_;
  std::span<std::uint64_t> notes_;
  std::uint64_t length_;  // of the file
  const char* node_;
};

}  // namespace freestone::backing
