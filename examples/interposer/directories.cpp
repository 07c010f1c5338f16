// Hooks: reading directories.
#include <glob.h>

#include <cstdlib>

#include "directories.hpp"
#include "next.hpp"

using namespace freestone::interposer;

namespace {
FREESTONE_NEXT(opendir, DIR*(const char*));
FREESTONE_NEXT(fdopendir, DIR*(int));
FREESTONE_NEXT(readdir, struct dirent*(DIR*));
FREESTONE_NEXT(readdir64, struct dirent64*(DIR*));
FREESTONE_NEXT(readdir_r, int(DIR*, struct dirent*, struct dirent**));
FREESTONE_NEXT(readdir64_r, int(DIR*, struct dirent64*, struct dirent64**));
FREESTONE_NEXT(closedir, int(DIR*));
FREESTONE_NEXT(rewinddir, void(DIR*));
FREESTONE_NEXT(telldir, long(DIR*));
FREESTONE_NEXT(seekdir, void(DIR*, long));
FREESTONE_NEXT(dirfd, int(DIR*));

// The next entry; null at the end, or with errno where the host's fails.
struct dirent64* read_entry(Directory& directory) noexcept {
  const int host_fd = directory.host() != nullptr ? next_dirfd(directory.host()) : -1;
  if (!directory.is_in_list()) {
    const int saved = errno;
    errno = 0;
    struct dirent64* const entry = next_readdir64(directory.host());
    if (entry != nullptr || errno != 0) {
      if (entry != nullptr) directory.count(), errno = saved;
      return entry;
    }
    errno = saved;
    directory.go_on_with_list();
  }
  if (!directory.next_name(directory.entry, host_fd)) return nullptr;
  directory.count();
  return &directory.entry;
}

struct dirent* narrow(Directory& directory, const struct dirent64* entry) noexcept {
  if (entry == nullptr) return nullptr;
  struct dirent& to = directory.narrow;
  to.d_ino = static_cast<decltype(to.d_ino)>(entry->d_ino);
  to.d_off = static_cast<decltype(to.d_off)>(entry->d_off);
  to.d_reclen = sizeof to;
  to.d_type = entry->d_type;
  std::memcpy(to.d_name, entry->d_name, sizeof to.d_name);
  return &to;
}

// With its list, where the server has something in that directory. (Where that fails: the host's alone.)
DIR* with_list(DIR* host, std::string_view path) noexcept {
  const KeptErrno kept;
  const long list = open_list(path);
  if (list < 0) return host;
  DIR* const made = make_directory(host, static_cast<int>(list), path);
  if (made == nullptr) close_descriptor(static_cast<int>(list));
  return made != nullptr ? made : host;
}

// scandir of libc's would call its own opendir.
template <class Entry, class Read>
int scan(const char* path, Entry*** list, int (*choose)(const Entry*), int (*compare)(const Entry**, const Entry**),
         Read read) noexcept;
}  // namespace

FREESTONE_HOOK(DIR*, opendir, const char* path) {
  const Path name(AT_FDCWD, path);
  if (name.place() == Place::host) {
    DIR* const host = next_opendir(path);
    if (host == nullptr) errno = name.error_or(errno);
    return host;
  }
  if (name.is_merged()) {
    const int saved = errno;
    if (DIR* const host = next_opendir(path)) return with_list(host, name.text());
    if (errno != ENOENT && errno != EACCES) return nullptr;
    errno = saved;
  }
  const long fd = open_served(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return returned(fd), nullptr;
  DIR* const made = make_directory(nullptr, static_cast<int>(fd), name.text());
  if (made == nullptr) close_descriptor(static_cast<int>(fd));
  return made;
}

FREESTONE_HOOK(DIR*, fdopendir, int fd) {
  if (!is_on()) return next_fdopendir(fd);
  if (OpenDirectories::Entry entry; open_directories.find(fd, entry))
    return make_directory(nullptr, fd, entry.path.data());
  DIR* const host = next_fdopendir(fd);
  if (host == nullptr) return nullptr;
  const Path name(fd, ".");
  return name.is_merged() ? with_list(host, name.text()) : host;
}

FREESTONE_HOOK(struct dirent64*, readdir64, DIR* directory) {
  Directory* const ours = directories.find(directory);
  return ours == nullptr ? next_readdir64(directory) : read_entry(*ours);
}
FREESTONE_HOOK(struct dirent*, readdir, DIR* directory) {
  Directory* const ours = directories.find(directory);
  return ours == nullptr ? next_readdir(directory) : narrow(*ours, read_entry(*ours));
}
FREESTONE_HOOK(int, readdir64_r, DIR* directory, struct dirent64* entry, struct dirent64** result) {
  Directory* const ours = directories.find(directory);
  if (ours == nullptr) return next_readdir64_r(directory, entry, result);
  const struct dirent64* const found = read_entry(*ours);
  if (found != nullptr) *entry = *found;
  *result = found != nullptr ? entry : nullptr;
  return 0;
}
FREESTONE_HOOK(int, readdir_r, DIR* directory, struct dirent* entry, struct dirent** result) {
  Directory* const ours = directories.find(directory);
  if (ours == nullptr) return next_readdir_r(directory, entry, result);
  const struct dirent* const found = narrow(*ours, read_entry(*ours));
  if (found != nullptr) *entry = *found;
  *result = found != nullptr ? entry : nullptr;
  return 0;
}

FREESTONE_HOOK(int, closedir, DIR* directory) {
  Directory* const ours = directories.find(directory);
  if (ours == nullptr) return next_closedir(directory);
  marked.unmark(ours->list());
  close_descriptor(ours->list());
  DIR* const host = ours->host();
  directories.give_back(ours);
  return host == nullptr ? 0 : next_closedir(host);
}
FREESTONE_HOOK(void, rewinddir, DIR* directory) {
  Directory* const ours = directories.find(directory);
  if (ours == nullptr) return next_rewinddir(directory);
  if (ours->host() != nullptr) next_rewinddir(ours->host());
  ours->rewind();
}
FREESTONE_HOOK(long, telldir, DIR* directory) {
  Directory* const ours = directories.find(directory);
  return ours == nullptr ? next_telldir(directory) : ours->place();
}
FREESTONE_HOOK(void, seekdir, DIR* directory, long place) {
  Directory* const ours = directories.find(directory);
  if (ours == nullptr) return next_seekdir(directory, place);
  hook_rewinddir(directory);
  while (ours->place() < place && read_entry(*ours) != nullptr) {
  }
}
FREESTONE_HOOK(int, dirfd, DIR* directory) {
  Directory* const ours = directories.find(directory);
  if (ours == nullptr) return next_dirfd(directory);
  return ours->host() == nullptr ? ours->list() : next_dirfd(ours->host());
}

namespace {
template <class Entry, class Read>
int scan(const char* path, Entry*** list, int (*choose)(const Entry*), int (*compare)(const Entry**, const Entry**),
         Read read) noexcept {
  DIR* const directory = hook_opendir(path);
  if (directory == nullptr) return -1;
  std::size_t count = 0, room = 0;
  Entry** entries = nullptr;
  bool is_full = false;
  while (const Entry* const entry = is_full ? nullptr : read(directory)) {
    if (choose != nullptr && choose(entry) == 0) continue;
    if (count == room) {
      auto* const larger = static_cast<Entry**>(std::realloc(entries, (room = room * 2 + 16) * sizeof(Entry*)));
      if ((is_full = larger == nullptr)) break;
      entries = larger;
    }
    // An entry of libc's is no longer than it says.
    const std::size_t size = offsetof(Entry, d_name) + std::strlen(entry->d_name) + 1;
    entries[count] = static_cast<Entry*>(std::malloc(size));
    if ((is_full = entries[count] == nullptr)) break;
    std::memcpy(static_cast<void*>(entries[count++]), entry, size);
  }
  hook_closedir(directory);
  if (is_full) {
    while (count != 0) std::free(entries[--count]);
    std::free(entries);
    return errno = ENOMEM, -1;
  }
  using Compare = int (*)(const void*, const void*);
  if (compare != nullptr && count > 1) std::qsort(entries, count, sizeof(Entry*), reinterpret_cast<Compare>(compare));
  *list = entries;
  return static_cast<int>(count);
}

FREESTONE_NEXT(scandir, int(const char*, struct dirent***, int (*)(const struct dirent*),
                            int (*)(const struct dirent**, const struct dirent**)));
FREESTONE_NEXT(scandir64, int(const char*, struct dirent64***, int (*)(const struct dirent64*),
                              int (*)(const struct dirent64**, const struct dirent64**)));
}  // namespace

FREESTONE_HOOK(int, scandir, const char* path, struct dirent*** list, int (*choose)(const struct dirent*),
               int (*compare)(const struct dirent**, const struct dirent**)) {
  if (Path(AT_FDCWD, path).place() == Place::host) return next_scandir(path, list, choose, compare);
  return scan(path, list, choose, compare, hook_readdir);
}
FREESTONE_HOOK(int, scandir64, const char* path, struct dirent64*** list, int (*choose)(const struct dirent64*),
               int (*compare)(const struct dirent64**, const struct dirent64**)) {
  if (Path(AT_FDCWD, path).place() == Place::host) return next_scandir64(path, list, choose, compare);
  return scan(path, list, choose, compare, hook_readdir64);
}

// --- what libc does with directories by itself ---
//
// glob is given our functions. (nftw and libc's own fts see the host's directories alone: so do streams of <stdio.h>, which
// read a report anew only where they are opened anew.)

namespace {
FREESTONE_NEXT(glob, int(const char*, int, int (*)(const char*, int), glob_t*));
FREESTONE_NEXT(glob64, int(const char*, int, int (*)(const char*, int), glob64_t*));
FREESTONE_NEXT(chdir, int(const char*));
FREESTONE_NEXT(fchdir, int(int));

template <class Glob, class Entry, class Status, class Next>
int glob_anywhere(const char* pattern, int flags, int (*failed)(const char*, int), Glob* found, Entry* (*read)(DIR*),
                  int (*status)(const char*, Status*), int (*link_status)(const char*, Status*), Next& next) noexcept {
  if (!is_on() || pattern == nullptr || found == nullptr || (flags & GLOB_ALTDIRFUNC) != 0) {
    return next(pattern, flags, failed, found);
  }
  found->gl_opendir = [](const char* path) { return static_cast<void*>(hook_opendir(path)); };
  found->gl_readdir = reinterpret_cast<decltype(found->gl_readdir)>(read);
  found->gl_closedir = [](void* directory) { static_cast<void>(hook_closedir(static_cast<DIR*>(directory))); };
  found->gl_stat = status;
  found->gl_lstat = link_status;
  const int result = next(pattern, flags | GLOB_ALTDIRFUNC, failed, found);
  found->gl_flags &= ~GLOB_ALTDIRFUNC;
  return result;
}

// A directory that only the server has cannot be a program's own, for the kernel knows nothing of it: EACCES.
template <class Host>
int change_directory(const Path& name, Host host) noexcept {
  const int saved = errno;
  if (!name.is_served()) {
    const int result = host();
    if (result == 0 || !name.is_merged() || errno != ENOENT) return result;
  }
  FileStatus status;
  if (const long error = look_up(name, status); error != 0) return static_cast<int>(returned(error));
  errno = saved;
  return static_cast<int>(returned(status.kind == FileKind::directory ? -EACCES : -ENOTDIR));
}
}  // namespace

FREESTONE_HOOK(int, glob, const char* pattern, int flags, int (*failed)(const char*, int), glob_t* found) {
  return glob_anywhere(pattern, flags, failed, found, hook_readdir, ::stat, ::lstat, next_glob);
}
FREESTONE_HOOK(int, glob64, const char* pattern, int flags, int (*failed)(const char*, int), glob64_t* found) {
  return glob_anywhere(pattern, flags, failed, found, hook_readdir64, ::stat64, ::lstat64, next_glob64);
}
FREESTONE_HOOK(int, chdir, const char* path) {
  return change_directory(Path(AT_FDCWD, path), [&] { return next_chdir(path); });
}
FREESTONE_HOOK(int, fchdir, int fd) {
  if (OpenDirectories::Entry entry; is_on() && open_directories.find(fd, entry)) return errno = EACCES, -1;
  return next_fchdir(fd);
}
