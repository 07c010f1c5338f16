#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <freestone/backing/os/shared_file.hpp>

namespace freestone::backing {

// A memfd: memory with no name that goes from process to process as a file descriptor. Data first, the notes on pages
// of their own behind; its size is sealed, so that no holder can cut it from under another. Offsets count from 0 in
// every process; up to 2 MiB a pointer is aligned as its offset is. The bytes can be committed and decommitted.
class MemoryFile : public SharedFile {
 public:
  // The fd of another's zone, as it came. It stays the caller's.
  struct Source {
    int fd = -1;
  };

  // bad_name where the zone's name has more than 249 bytes; limit_reached, out_of_memory, node_failure.
  static Result<MemoryFile> create(const BackingRequest& request) noexcept {
    const char* name = request.name == nullptr ? "" : request.name;
    if (std::strlen(name) > most_name) return Error::of_node(ErrorCode::bad_name, name, name);
    OwnedFd file(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (file.get() < 0) return failure(node, request);
    auto made = make(request, std::move(file), node);
    if (!made) return made.error();
    if (fcntl(made->fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return failure(node, request);
    return MemoryFile(*std::move(made));
  }

  // read_only where it may not be written, no_access (EPERM) where its size is not sealed, node_failure where it is no
  // file that could be; limit_reached; and what SharedFile::take_up says.
  static Result<MemoryFile> attach(const BackingRequest& request, const Source& source) noexcept {
    OwnedFd file(fcntl(source.fd, F_DUPFD_CLOEXEC, 0));
    if (file.get() < 0) return failure(node, request);
    const int seals = fcntl(file.get(), F_GET_SEALS);
    if (seals < 0) return failure(node, request);
    if ((seals & F_SEAL_SHRINK) == 0) return errno = EPERM, failure(node, request);
    const int mode = fcntl(file.get(), F_GETFL);
    if (mode < 0) return failure(node, request);
    if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0 || (mode & O_ACCMODE) != O_RDWR)
      return Error::of_node(ErrorCode::read_only, node, request.name);
    auto taken = take_up(request, std::move(file), node);
    if (!taken) return taken.error();
    return MemoryFile(*std::move(taken));
  }

 private:
  static constexpr const char* node = "memfd";
  static constexpr std::size_t most_name = 249;  // "memfd:" and a name are a file's name

  explicit MemoryFile(SharedFile file) noexcept : SharedFile(std::move(file)) {}
};

}  // namespace freestone::backing
