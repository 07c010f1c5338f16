// A client's references to buffers, under numbers that only they and nobody else's table know.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <freestone/share/keyed_tag.hpp>

namespace freestone {

// A client's reference to a buffer: a number of his own, from 1 to 2^31 - 1. 0 is none.
class Handle {
 public:
  constexpr Handle() noexcept = default;
  constexpr explicit Handle(std::uint32_t value) noexcept : value_(value) {}

  constexpr std::uint32_t value() const noexcept { return value_; }
  constexpr explicit operator bool() const noexcept { return value_ != 0; }
  friend constexpr bool operator==(Handle, Handle) noexcept = default;

 private:
  std::uint32_t value_ = 0;
};

// A buffer of a device: its place, and which of those that lay there in turn: `generation` as far as Holds counts, and
// `number` for good. Not for clients' eyes.
struct BufferId {
  std::uint32_t place = ~std::uint32_t{0};
  std::uint32_t generation = 0;
  std::uint64_t number = 0;

  friend constexpr bool operator==(const BufferId&, const BufferId&) noexcept = default;
};

// Up to `most` handles, each of another buffer. The low bits of a handle are its place; the others, 15 at least, are a
// tag that depends on the place, on how often it was used, and on the client's key: who has not got a number does not
// know it, be it another client's or the next. A handle that was erased is unknown until its place has been used with
// every other tag: 32,766 times at least, and 2^27 - 2 times where there are 16 places. After that, its number is given
// out again. Callers take turns. Cost of each call: O(1), but where a number says otherwise.
template <std::size_t most>
class HandleTable {
  static constexpr unsigned place_bits = std::bit_width(most - 1);
  static constexpr unsigned tag_bits = 31 - place_bits;
  static_assert(most != 0 && place_bits <= 16, "HandleTable has room for 1 to 65,536 handles.");

 public:
  // What a client has of a buffer: all of these are his own, and none of them goes below 0.
  struct Entry {
    Handle handle = {};
    BufferId buffer = {};
    std::uint32_t references = 0;  // how often he got it: one of these goes with each free
    std::uint32_t cpu_maps = 0;
    std::uint32_t device_maps = 0;

   private:
    friend class HandleTable;
    std::uint32_t uses = 0;  // of this place
    std::uint32_t next = 0;  // of the free ones, or of those whose buffers have the same hash; +1, 0 is none
  };

  // Empty, for another client, with a key of his own: no handle is known any more.
  void begin(const TagKey& key) noexcept {
    key_ = key;
    count_ = 0;
    heads_ = {};
    first_free_ = last_free_ = 0;
    for (std::size_t place = 0; place < most; ++place) {
      entries_[place].handle = Handle();
      put_free(place);
    }
  }

  // What lies in that place, below `most`. nullptr: nothing.
  const Entry* at(std::size_t place) const noexcept { return entries_[place].handle ? &entries_[place] : nullptr; }
  // nullptr: unknown.
  Entry* find(Handle handle) noexcept {
    const std::size_t place = handle.value() & place_mask;
    if (!handle || place >= most || entries_[place].handle != handle) return nullptr;
    return &entries_[place];
  }
  // Cost: O(1) on average.
  Entry* find(BufferId buffer) noexcept {
    for (std::uint32_t at = heads_[hash(buffer)]; at != 0; at = entries_[at - 1].next) {
      if (entries_[at - 1].buffer == buffer) return &entries_[at - 1];
    }
    return nullptr;
  }

  // A handle for a buffer that has none yet. nullptr: there are `most`.
  Entry* insert(BufferId buffer) noexcept {
    if (first_free_ == 0) return nullptr;
    const std::size_t place = first_free_ - 1;
    Entry& entry = entries_[place];
    first_free_ = entry.next;
    if (first_free_ == 0) last_free_ = 0;
    entry.buffer = buffer;
    entry.references = entry.cpu_maps = entry.device_maps = 0;
    entry.handle = next_handle(place);
    entry.next = std::exchange(heads_[hash(buffer)], static_cast<std::uint32_t>(place + 1));
    ++count_;
    return &entry;
  }

  // Its handle is unknown from here on. The place that was free for longest is used next.
  void erase(Entry& entry) noexcept {
    const auto place = static_cast<std::size_t>(&entry - entries_.data());
    std::uint32_t* at = &heads_[hash(entry.buffer)];
    while (*at != place + 1) at = &entries_[*at - 1].next;
    *at = entry.next;
    entry.handle = Handle();
    put_free(place);
    --count_;
  }

  // visit(Entry&), which may erase it.
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    for (Entry& entry : entries_) {
      if (entry.handle) visit(entry);
    }
  }
  std::size_t count() const noexcept { return count_; }

 private:
  static constexpr std::uint32_t place_mask = (std::uint32_t{1} << place_bits) - 1;

  static constexpr std::size_t hash(BufferId buffer) noexcept { return buffer.place % most; }

  Handle next_handle(std::size_t place) noexcept {
    for (;;) {
      const std::uint32_t use = ++entries_[place].uses & ((std::uint32_t{1} << tag_bits) - 1);
      const std::uint32_t tag = keyed_permutation(key_, place, tag_bits, use);
      if (tag != 0) return Handle(tag << place_bits | static_cast<std::uint32_t>(place));  // 0 is none
    }
  }
  void put_free(std::size_t place) noexcept {
    entries_[place].next = 0;
    const auto link = static_cast<std::uint32_t>(place + 1);
    (last_free_ == 0 ? first_free_ : entries_[last_free_ - 1].next) = link;
    last_free_ = link;
  }

  std::array<Entry, most> entries_ = {};
  std::array<std::uint32_t, most> heads_ = {};
  std::uint32_t first_free_ = 0;
  std::uint32_t last_free_ = 0;
  std::size_t count_ = 0;
  TagKey key_ = {};
};

}  // namespace freestone
