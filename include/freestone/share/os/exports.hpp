// What a device gave out as files, and how it knows its own again.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <freestone/backing/os/node.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/handle_table.hpp>
#include <freestone/share/os/export.hpp>
#include <freestone/share/os/failure.hpp>
#include <freestone/share/os/file_identity.hpp>

namespace freestone {

// From a file and an offset in it to the buffer of the device D, of up to `most` exports. A file is known by its identity,
// not by its name, its size or its kind: any other is refused. While a buffer is in the table it lives, and one
// descriptor of each file stays open here, so that no other file gets its identity: whoever sees somebody let go of a
// buffer calls withdraw_unused. The device outlives the table. Any thread, as L lets them: no other lock is taken and no
// buffer ends while L is held: it is of LockRank::exports. Cost of each call: O(most), some system calls.
template <class D, std::size_t most, class L>
class Exports {
  using Ref = typename D::Ref;
  using Turn = typename OwnLock<L>::Turn;

 public:
  explicit Exports(D& device) noexcept : device_(device) {}

  // The buffer that lies there in the file. Taken over only where it succeeds; also where it was there already. Errors:
  // no_buffer of an empty ref; exists, where another buffer lies there; too_many_holds, where the table is full;
  // not_sealed, where it is no file that export.hpp gave out; foreign_file; limit_reached, out_of_memory, node_failure.
  // (That the export is of this buffer's block is not looked at: the table does not know the zone's file.)
  Result<void> put(Ref&& buffer, const Exported& exported) noexcept {
    if (!buffer) return ErrorCode::no_buffer;
    const int fd = exported.fd.get();
    const auto file = FileIdentity::of(fd);
    if (!file) return file.error();
    backing::OwnedFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (own.get() < 0) return detail::share_failure("exported file");
    if (const auto ready = detail::prepare_file(fd, exported.access); !ready) return ready.error();
    const Key key{*file, exported.offset};
    const ErrorCode wrong = [&] {
      const Turn turn(lock_);
      return insert(key, exported.access, buffer, own);
    }();
    if (wrong != ErrorCode::none) return wrong;
    const Ref known = std::move(buffer);
    return {};
  }

  // A buffer, and what whoever shows that descriptor may do with it: no more than with the file.
  struct Found {
    Ref buffer;
    FileAccess access;
  };
  // Errors: foreign_file, of each descriptor and offset that nothing was put under (EBADF: it is not open);
  // too_many_holds; with errno, where the kernel refuses to say what it is: foreign_file, not_sealed.
  Result<Found> find(int fd, Bytes offset) noexcept {
    return find_if(fd, [&](const FileIdentity& file) { return entry_at({file, offset}); });
  }
  // The only buffer of that file: foreign_file also where it has several.
  Result<Found> find(int fd) noexcept {
    return find_if(fd, [&](const FileIdentity& file) { return only_entry(file); });
  }

  // The buffer's exports are known no more. How many there were.
  std::size_t withdraw(BufferId id) noexcept {
    return withdraw_if(id, [](const Entry&, std::size_t) { return true; });
  }
  // The same where nothing else holds the buffer: no handle, peer, ref, mapping or kept name; else 0, and all stays. Who
  // has let go calls it after that: the last of several sees it go. (Who finds it by its id just then has it still.)
  std::size_t withdraw_unused(BufferId id) noexcept {
    return withdraw_if(id, [&](const Entry& entry, std::size_t own) { return device_.info(entry.buffer).holds == own; });
  }

  std::size_t count() noexcept {
    const Turn turn(lock_);
    std::size_t count = 0;
    for (const Entry& entry : entries_) count += static_cast<bool>(entry.buffer);
    return count;
  }

 private:
  struct Key {
    FileIdentity file = {};
    Bytes offset = {};
    friend bool operator==(const Key&, const Key&) noexcept = default;
  };
  struct Entry {
    Key key = {};
    FileAccess access = FileAccess::read_only;
    Ref buffer = {};                                       // empty: nothing is here
    backing::OwnedFd kept_open = backing::OwnedFd(-1);  // in one entry of each file
  };

  Entry* entry_at(const Key& key) noexcept {
    for (Entry& entry : entries_) {
      if (entry.buffer && entry.key == key) return &entry;
    }
    return nullptr;
  }
  Entry* entry_of(const FileIdentity& file) noexcept {
    for (Entry& entry : entries_) {
      if (entry.buffer && entry.key.file == file) return &entry;
    }
    return nullptr;
  }
  Entry* only_entry(const FileIdentity& file) noexcept {
    Entry* const first = entry_of(file);
    for (Entry& entry : entries_) {
      if (entry.buffer && entry.key.file == file && entry.buffer.id() != first->buffer.id()) return nullptr;
    }
    return first;
  }
  Entry* free_entry() noexcept {
    for (Entry& entry : entries_) {
      if (!entry.buffer) return &entry;
    }
    return nullptr;
  }

  ErrorCode insert(const Key& key, FileAccess access, Ref& buffer, backing::OwnedFd& own) noexcept {
    if (const Entry* known = entry_at(key)) return known->buffer.id() == buffer.id() ? ErrorCode::none : ErrorCode::exists;
    Entry* const entry = free_entry();
    if (entry == nullptr) return ErrorCode::too_many_holds;
    if (entry_of(key.file) == nullptr) std::swap(entry->kept_open, own);
    entry->key = key;
    entry->access = access;
    entry->buffer = std::move(buffer);
    return ErrorCode::none;
  }
  // may(one of the buffer's entries, how many there are) says whether all go.
  template <class May>
  std::size_t withdraw_if(BufferId id, May&& may) noexcept {
    Entry last;  // closes the file and drops the buffer when no lock is held; those before it end nothing
    const Turn turn(lock_);
    const auto is_of = [&](const Entry& entry) { return entry.buffer && entry.buffer.id() == id; };
    const auto own = static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), is_of));
    for (Entry& entry : entries_) {
      if (!is_of(entry)) continue;
      if (!last.buffer && !may(entry, own)) return 0;
      Entry old;
      std::swap(old, entry);
      keep_open(old);
      std::swap(last, old);
    }
    return own;
  }
  // What kept the file open goes to another entry of that file, if there is one.
  void keep_open(Entry& old) noexcept {
    if (old.kept_open.get() < 0) return;
    if (Entry* const heir = entry_of(old.key.file)) std::swap(heir->kept_open, old.kept_open);
  }

  template <class Look>
  Result<Found> find_if(int fd, Look&& look) noexcept {
    const auto file = FileIdentity::of(fd);
    if (!file) return file.error();
    const auto shown = detail::access_through(fd);
    if (!shown) return shown.error();
    const Turn turn(lock_);
    const Entry* const entry = look(*file);
    if (entry == nullptr) return ErrorCode::foreign_file;
    auto buffer = device_.ref(entry->buffer.id());
    if (!buffer) return buffer.error();
    return Found{*std::move(buffer), entry->access == FileAccess::read_write ? *shown : FileAccess::read_only};
  }

  D& device_;
  OwnLock<L> lock_;
  std::array<Entry, most> entries_ = {};
};

}  // namespace freestone
