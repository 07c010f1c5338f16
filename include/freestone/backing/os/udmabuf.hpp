#pragma once

#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include <freestone/backing/os/dma_buf.hpp>

namespace freestone::backing {

// Plain pages of this process as one dma-buf: a memfd that /dev/udmabuf pins. For a driver that imports dma-bufs, on a
// machine that has no heap for it. The bytes come zeroed, all of them have memory from the start, and they stay where
// they are; they lie together in an importer's eyes only where it has an IOMMU. Mapped cached.
class Udmabuf : public DmaBuf {
 public:
  struct Settings {
    const char* node = "/dev/udmabuf";
  };

  // not_pages where the size is 0 or no multiple of a page. Then, of the node: no_device, no_access (the error says
  // what is missing), limit_reached (open files, of which it takes three and keeps one; or, as the error's node says, a
  // memfd's length, ulimit -f, or the module's size_limit_mb, 64 where nobody set it), out_of_memory, node_failure
  // with errno (ENOTTY: it is no udmabuf). Of the mapping: out_of_memory, limit_reached (locked memory: mlockall).
  // Costs time that grows with the size: all pages are taken, zeroed and pinned now.
  static Result<Udmabuf> create(const BackingRequest& request) noexcept { return create(request, Settings{}); }
  static Result<Udmabuf> create(const BackingRequest& request, const Settings& settings) noexcept {
    if (auto right = check_size(request, settings.node); !right) return right.error();
    auto node = open_node(settings.node, O_RDWR, request.name, request.size);
    if (!node) return node.error();
    auto memory = make_memory(request);
    if (!memory) return memory.error();
    auto buffer = pin(request, node->get(), memory->get(), settings.node);
    if (!buffer) return buffer.error();
    auto made = map(request, *std::move(buffer), memory->get(), settings.node);
    if (!made) return made.error();
    return Udmabuf(*std::move(made));
  }

 private:
  static constexpr const char* size_limit = "/sys/module/udmabuf/parameters/size_limit_mb";

  explicit Udmabuf(DmaBuf buffer) noexcept : DmaBuf(std::move(buffer)) {}

  // What is pinned may not be cut off, so udmabuf wants that sealed.
  static Result<OwnedFd> make_memory(const BackingRequest& request) noexcept {
    if (exceeds_file_size_limit(request.size.value())) return limit_reached("memfd", EFBIG, request);
    OwnedFd file(memfd_create("freestone", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (file.get() < 0 || ftruncate(file.get(), static_cast<off_t>(request.size.value())) != 0 ||
        fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
      return node_error("memfd", request.name, request.size);
    }
    return file;
  }

  static Result<OwnedFd> pin(const BackingRequest& request, int node, int memory, const char* name) noexcept {
    udmabuf_create data{};
    data.memfd = static_cast<__u32>(memory);
    data.flags = UDMABUF_FLAGS_CLOEXEC;
    data.size = request.size.value();
    OwnedFd buffer(ioctl(node, UDMABUF_CREATE, &data));
    if (buffer.get() >= 0) return buffer;
    const Error error = node_error(name, request.name, request.size);
    if (error.os_error == EINVAL && is_beyond_limit(request.size)) return limit_reached(size_limit, EINVAL, request);
    return error;
  }

  static Error limit_reached(const char* limit, int os_error, const BackingRequest& request) noexcept {
    Error error = Error::of_node(ErrorCode::limit_reached, limit, request.name);
    error.os_error = os_error;
    error.asked = request.size.value();
    return error;
  }

  static bool is_beyond_limit(Bytes size) noexcept {
    const OwnedFd file(open(size_limit, O_RDONLY | O_CLOEXEC));
    char text[24] = {};
    if (file.get() < 0 || read(file.get(), text, sizeof(text) - 1) <= 0) return false;
    return size.value() > std::strtoull(text, nullptr, 10) << 20;
  }
};

}  // namespace freestone::backing
