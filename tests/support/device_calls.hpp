// A caller of a device with memory of his own, some of which faults, and room for so many files; and the platform that
// goes with him.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <freestone/core/result.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/wire.hpp>

namespace freestone::tests {

// Bytes of a buffer, as far as a test needs them.
struct CountedMemory {
  std::uint64_t size = 0;
  std::vector<std::uint64_t> synced = {};

  void sync(std::uint64_t flags) { synced.push_back(flags); }
};

struct DevicePlatform {
  using Memory = CountedMemory;

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes size) noexcept {
    if (has_memory) return Memory{size.value()};
    return ErrorCode::out_of_memory;
  }
  bool has_memory = true;
};

class Caller {
 public:
  static constexpr std::uint64_t start = 0x10000;
  static constexpr std::size_t length = 0x4000;

  explicit Caller(device::WordSize word = device::WordSize::bits64) : word_(word) {}

  device::WordSize word() const noexcept { return word_; }
  // Bytes before a fault are copied.
  Result<void> copy_in(std::span<std::byte> to, std::uint64_t address) noexcept {
    const std::size_t there = how_many(address, to.size(), readable_);
    if (there != 0) std::memcpy(to.data(), memory_.data() + (address - start), there);
    if (there != to.size()) return ErrorCode::os_failure;
    return {};
  }
  Result<void> copy_out(std::uint64_t address, std::span<const std::byte> from) noexcept {
    const std::size_t there = how_many(address, from.size(), writable_);
    if (there != 0) std::memcpy(memory_.data() + (address - start), from.data(), there);
    if (there != from.size()) return ErrorCode::os_failure;
    ++copies_out;
    return {};
  }
  template <class F>
  device::Answer publish(F&& file, device::OpenFlags flags, device::FdField at, std::uint64_t address,
                         std::span<const std::byte> argument) noexcept {
    auto kept = std::make_shared<std::decay_t<F>>(std::forward<F>(file));
    if (files.size() == most_files) return device::Errno::too_many_files;
    std::vector<std::byte> patched(argument.begin(), argument.end());
    const auto fd = static_cast<std::uint32_t>(first_fd + files.size());
    if (at.offset + at.length <= patched.size()) std::memcpy(patched.data() + at.offset, &fd, at.length);
    if (!copy_out(address, patched)) return device::Errno::fault;
    files.push_back({kept, flags, &kind_of<std::decay_t<F>>});
    return device::done;
  }
  // EBADF: there is no such descriptor; EINVAL: it is something else's.
  template <class B, class Act>
  device::Answer with_buffer(std::int32_t fd, const void*, Act&& act) noexcept {
    const auto place = static_cast<std::size_t>(fd) - first_fd;
    if (fd == foreign_fd) return device::Errno::invalid;
    if (fd < 0 || place >= files.size()) return device::Errno::bad_file;
    if (files[place].kind != &kind_of<B>) return device::Errno::invalid;
    return act(*static_cast<B*>(files[place].file.get()));
  }
  // The same; EACCES: it is not for reading and writing.
  template <class B, class Act>
  device::Answer with_writable_buffer(std::int32_t fd, const void* exporter, Act&& act) noexcept {
    return with_buffer<B>(fd, exporter, [&](B& buffer) -> device::Answer {
      const device::OpenFlags flags = files[static_cast<std::size_t>(fd) - first_fd].flags;
      return flags.access() == device::OpenFlags::read_write ? act(buffer) : device::Answer(device::Errno::no_access);
    });
  }
  template <class R>
  std::optional<device::CallerMapping> mapping_at(std::uint64_t address, const R& buffer) const noexcept {
    if (address < mapped_at || address - mapped_at >= mapped_length || buffer.id().place != mapped_place) return std::nullopt;
    return device::CallerMapping{mapped_at, mapped_at + mapped_length, 0};
  }

  // A value at that offset of his memory.
  template <class T>
  void put(std::size_t offset, const T& value) {
    std::memcpy(memory_.data() + offset, &value, sizeof value);
  }
  template <class T>
  T get(std::size_t offset) const {
    T value{};
    std::memcpy(&value, memory_.data() + offset, sizeof value);
    return value;
  }
  void fill(std::byte with) { std::fill(memory_.begin(), memory_.end(), with); }
  std::span<std::byte> bytes() { return memory_; }
  // From this offset on nothing can be written, or read.
  void set_writable(std::size_t end) { writable_ = end; }
  void set_readable(std::size_t end) { readable_ = end; }

  static constexpr std::uint32_t first_fd = 40;
  struct File {
    std::shared_ptr<void> file;
    device::OpenFlags flags;
    const char* kind;
  };
  template <class F>
  static constexpr char kind_of = 0;
  static constexpr std::int32_t foreign_fd = 7;
  // The one mapping that he has: of the buffer in that place.
  std::uint64_t mapped_at = 0x7000'0000, mapped_length = 0;
  std::uint32_t mapped_place = 0;
  std::vector<File> files = {};
  std::size_t most_files = 100;
  unsigned copies_out = 0;

 private:
  static std::size_t how_many(std::uint64_t address, std::size_t size, std::size_t end) noexcept {
    if (address < start || address - start >= end) return 0;
    return std::min(size, end - static_cast<std::size_t>(address - start));
  }

  device::WordSize word_;
  std::vector<std::byte> memory_ = std::vector<std::byte>(length);
  std::size_t readable_ = length;
  std::size_t writable_ = length;
};

}  // namespace freestone::tests
