// Files that a server has given out: each with its memfd, by which they are known again.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/file.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/protocol.hpp>
#include <freestone/platform/linux_user/served_file.hpp>

namespace freestone::linux_user {

class ServerCall;

// Bytes of a descriptor's, from `offset` on, that are to be seen `length` bytes long from `at` on.
struct MapPiece {
  std::uint64_t at = 0;
  std::uint64_t length = 0;
  std::uint64_t offset = 0;
  backing::OwnedFd fd = backing::OwnedFd(-1);
};

// By whose address files F of personalities are known.
template <class F>
inline constexpr char node_kind = 0;

// What the server does for who has it open. Several threads may call at once.
class OpenFile {
 public:
  virtual ~OpenFile() = default;

  virtual const ServedFile& served() const noexcept = 0;
  virtual FileStatus status() noexcept = 0;
  virtual device::Answer ioctl(ServerCall&, device::Command, std::uint64_t /*argument*/) noexcept {
    return device::Errno::no_such_command;
  }
  virtual device::Answer write(std::string_view) noexcept { return device::Errno::invalid; }
  virtual device::Answer refresh() noexcept { return device::Errno::invalid; }

  // May these bytes be mapped, with that protection (PROT_)? Then they are a view, whose parts `piece` tells at any time; what it
  // puts into `kept` ends with the view.
  using Kept = std::shared_ptr<void>;
  virtual device::Answer map(ServerCall&, std::uint64_t /*offset*/, std::uint64_t /*length*/, int /*protection*/, Kept&) noexcept {
    return device::Errno::no_device;
  }
  // Of what can be mapped, the first piece that ends behind that byte; empty where there is none. Whole pages.
  virtual std::optional<MapPiece> piece(std::uint64_t /*at*/) noexcept { return std::nullopt; }
  // Where it is a buffer of that exporter's (null: of any): its DmaBuf.
  virtual void* buffer_of(const void* /*exporter*/) noexcept { return nullptr; }
  // Where it is a node's, and the personality's file behind it is of that kind (node_kind): that.
  virtual void* node_of(const void* /*kind*/) noexcept { return nullptr; }
  // Its lines in a list of all buffers; none where it is no buffer.
  virtual std::string buffer_text() { return {}; }
};

// All of them. A file is there from `add` until nobody but this process has it; then it ends. Any thread.
class OpenFiles {
 public:
  explicit OpenFiles(FileWatch watch) noexcept : watch_(std::move(watch)) {}

  // Before it is given to anybody, the first of them that process; but somebody else has a descriptor already, of the caller's.
  // Where one of the same bytes is there, that stays, and `file` ends. Errors: FileWatch's; out_of_memory.
  Result<void> add(std::shared_ptr<OpenFile> file, std::uint64_t process) {
    const std::lock_guard turn(mutex_);
    if (by_identity_.contains(key_of(file->served().identity()))) return {};
    const auto watch = watch_.add(file->served());
    if (!watch) return watch.error();
    const bool is_noted = has_memory([&] {
      by_watch_[*watch] = {file, process};
      by_identity_[key_of(file->served().identity())] = file;
    });
    if (is_noted) return {};
    by_watch_.erase(*watch);
    watch_.remove(*watch);
    return ErrorCode::out_of_memory;
  }

  // The file behind that descriptor; none where it is none of these.
  std::shared_ptr<OpenFile> find(int fd) {
    const auto identity = identity_of(fd);
    if (!identity) return nullptr;
    const std::lock_guard turn(mutex_);
    const auto found = by_identity_.find(key_of(*identity));
    return found == by_identity_.end() ? nullptr : found->second;
  }

  // Lets go of those that nobody has any more: of all whose last holder let go before the call. To be called when `fd`
  // can be read, when `again` says so, and before anybody looks.
  //
  // The kernel tells of a file's end shortly before it counts one holder less, and both before close, munmap or exit
  // return. So who is told at once, beside the one who closes, looks again.
  // Cost: a system call for each that is told of and that somebody has still, at each call: who opens a file once more and
  // closes that makes it one of them until it ends. So nobody should, who does not need it.
  void reap() {
    const std::lock_guard turn(reaping_);
    watch_.take([&](int watch) {
      is_any_told_ = is_any_told_ || !has_memory([&] { watch < 0 ? told_all() : void(told_.insert(watch)); });
      looks_ = 0;
    });
    if (is_any_told_) is_any_told_ = !has_memory([&] { told_all(); });
    std::erase_if(told_, [&](int watch) { return reap(watch); });
    looks_ = told_.empty() ? 0 : looks_ + 1;
  }
  // In how many milliseconds to reap again, though nothing is told; -1: not at all. Files that somebody else has opened
  // for himself stay told of: these are looked at more and more seldom.
  int again() {
    const std::lock_guard turn(reaping_);
    if (is_any_told_) return 20;
    if (told_.empty()) return -1;
    return looks_ < 20 ? 1 : looks_ < 50 ? 20 : 1000;
  }
  int fd() const noexcept { return watch_.fd(); }

  // While a descriptor is sent this process has it too, and its receiver may have closed it already. (So what is sent is let go
  // before this ends.)
  class Giving {
   public:
    explicit Giving(OpenFiles& files) noexcept : files_(files) { files_.given_.fetch_add(1); }
    Giving(const Giving&) = delete;
    Giving& operator=(const Giving&) = delete;
    ~Giving() { files_.given_.fetch_sub(1); }

   private:
    OpenFiles& files_;
  };
  // As reap, and also of those that are just being sent; but no longer than 20 ms or so, for a receiver may be slow.
  void settle() {
    if (before_settling_) before_settling_();
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    while (given_.load() != 0 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::microseconds(50));
    reap();
  }

  // What is to be done first. Before anybody calls.
  void before_settling(std::function<void()> act) { before_settling_ = std::move(act); }

  std::size_t count() {
    const std::lock_guard turn(mutex_);
    return by_identity_.size();
  }

  // visit(OpenFile&) for each, under no lock: each stays what it is until that returns.
  template <class Visit>
  void for_each(Visit&& visit) {
    std::vector<std::shared_ptr<OpenFile>> all;
    {
      const std::lock_guard turn(mutex_);
      for (const auto& [watch, entry] : by_watch_) all.push_back(entry.file);
    }
    for (const auto& file : all) visit(*file);
  }

  // What a process had open that it was the first to have.
  struct Left {
    std::uint64_t process = 0;
    std::size_t buffers = 0;
    std::uint64_t bytes = 0;
    std::size_t others = 0;
  };
  // The process ends, and says so: what it has open it leaves open. Its end closes it. For `left_by_process`, where the
  // last time that it says so counts.
  void leaving(std::uint64_t process) {
    Left left{.process = process};
    const std::lock_guard turn(mutex_);
    for (const auto& [watch, entry] : by_watch_) {
      if (entry.process != process) continue;
      const FileStatus status = entry.file->status();
      const bool is_buffer = linux_user::is_buffer(status.kind);
      is_buffer ? ++left.buffers : ++left.others;
      if (is_buffer) left.bytes += status.size;
    }
    left_.erase(process);
    if (left.buffers + left.others != 0) left_.emplace(process, left);
  }
  std::vector<Left> left_by_process() {
    const std::lock_guard turn(mutex_);
    std::vector<Left> all;
    for (const auto& [process, left] : left_) all.push_back(left);
    return all;
  }

 private:
  struct Entry {
    std::shared_ptr<OpenFile> file;
    std::uint64_t process = 0;
  };
  using Key = std::pair<std::pair<std::uint64_t, std::uint64_t>, std::pair<std::int64_t, std::uint32_t>>;

  static Key key_of(const FileIdentity& id) noexcept {
    return {{id.device, id.inode}, {id.born_seconds, id.born_nanoseconds}};
  }
  void told_all() {
    const std::lock_guard turn(mutex_);
    for (const auto& [watch, entry] : by_watch_) told_.insert(watch);
  }
  // True where there is nothing left to look at. A file's end, which may give memory back, comes under no lock that
  // others wait for.
  bool reap(int watch) {
    std::shared_ptr<OpenFile> ended;
    {
      const std::lock_guard turn(mutex_);
      const auto found = by_watch_.find(watch);
      if (found == by_watch_.end()) return true;
      if (!found->second.file->served().is_only_ours()) return false;
      ended = std::move(found->second.file);
      by_watch_.erase(found);
      by_identity_.erase(key_of(ended->served().identity()));
      watch_.remove(watch);  // here: who adds the same bytes once more gets the same number
    }
    return true;
  }

  FileWatch watch_;
  std::mutex reaping_;  // taken before `mutex_`
  std::set<int> told_;
  bool is_any_told_ = false;  // there was no memory to note which
  unsigned looks_ = 0;
  std::mutex mutex_;
  std::map<int, Entry> by_watch_;
  std::map<Key, std::shared_ptr<OpenFile>> by_identity_;
  std::map<std::uint64_t, Left> left_;
  std::atomic<int> given_ = 0;
  std::function<void()> before_settling_;
};

}  // namespace freestone::linux_user
