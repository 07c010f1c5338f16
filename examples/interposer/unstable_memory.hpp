// A block of memory that comes and goes, and PMEM's regions in it: what Linux has of such a block in sysfs, and what its state is to
// them. (shared/spec: PMEM 2.1, row 28.)
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <freestone/core/address.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/device/pmem/unstable.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/platform/linux_user/open_file.hpp>

namespace freestone::linux_user {

// A region's part of the block. Its zone lies where the board's text has it. Any thread.
class UnstableRegion {
 public:
  explicit UnstableRegion(const device::PmemSettings& settings) noexcept : name_(settings.name), place_(settings.base) {}

  bool arm(PhysicalAddress base) noexcept {
    if (base.value() != place_) return false;
    base_ = place_;
    return true;
  }
  // What its files had is gone: each buffer's bytes were a file of their own.
  void disarm() noexcept { base_ = 0; }

  const char* name() const noexcept { return name_; }
  // 0: it has no memory.
  std::uint64_t base() const noexcept { return base_; }

 private:
  const char* const name_;
  const std::uint64_t place_;
  std::atomic<std::uint64_t> base_ = 0;
};

// It is offline until somebody writes "online" to its state. It stays where it is. Any thread, but for region_of.
class UnstableMemory {
 public:
  explicit UnstableMemory(const BoardMemory& block) : start_(block.base), length_(block.size), line_(block.line) {}

  // Linux numbers blocks of one length from address 0 on.
  std::string path() const {
    return "/sys/devices/system/memory/memory" + std::to_string(start_.value() / length_.value()) + "/state";
  }
  std::size_t line() const noexcept { return line_; }

  // That region's part, which is there from here on; by its name, which outlives this.
  UnstableRegion& region_of(const device::PmemSettings& settings) {
    for (UnstableRegion& region : regions_) {
      if (std::string_view(region.name()) == settings.name) return region;
    }
    UnstableRegion& made = regions_.emplace_back(settings);
    seam::expect(unstable_.add(made, settings) == device::Errno::none);  // whoever read the text refused what is none
    return made;
  }
  // A file of the region's is about to be opened. What comes into `kept` is to end after all that the file had. Errors: ENODEV: it has no
  // memory. Throws std::bad_alloc, and then nothing is open.
  device::Errno open(UnstableRegion& region, OpenFile::Kept& kept) {
    const device::Errno wrong = unstable_.open(region);
    if (wrong == device::Errno::none) kept = OpenFile::Kept(&region, [this](UnstableRegion* gone) { unstable_.close(*gone); });
    return wrong;
  }

  // --- its state, as it is read and written ---

  std::string state() {
    const std::lock_guard turn(mutex_);
    return is_online_ ? "online\n" : "offline\n";
  }
  // "online" or "offline", with its line's end or without. reclaim(): files that nobody has any more end. Errors: EINVAL: another word;
  // EAGAIN: a file of a region's is open, or mapped.
  device::Answer write(std::string_view text, const std::function<void()>& reclaim) {
    const std::string_view word = text.substr(0, text.find('\n'));
    if (word == "online") return set_online(), device::Answer(static_cast<std::int64_t>(text.size()));
    if (word != "offline") return device::Errno::invalid;
    device::Errno wrong = set_offline();
    if (wrong != device::Errno::none) reclaim(), wrong = set_offline();
    return wrong == device::Errno::none ? device::Answer(static_cast<std::int64_t>(text.size())) : wrong;
  }

 private:
  void set_online() {
    const std::lock_guard turn(mutex_);
    unstable_.online(start_, length_);
    is_online_ = true;
  }
  device::Errno set_offline() {
    const std::lock_guard turn(mutex_);
    const device::Errno wrong = unstable_.offline(start_, length_);
    is_online_ = is_online_ && wrong != device::Errno::none;
    return wrong;
  }

  const PhysicalAddress start_;
  const Bytes length_;
  const std::size_t line_;
  std::list<UnstableRegion> regions_;
  device::PmemUnstable<UnstableRegion, lock::Futex, 12> unstable_;  // the users' and the kernel's
  std::mutex mutex_;  // of all that follows; before those of unstable_
  bool is_online_ = false;
};

}  // namespace freestone::linux_user
