// PMEM's files as a server's: what a sub's mapping shows, and changes while it is mapped.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <freestone/core/result.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/pmem/file.hpp>
#include <freestone/platform/linux_user/device_files.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/server_call.hpp>
#include <freestone/platform/linux_user/views.hpp>
#include <freestone/share/grants.hpp>

namespace freestone::linux_user {

// Ranges, none of them side by side with another, for whoever takes turns. No more are there at once than it has room for from
// the start.
class ShownRanges {
 public:
  explicit ShownRanges(std::size_t most) { ranges_.reserve(most); }

  void add(const ByteRange& range) noexcept {
    ByteRange whole = range;
    std::erase_if(ranges_, [&](const ByteRange& one) {
      const bool touches = one.offset <= whole.end() && whole.offset <= one.end();
      if (touches) whole = ByteRange::between(std::min(one.offset, whole.offset), std::max(one.end(), whole.end()));
      return touches;
    });
    ranges_.insert(std::ranges::upper_bound(ranges_, whole.offset, {}, &ByteRange::offset), whole);
  }
  void remove(const ByteRange& range) noexcept {
    for (std::size_t at = 0; at < ranges_.size(); ++at) {
      const ByteRange one = ranges_[at], before = one.until(range.offset), behind = one.from(range.end());
      if (one.clipped_to(range).is_empty()) continue;
      ranges_.erase(ranges_.begin() + static_cast<std::ptrdiff_t>(at--));
      for (const ByteRange& rest : {before, behind}) {
        if (!rest.is_empty()) ranges_.insert(ranges_.begin() + static_cast<std::ptrdiff_t>(++at), rest);
      }
    }
  }
  // The first that ends behind that byte.
  std::optional<ByteRange> behind(Bytes at) const noexcept {
    const auto found = std::ranges::find_if(ranges_, [&](const ByteRange& one) { return one.end() > at; });
    return found == ranges_.end() ? std::nullopt : std::optional(*found);
  }

 private:
  std::vector<ByteRange> ranges_;  // ascending
};

// What of a sub's mapping is its master's memory. `piece` may be asked while `show` or `hide` waits for the program: it takes no lock
// but its own.
class WindowScreen {
 public:
  // Of that file, which is one of so many grants; `views` are the server's.
  WindowScreen(const OpenFile& file, Views* views, std::size_t most) : file_(file), views_(views), shown_(2 * most + 2) {}

  template <class Ref>
  Result<void> show(const Ref& buffer, const ByteRange& range) noexcept {
    change(range, [&] { memory_ = &buffer.extra().memory(), shown_.add(range); });
    return {};
  }
  void hide(const ByteRange& range) noexcept { change(range, [&] { shown_.remove(range); }); }

  std::optional<MapPiece> piece(std::uint64_t at) noexcept {
    const std::lock_guard turn(mutex_);  // what is shown is there until it is hidden
    const auto range = shown_.behind(at);
    return range ? piece_of(*memory_, *range) : std::nullopt;
  }
  static std::optional<MapPiece> piece_of(const BufferMemory& memory, const ByteRange& range) noexcept {
    auto fd = memory.file.open(O_RDWR);
    if (!fd) return std::nullopt;
    return MapPiece{range.offset.value(), range.length.value(), range.offset.value(), *std::move(fd)};
  }

 private:
  // When it returns, each process that maps some of the range sees what is shown now.
  template <class Act>
  void change(const ByteRange& range, Act&& act) noexcept {
    {
      const std::lock_guard turn(mutex_);
      act();
    }
    if (views_ != nullptr) views_->look_again(file_, range.offset.value(), range.length.value());
  }

  const OpenFile& file_;
  Views* views_;
  std::mutex mutex_;
  ShownRanges shown_;
  const BufferMemory* memory_ = nullptr;  // of all that is shown
};

// A region's node, opened. F: the PmemFile, whose screen is a WindowScreen. `kept` ends after all that the file had.
template <class F>
class PmemNodeFile final : public OpenFile, public std::enable_shared_from_this<PmemNodeFile<F>> {
 public:
  PmemNodeFile(ServedFile served, const FileStatus& status, Views* views, std::size_t most_grants, typename F::Region& region,
               ClientId client, device::OpenFlags flags, OpenFile::Kept kept = nullptr)
      : kept_(std::move(kept)), served_(std::move(served)), status_(status), screen_(*this, views, most_grants) {
    file_.emplace(region, client, flags, screen_);
  }
  PmemNodeFile(const PmemNodeFile&) = delete;
  PmemNodeFile& operator=(const PmemNodeFile&) = delete;
  // Others wait meanwhile (OpenFiles::reap): so all clients together have as long as one.
  ~PmemNodeFile() override {
    const Views::Hurry hurry;
    file_.reset();
  }

  const ServedFile& served() const noexcept override { return served_; }
  FileStatus status() noexcept override { return status_; }
  void* node_of(const void* kind) noexcept override { return kind == &node_kind<F> ? &*file_ : nullptr; }
  device::Answer ioctl(ServerCall& call, device::Command command, std::uint64_t argument) noexcept override {
    return file_->ioctl(call, command, argument);
  }
  device::Answer map(ServerCall& call, std::uint64_t offset, std::uint64_t length, int, Kept& kept) noexcept override {
    if (!has_memory([&] { kept = std::make_shared<Mapping>(this->weak_from_this()); })) return device::Errno::no_memory;
    const auto answer = file_->map(offset, length, static_cast<std::uint32_t>(call.program().process));
    if (!answer.is_error()) static_cast<Mapping*>(kept.get())->is_there = true;
    return answer;
  }
  std::optional<MapPiece> piece(std::uint64_t at) noexcept override {
    std::optional<MapPiece> whole;
    bool is_own = false;
    file_->with_own([&](const auto& buffer) {
      is_own = true;
      if (at < buffer.extra().size().value()) whole = WindowScreen::piece_of(buffer.extra().memory(), {0, buffer.extra().size()});
    });
    return is_own ? std::move(whole) : screen_.piece(at);
  }
  F& file() noexcept { return *file_; }

 private:
  // Ends with the view.
  struct Mapping {
    explicit Mapping(std::weak_ptr<PmemNodeFile> file) noexcept : file(std::move(file)) {}
    ~Mapping() {
      if (const auto there = file.lock(); there != nullptr && is_there) there->file_->unmapped();
    }
    std::weak_ptr<PmemNodeFile> file;
    bool is_there = false;
  };

  const OpenFile::Kept kept_;
  ServedFile served_;
  FileStatus status_;
  WindowScreen screen_;
  std::optional<F> file_;  // till the end
};

}  // namespace freestone::linux_user
