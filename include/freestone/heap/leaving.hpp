// Blocks on their way back, for as long as their bytes are scrubbed and no lock is held: so that nobody gives one back
// a second time meanwhile. For the use of Deferred and ReuseCache.
#pragma once

#include <freestone/core/block.hpp>

namespace freestone::detail {

constexpr bool begin_at_one_place(const Block& a, const Block& b) noexcept {
  return a.offset() == b.offset() && a.zone_tag() == b.zone_tag();
}

// A list of entries that are their givers' own. Each call is made under its owner's lock.
class LeavingBlocks {
 public:
  struct Entry {
    Block block;
    Entry* next = nullptr;
  };

  void add(Entry& entry) noexcept {
    entry.next = first_;
    first_ = &entry;
  }
  void remove(const Entry& entry) noexcept {
    Entry** at = &first_;
    while (*at != &entry) at = &(*at)->next;
    *at = entry.next;
  }
  bool contains(const Block& block) const noexcept {
    for (const Entry* at = first_; at != nullptr; at = at->next) {
      if (begin_at_one_place(at->block, block)) return true;
    }
    return false;
  }

 private:
  Entry* first_ = nullptr;
};

}  // namespace freestone::detail
