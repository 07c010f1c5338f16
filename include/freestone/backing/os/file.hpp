#pragma once

#include <unistd.h>

#include <utility>

#include <freestone/backing/os/named_file.hpp>

namespace freestone::backing {

// A file that keeps its blocks when nobody holds it, over a reboot too. A new zone appears under its path when it is
// whole. Offsets count from 0 in every process; up to 2 MiB a pointer is aligned as its offset is. The bytes can be
// committed and decommitted, where the file system has holes.
//
// When it appears, all of it is on the disk, and its name. What is written later reaches the disk when the kernel comes
// to it, in an order of the kernel's, or with sync(): after a loss of power the zone is known to be as it was at a sync
// that nobody wrote after, and no more. Take a lock that a recovery makes anew (Futex, Spin, Mutex) and
// attach_and_recover at start: what a stopped machine leaves of a ProcessShared stays shut. Nothing keeps others from
// cutting the file short: see check_length.
//
// A new file has no name at first, so the file system must have such files (O_TMPFILE: ext4, xfs, btrfs, f2fs, tmpfs and
// overlayfs do, vfat and NFS do not: node_failure with EOPNOTSUPP).
class File : public NamedFile {
 public:
  // nullptr: the zone's own name. It must outlive the backing, and the errors that name it.
  struct Settings {
    const char* path = nullptr;
  };
  using Source = Settings;

  // bad_name; exists (from publish); no_device where there is no such folder; no_access,
  // read_only, limit_reached, node_failure (ENOSPC, say).
  static Result<File> create(const BackingRequest& request) noexcept { return create(request, Settings{}); }
  static Result<File> create(const BackingRequest& request, const Settings& settings) noexcept {
    const char* path = settings.path == nullptr ? request.name : settings.path;
    if (!is_path(path)) return Error::of_node(ErrorCode::bad_name, path, request.name);
    auto made = make_unnamed(request, Path(path, "").folder(), path);
    if (!made) return made.error();
    return File(*std::move(made), path);
  }
  // bad_name, no_device where there is none, no_access, read_only, and what SharedFile::take_up says.
  static Result<File> attach(const BackingRequest& request, const Source& source) noexcept {
    const char* path = source.path == nullptr ? request.name : source.path;
    if (!is_path(path)) return Error::of_node(ErrorCode::bad_name, path, request.name);
    auto found = find(request, Path(path, ""), path, 0);
    if (!found) return found.error();
    return File(*std::move(found), path);
  }

  // Who holds it keeps it. bad_name, no_device, no_access.
  static Result<void> remove(const char* path) noexcept {
    if (!is_path(path)) return Error::of_node(ErrorCode::bad_name, path, "");
    if (unlink(path) != 0) return node_error(path, "", 0);
    return {};
  }

  // Cost: the disk's, twice.
  Result<void> publish() noexcept {
    if (const auto written = sync(); !written) return written;
    const Path path(path_, "");
    if (const auto seen = appear(path); !seen) return seen;
    const OwnedFd folder(open(path.folder().text(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() >= 0) static_cast<void>(fsync(folder.get()));  // the name is there for all; only a disk may not have it
    return {};
  }

  // All that was written is on the disk when it returns. Cost: the disk's.
  Result<void> sync() noexcept {
    if (fsync(fd()) != 0) return error_now();
    return {};
  }

 private:
  File(NamedFile file, const char* path) noexcept : NamedFile(std::move(file)), path_(path) {}

  static bool is_path(const char* path) noexcept {
    return path != nullptr && *path != '\0' && Path(path, "").fits();
  }

  const char* path_;
};

}  // namespace freestone::backing
