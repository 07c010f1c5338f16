// Memory of a buffer that remembers what cache operations were to do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <freestone/device/ion/cache_range.hpp>

namespace freestone::tests {

// What the cache operations did, in words.
struct MaintainedMemory {
  std::uint64_t size = 0;
  std::shared_ptr<std::vector<std::string>> done = std::make_shared<std::vector<std::string>>();

  void sync(std::uint64_t) {}
  void maintain(const device::InnerRange& range, device::CacheCommand what) {
    say("inner", what, range.offset.value(), range.length.value());
  }
  void maintain(const device::OuterRange& range, device::CacheCommand what) {
    say("outer", what, range.start.value(), range.length.value());
  }
  void maintain(device::WholeBuffer, device::CacheCommand what) { say("whole", what, 0, size); }

 private:
  void say(const char* cache, device::CacheCommand what, std::uint64_t from, std::uint64_t length) {
    constexpr const char* words[] = {"clean", "inv", "clean_inv"};
    done->push_back(std::string(cache) + ' ' + words[static_cast<unsigned>(what)] + ' ' + std::to_string(from) + ' ' + std::to_string(length));
  }
};

}  // namespace freestone::tests
