// A window of physical addresses, mapped by the operating system: of its memory device, or of a user I/O device.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// What both have in common: whole pages of a node, and the notes on fresh pages of this process (`WithNotes` puts them
// elsewhere). What is aligned is the physical address; a pointer is so up to a page only. One moved from has no
// pointers and no notes.
class MappedWindow {
 public:
  static constexpr bool shared = false;

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return physical_.value(); }
  std::span<std::uint64_t> notes() noexcept { return notes_.words(0, notes_.data() == nullptr ? 0 : notes_words_); }

  std::optional<PhysicalAddress> physical_address(Bytes offset) const noexcept { return physical_ + offset; }
  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    if (window_.data() == nullptr) return std::nullopt;
    return window_.data() + static_cast<std::size_t>(skipped_ + offset.value());
  }

 protected:
  // Which bytes of the node to map, and which of these are the window.
  struct Place {
    std::uint64_t from = 0;
    std::uint64_t bytes = 0;
    std::uint64_t skipped = 0;
  };

  static Result<MappedWindow> map(const BackingRequest& request, const char* node, const OwnedFd& file,
                                  PhysicalAddress physical, const Place& place) noexcept {
    if (const Error error = check(request, node, file, place); error) return error;
    auto window = Mapping::map(place.bytes, page_size(), file.get(), request.name, place.from);
    if (!window && window.error().code == ErrorCode::limit_reached) return window.error();
    if (!window) return errno = window.error().os_error, node_error(node, request.name, request.size);
    auto notes = Mapping::map_notes(request);
    if (!notes) return notes.error();
    return MappedWindow(physical, place, *std::move(window), *std::move(notes), request.notes_words);
  }

  static Error wrong(ErrorCode code, std::uint64_t asked, std::uint64_t available,
                     const BackingRequest& request) noexcept {
    return {.code = code, .asked = asked, .available = available, .zone = request.name};
  }

 private:
  MappedWindow(PhysicalAddress physical, const Place& place, Mapping window, Mapping notes, std::size_t words) noexcept
      : physical_(physical),
        size_(place.bytes - place.skipped),
        skipped_(place.skipped),
        notes_words_(words),
        window_(std::move(window)),
        notes_(std::move(notes)) {}

  static Error check(const BackingRequest& request, const char* node, const OwnedFd& file,
                     const Place& place) noexcept {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
    if (place.from > most || place.bytes > most - place.from) {  // of 32 bits without _FILE_OFFSET_BITS=64
      errno = EOVERFLOW;
      return node_error(node, request.name, request.size);
    }
    struct stat status {};
    if (fstat(file.get(), &status) != 0) return node_error(node, request.name, request.size);
    const auto length = static_cast<std::uint64_t>(status.st_size);
    if (S_ISREG(status.st_mode) && place.from + place.bytes > length) {  // touching it would end the program
      return wrong(ErrorCode::cut_short, place.from + place.bytes, length, request);
    }
    return {};
  }

  PhysicalAddress physical_;
  Bytes size_;
  std::uint64_t skipped_;
  std::size_t notes_words_;
  Mapping window_;
  Mapping notes_;
};

// A range of /dev/mem: nobody else may use those addresses, for which the caller vouches. `DevMem` maps it uncached
// (O_SYNC), `CachedDevMem` as the kernel maps its own memory. Of a carve-out that the kernel does not map (no-map of
// the device tree) Arm's kernels map both as device memory: nothing is cached, and an access that is not aligned, of
// memset too, ends the program. x86's go by the firmware's word (MTRR), so there CachedDevMem is cached.
template <Cacheability How>
class DevMemAs : public MappedWindow {
 public:
  static constexpr bool gives(Cacheability c) noexcept { return c == How; }

  struct Settings {
    PhysicalAddress base;  // a multiple of the page
    const char* path = "/dev/mem";
  };

  // Of the node: no_device; no_access, where CAP_SYS_RAWIO (EPERM of the open) or what the error names (EACCES) is
  // missing, or where the kernel keeps these addresses to itself (EPERM of the mapping, with nothing that would help);
  // in_use where another has mapped them with other caching; limit_reached (open files); not_pages where the size is no
  // multiple of the page; out_of_memory; node_failure with errno. Besides: base_misaligned, zone_overflow, cut_short
  // where the path is a file and ends before, limit_reached (locked memory: mlockall).
  static Result<DevMemAs> create(const BackingRequest& request, const Settings& settings) noexcept {
    const std::uint64_t page = page_size();
    const std::uint64_t base = settings.base.value();
    const std::uint64_t size = request.size.value();
    if ((base & (page - 1)) != 0) return wrong(ErrorCode::base_misaligned, base, page, request);
    if (size == 0 || (size & (page - 1)) != 0) {
      Error error = Error::of_node(ErrorCode::not_pages, settings.path, request.name);
      error.asked = size;
      return error;
    }
    if (size - 1 > ~base) return wrong(ErrorCode::zone_overflow, size, ~base, request);
    constexpr int flags = O_RDWR | (How == Cacheability::uncached ? O_SYNC : 0);
    const auto file = open_node(settings.path, flags, request.name, request.size, Privilege::cap_sys_rawio);
    if (!file) return file.error();
    auto made = map(request, settings.path, *file, settings.base, {.from = base, .bytes = size});
    if (!made) return made.error();
    return DevMemAs(*std::move(made));
  }

 private:
  explicit DevMemAs(MappedWindow made) noexcept : MappedWindow(std::move(made)) {}
};

using DevMem = DevMemAs<Cacheability::uncached>;
using CachedDevMem = DevMemAs<Cacheability::cached>;

// One of the windows of a user I/O device, all of it: size() is what there is. The kernel maps it uncached. Physical
// windows only (UIO_MEM_PHYS of its driver): of memory that a driver took from the kernel, the kernel tells no physical
// address but one of its own, and nothing here can see which it is.
class Uio : public MappedWindow {
 public:
  static constexpr bool gives(Cacheability c) noexcept { return c == Cacheability::uncached; }

  struct Settings {
    const char* path = "/dev/uio0";
    unsigned map = 0;                     // which window
    const char* sysfs = "/sys/dev/char";  // where the kernel tells of devices by their numbers
  };

  // Of the node: no_device, also where it has no such window; no_access with what is missing; limit_reached (open
  // files); out_of_memory; node_failure with errno. Of the file in which the kernel tells of the window the same, with
  // node_failure where what it tells is no number (EINVAL, ERANGE); bad_name where `sysfs` is too long. Besides:
  // data_too_small where the window is smaller than the request, zone_overflow, cut_short where the path is a file and
  // ends before, limit_reached (locked memory: mlockall).
  static Result<Uio> create(const BackingRequest& request, const Settings& settings) noexcept {
    const auto file = open_node(settings.path, O_RDWR, request.name, request.size);
    if (!file) return file.error();
    std::uint64_t numbers[3] = {};
    constexpr const char* told[] = {"/sys/dev/char/*/maps/map*/addr", "/sys/dev/char/*/maps/map*/size",
                                    "/sys/dev/char/*/maps/map*/offset"};
    for (std::size_t i = 0; i < std::size(told); ++i) {
      if (read_number(*file, settings, std::strrchr(told[i], '/'), numbers[i])) continue;
      return node_error(errno == ENOENT ? settings.path : told[i], request.name, request.size);
    }
    const auto [address, bytes, skipped] = numbers;
    const std::uint64_t size = skipped < bytes ? bytes - skipped : 0;
    if (size == 0 || request.size > size) {
      return wrong(ErrorCode::data_too_small, request.size.value(), size, request);
    }
    if (bytes - 1 > ~address) return wrong(ErrorCode::zone_overflow, bytes, ~address, request);
    // Which window is said by the page that the mapping begins with.
    const Place place{.from = settings.map * page_size(), .bytes = bytes, .skipped = skipped};
    auto made = map(request, settings.path, *file, PhysicalAddress(address + skipped), place);
    if (!made) return made.error();
    return Uio(*std::move(made));
  }

 private:
  explicit Uio(MappedWindow made) noexcept : MappedWindow(std::move(made)) {}

  // By the device's numbers, for the path may be a link. False with errno.
  static bool read_number(const OwnedFd& device, const Settings& settings, const char* name,
                          std::uint64_t& number) noexcept {
    struct stat status {};
    if (fstat(device.get(), &status) != 0) return false;
    char path[256];
    const int length = std::snprintf(path, sizeof(path), "%s/%u:%u/maps/map%u%s", settings.sysfs, major(status.st_rdev),
                                     minor(status.st_rdev), settings.map, name);
    if (length < 0 || static_cast<std::size_t>(length) >= sizeof(path)) return errno = ENAMETOOLONG, false;
    const OwnedFd file(open(path, O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) return false;
    char text[32] = {};
    if (read(file.get(), text, sizeof(text) - 1) < 0) return false;
    char* end = nullptr;
    errno = 0;
    number = std::strtoull(text, &end, 0);
    if (errno == 0 && (end == text || *end != '\n')) errno = EINVAL;
    return errno == 0;
  }
};

}  // namespace freestone::backing
