// The tables behind NamedBlocks: which blocks are kept, and which names are pinned. They know no zone and take no lock.
#pragma once

#include <cstddef>
#include <cstdint>

#include <freestone/core/block.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/constraints.hpp>

namespace freestone {

// How long a block is kept: until its last holder leaves, or until somebody releases it (MSYS: it outlives its maker).
enum class KeptUntil : std::uint8_t { nobody_holds, released };

// A block that is kept under a name.
template <class Name>
struct KeptBlock {
  Name name = {};  // empty: another took its place, and its holders still have it
  Block block = {};
  Bytes length = {};           // as it was asked for: the block may be longer
  unsigned heap = most_heaps;  // of which heap, where there are several
  std::uint64_t holders = 0;
  KeptUntil until = KeptUntil::nobody_holds;
  bool is_pinned = false;
};

namespace detail {

// Up to `most` blocks, in the order in which they came. An entry stays where it is until one is erased.
template <class Name, std::size_t most>
class KeptTable {
 public:
  struct Entry {
    KeptBlock<Name> kept = {};
    bool is_ready = false;  // false: it is being made, and is nobody's yet; there is one of a name at most
  };

  constexpr bool is_full() const noexcept { return count_ == most; }
  // While it is not full.
  constexpr void add(const KeptBlock<Name>& kept) noexcept { entries_[count_++].kept = kept; }
  constexpr void erase(Entry& entry) noexcept {
    for (Entry* at = &entry; at + 1 != entries_ + count_; ++at) *at = at[1];
    entries_[--count_] = Entry();
  }
  // Those that is_gone(const Entry&) says are out.
  template <class IsGone>
  constexpr void erase_if(IsGone&& is_gone) noexcept {
    for (std::size_t i = 0; i < count_;) {
      if (is_gone(static_cast<const Entry&>(entries_[i]))) {
        erase(entries_[i]);
      } else {
        ++i;
      }
    }
  }

  // Each: null where there is none. Only find_unready finds what is being made.
  constexpr Entry* find(const Name& name) noexcept {
    return find_if([&](const Entry& entry) { return entry.is_ready && is_named(entry, name); });
  }
  constexpr Entry* find_unready(const Name& name) noexcept {
    return find_if([&](const Entry& entry) { return !entry.is_ready && is_named(entry, name); });
  }
  constexpr Entry* find(const Block& block) noexcept {
    return find_if([&](const Entry& entry) { return entry.is_ready && entry.kept.block == block; });
  }
  // By a byte of what was asked for.
  constexpr Entry* find_containing(std::uint32_t zone_tag, Bytes offset) noexcept {
    return find_if([&](const Entry& entry) {
      const Block& block = entry.kept.block;
      return entry.is_ready && block.zone_tag() == zone_tag && offset >= block.offset() &&
             offset - block.offset() < entry.kept.length;
    });
  }

  // visit(const KeptBlock<Name>&) for each that is ready, newest first.
  template <class Visitor>
  constexpr void for_each(Visitor&& visit) const noexcept {
    for (std::size_t i = count_; i-- != 0;) {
      if (entries_[i].is_ready) visit(entries_[i].kept);
    }
  }

 private:
  static constexpr bool is_named(const Entry& entry, const Name& name) noexcept {
    return entry.kept.name == name && !name.is_empty();
  }
  template <class Is>
  constexpr Entry* find_if(Is&& is) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (is(entries_[i])) return &entries_[i];
    }
    return nullptr;
  }

  Entry entries_[most] = {};
  std::size_t count_ = 0;
};

// Up to `most` names, each once, in the order in which they came.
template <class Name, std::size_t most>
class PinnedNames {
 public:
  constexpr bool contains(const Name& name) const noexcept { return find(name) != count_; }

  // False where there is no room for it.
  constexpr bool add(const Name& name) noexcept {
    if (contains(name)) return true;
    if (count_ == most) return false;
    names_[count_++] = name;
    return true;
  }
  // Was it there?
  constexpr bool erase(const Name& name) noexcept {
    const std::size_t at = find(name);
    if (at == count_) return false;
    for (std::size_t i = at + 1; i < count_; ++i) names_[i - 1] = names_[i];
    names_[--count_] = Name();
    return true;
  }

  // visit(const Name&) for each, newest first.
  template <class Visitor>
  constexpr void for_each(Visitor&& visit) const noexcept {
    for (std::size_t i = count_; i-- != 0;) visit(names_[i]);
  }

 private:
  constexpr std::size_t find(const Name& name) const noexcept {
    std::size_t at = 0;
    while (at < count_ && !(names_[at] == name)) ++at;
    return at;
  }

  Name names_[most] = {};
  std::size_t count_ = 0;
};

}  // namespace detail
}  // namespace freestone
