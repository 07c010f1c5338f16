// A value that any thread reads and writes without ever waiting: nothing can be locked when a process forks, or when a
// signal comes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace freestone::interposer {

// Whoever reads while somebody writes finds nothing; whoever writes meanwhile writes nothing. So it is for a cache.
template <class T>
class Slot {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0);
  static constexpr std::size_t words = sizeof(T) / 4;

 public:
  // False where nothing was ever written, or somebody is writing.
  bool read(T& value) const noexcept {
    const std::uint32_t version = version_.load(std::memory_order_acquire);
    if (version == 0 || (version & 1) != 0) return false;
    std::array<std::uint32_t, words> copy;
    for (std::size_t at = 0; at < words; ++at) copy[at] = words_[at].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (version_.load(std::memory_order_relaxed) != version) return false;
    std::memcpy(static_cast<void*>(&value), copy.data(), sizeof value);
    return true;
  }
  bool write(const T& value) noexcept {
    std::uint32_t version = version_.load(std::memory_order_relaxed);
    if ((version & 1) != 0 || !version_.compare_exchange_strong(version, version + 1)) return false;
    std::array<std::uint32_t, words> copy;
    std::memcpy(copy.data(), &value, sizeof value);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t at = 0; at < words; ++at) words_[at].store(copy[at], std::memory_order_relaxed);
    version_.store(version + 2, std::memory_order_release);
    return true;
  }

 private:
  std::atomic<std::uint32_t> version_ = 0;
  std::array<std::atomic<std::uint32_t>, words> words_ = {};
};

}  // namespace freestone::interposer
