// What SharedMemory and File have in common: a zone's file that others find by its name.
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <utility>

#include <freestone/backing/os/shared_file.hpp>

namespace freestone::backing {

// A path, with no allocation.
class Path {
 public:
  // Cut where it would be too long; `fits` says so.
  Path(const char* folder, const char* name) noexcept {
    append(folder);
    append(name);
  }
  const char* text() const noexcept { return text_; }
  bool fits() const noexcept { return fits_; }

  // The folder that the last name is in.
  Path folder() const noexcept {
    const char* last = std::strrchr(text_, '/');
    if (last == nullptr) return {".", ""};
    Path folder(*this);
    folder.text_[last == text_ ? 1 : last - text_] = '\0';
    return folder;
  }

 private:
  void append(const char* more) noexcept {
    const std::size_t length = std::strlen(more);
    fits_ = fits_ && length < sizeof(text_) - length_;
    if (!fits_) return;
    std::memcpy(text_ + length_, more, length + 1);
    length_ += length;
  }

  char text_[PATH_MAX] = {};
  std::size_t length_ = 0;
  bool fits_ = true;
};

// A new one has no name until the zone in it is whole: then it appears, all at once. So nobody finds a half-made one, of
// two that make the same one is first, and one whose maker dies is gone with him. Only its owner may open it, until he
// lets others (fchmod of fd()).
class NamedFile : public SharedFile {
 public:
  bool published() const noexcept { return has_name_; }

 protected:
  explicit NamedFile(SharedFile file) noexcept : SharedFile(std::move(file)) {}

  // `node` names it in errors. Errors: those of open, and of SharedFile::make.
  static Result<NamedFile> make_unnamed(const BackingRequest& request, const Path& folder, const char* node) noexcept {
    OwnedFd file(open(folder.text(), O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (file.get() < 0) return failure(node, request);
    auto made = make(request, std::move(file), node);
    if (!made) return made.error();
    NamedFile unnamed(*std::move(made));
    if (const auto notes = unnamed.commit_notes(); !notes) return notes.error();
    return unnamed;
  }
  // `exists` where there is one of that name.
  Result<void> appear(const Path& path) noexcept {
    char number[16] = {};
    std::to_chars(number, number + sizeof(number) - 1, fd());
    const Path mine("/proc/self/fd/", number);
    if (linkat(AT_FDCWD, mine.text(), AT_FDCWD, path.text(), AT_SYMLINK_FOLLOW) != 0) return error_now();
    has_name_ = true;
    return {};
  }
  // `flags`: what else open is told.
  static Result<NamedFile> find(const BackingRequest& request, const Path& path, const char* node, int flags) noexcept {
    OwnedFd file(open(path.text(), flags | O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));  // should it be no file
    if (file.get() < 0) return failure(node, request);
    auto taken = take_up(request, std::move(file), node);
    if (!taken) return taken.error();
    NamedFile named(*std::move(taken));
    named.has_name_ = true;
    return named;
  }

 private:
  bool has_name_ = false;
};

}  // namespace freestone::backing
