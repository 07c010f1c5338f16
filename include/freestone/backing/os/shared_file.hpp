// What MemoryFile, SharedMemory and File have in common: a file that holds a zone.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
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
  // storage for those that lie in it. What has none when it is first touched gets it then, or the process is sent
  // SIGBUS, if there is none left.
  Result<void> commit(Bytes offset, Bytes size) noexcept {
    if (size == 0) return {};
    return allocate_storage(FALLOC_FL_KEEP_SIZE, offset.value(), offset.value() + size.value());
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
    if (fstat(file_.get(), &status) != 0) return node_error(node_, zone_, 0);
    const auto length = static_cast<std::uint64_t>(status.st_size);
    if (length >= length_) return {};
    return Error{.code = ErrorCode::cut_short, .asked = length_, .available = length, .zone = zone_};
  }

 protected:
  // Storage for the notes, where the file system can say: a zone writes them as soon as it has them, and where there is
  // none left that is an error, and no signal.
  Result<void> commit_notes() noexcept {
    const auto first = static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(notes_.data()) - pages_.data());
    if (notes_.empty()) return {};
    const auto stored = allocate_storage(0, first, first + notes_.size_bytes());
    return stored || stored.error().os_error == EOPNOTSUPP ? Result<void>() : stored;
  }

  Error error_now() const noexcept { return node_error(node_, zone_, size_); }

  static Error failure(const char* node, const BackingRequest& request) noexcept {
    return node_error(node, request.name, request.size);
  }

  // A new file's: `file` is empty. `node` names it in errors, and must outlive this. Errors: out_of_memory, where this
  // process cannot map so much; limit_reached, where a file may not be so long; node_failure.
  static Result<SharedFile> make(const BackingRequest& request, OwnedFd file, const char* node) noexcept {
    const PageLayout layout = PageLayout::of(request);
    const Header header{.magic = magic,
                        .version = version,
                        .size = request.size.value(),
                        .notes_offset = layout.notes_offset,
                        .bytes = layout.bytes};
    const std::uint64_t length = header_bytes + layout.bytes;
    const bool is_too_long = length > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
    if (layout.bytes == 0 || is_too_long) return errno = ENOMEM, failure(node, request);
    if (exceeds_file_size_limit(length)) {
      Error error = Error::of_node(ErrorCode::limit_reached, node, request.name);
      error.asked = length;
      return error;
    }
    if (ftruncate(file.get(), static_cast<off_t>(length)) != 0 ||
        pwrite(file.get(), &header, sizeof(header), 0) != sizeof(header)) {
      return failure(node, request);
    }
    return map(request, request.size, layout, std::move(file), node);
  }

  // One that was made; a size of 0 asks for all of it. not_formatted and wrong_version where it is no such file,
  // cut_short where it is shorter than it says, data_too_small where its data is shorter than asked for.
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
    if (bytes < header_bytes || bytes - header_bytes < header.bytes || header.notes_offset > header.bytes ||
        header.size > header.notes_offset) {
      const std::uint64_t said = header.bytes > ~header_bytes ? ~std::uint64_t{0} : header_bytes + header.bytes;
      return wrong(ErrorCode::cut_short, said, bytes);
    }
    if (request.size.value() > header.size)
      return wrong(ErrorCode::data_too_small, request.size.value(), header.size);
    const Bytes size = request.size == 0 ? Bytes(header.size) : request.size;
    return map(request, size, {header.notes_offset, header.bytes}, std::move(file), node);
  }

 private:
  static constexpr std::uint64_t header_bytes = 64U << 10;  // a page of any target: where the data begins
  static constexpr std::uint64_t magic = 0x656E6F7473656572;
  static constexpr std::uint64_t version = 2;
  struct Header {
    std::uint64_t magic = 0;
    std::uint64_t version = 0;
    std::uint64_t size = 0;          // of the data
    std::uint64_t notes_offset = 0;  // from the data on
    std::uint64_t bytes = 0;         // of data and notes
  };

  SharedFile(Bytes size, OwnedFd file, Mapping pages, std::span<std::uint64_t> notes, std::uint64_t length,
             const char* node, const char* zone) noexcept
      : size_(size),
        file_(std::move(file)),
        pages_(std::move(pages)),
        notes_(notes),
        length_(length),
        node_(node),
        zone_(zone) {}

  static Result<SharedFile> map(const BackingRequest& request, Bytes size, const PageLayout& layout, OwnedFd file,
                                const char* node) noexcept {
    auto pages = Mapping::map_zone(layout, file.get(), request.name, header_bytes);
    if (!pages && pages.error().code == ErrorCode::limit_reached) return pages.error();
    if (!pages) return errno = pages.error().os_error, failure(node, request);
    const auto words = static_cast<std::size_t>(layout.bytes - layout.notes_offset) / sizeof(std::uint64_t);
    const auto notes = pages->words(layout.notes_offset, words);
    return SharedFile(size, std::move(file), *std::move(pages), notes, header_bytes + layout.bytes, node, request.name);
  }

  Result<void> allocate_storage(int mode, std::uint64_t from, std::uint64_t to) noexcept {
    const auto first = static_cast<off_t>(header_bytes + from);
    if (fallocate(file_.get(), mode, first, static_cast<off_t>(to - from)) == 0) return {};
    return node_error(node_, zone_, to - from);
  }

  Bytes size_;
  OwnedFd file_;
  Mapping pages_;
  std::span<std::uint64_t> notes_;
  std::uint64_t length_;  // of the file
  const char* node_;
  const char* zone_;
};

}  // namespace freestone::backing
