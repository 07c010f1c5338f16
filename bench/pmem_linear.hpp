// PMEM's bitmap and buddy as its driver searched: from left to right, record by record. (shared/spec: PMEM 3.2, 3.3.) Without its
// faults: numbers are wide enough, the table of records grows as far as it must, and counts are right.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace freestone::bench {

class LinearBitmap {
 public:
  explicit LinearBitmap(std::uint64_t quanta) : quanta_(quanta), words_(static_cast<std::size_t>((quanta + 31) / 32)), free_(quanta) {}

  std::optional<std::uint64_t> allocate(std::uint64_t need) { return allocate_from(0, need); }
  // As if all before were used.
  std::optional<std::uint64_t> allocate_from(std::uint64_t at, std::uint64_t need) {
    if (need == 0 || need > free_) return std::nullopt;
    while (true) {
      if (at + need > quanta_) return std::nullopt;
      const auto used = last_used_in_first_word(at, need);
      if (!used) break;
      at = *used + 1;
    }
    for (std::uint64_t bit = at; bit < at + need; ++bit) word(bit) |= mask(bit);
    free_ -= need;
    const auto empty = std::ranges::find_if(records_, [](const Record& one) { return one.quanta == 0; });
    (empty == records_.end() ? records_.emplace_back() : *empty) = {at, need};
    return at;
  }
  bool free(std::uint64_t first) {
    const auto found = std::ranges::find_if(records_, [&](const Record& one) { return one.quanta != 0 && one.first == first; });
    if (found == records_.end()) return false;
    for (std::uint64_t bit = first; bit < first + found->quanta; ++bit) word(bit) &= ~mask(bit);
    free_ += found->quanta;
    *found = {};
    return true;
  }
  // In the longest run.
  std::uint64_t largest() const {
    std::uint64_t at = 0, largest = 0;
    while (at < quanta_) {
      std::uint64_t here = 0, next = quanta_;
      for (const Record& one : records_) {
        if (one.quanta == 0) continue;
        if (one.first == at) here = one.quanta;
        if (one.first > at) next = std::min(next, one.first);
      }
      largest = std::max(largest, next - (at + here));
      at = next;
    }
    return largest;
  }

 private:
  struct Record {
    std::uint64_t first = 0;
    std::uint64_t quanta = 0;
  };

  static std::uint32_t mask(std::uint64_t bit) { return std::uint32_t{1} << (bit % 32); }
  std::uint32_t& word(std::uint64_t bit) { return words_[static_cast<std::size_t>(bit / 32)]; }
  // Word by word: of the first that has a used bit in the range, its highest in the range.
  std::optional<std::uint64_t> last_used_in_first_word(std::uint64_t from, std::uint64_t count) {
    for (std::uint64_t at = from; at < from + count; at = (at / 32 + 1) * 32) {
      const std::uint64_t end = std::min((at / 32 + 1) * 32, from + count);
      for (std::uint64_t bit = word(at) == 0 ? at : end; bit-- > at;) {
        if ((word(bit) & mask(bit)) != 0) return bit;
      }
    }
    return std::nullopt;
  }

  std::uint64_t quanta_;
  std::vector<std::uint32_t> words_;
  std::vector<Record> records_;
  std::uint64_t free_;
};

// Of a power of two.
class LinearBuddy {
 public:
  explicit LinearBuddy(std::uint64_t quanta) : heads_(static_cast<std::size_t>(quanta)) {
    heads_[0].order = 63 - static_cast<unsigned>(__builtin_clzll(quanta));
  }

  std::optional<std::uint64_t> allocate(unsigned order) {
    std::optional<std::size_t> best;
    for (std::size_t at = 0; at < heads_.size(); at += std::size_t{1} << heads_[at].order) {
      if (heads_[at].is_allocated || heads_[at].order < order) continue;
      if (!best || heads_[at].order < heads_[*best].order) best = at;
      if (heads_[at].order == order) break;
    }
    if (!best) return std::nullopt;
    while (heads_[*best].order > order) {
      const unsigned half = --heads_[*best].order;
      heads_[*best + (std::size_t{1} << half)] = {false, half};
    }
    heads_[*best].is_allocated = true;
    return *best;
  }
  void free(std::uint64_t first) {
    auto at = static_cast<std::size_t>(first);
    heads_[at].is_allocated = false;
    while (true) {
      const std::size_t buddy = at ^ (std::size_t{1} << heads_[at].order);
      if (buddy >= heads_.size() || heads_[buddy].is_allocated || heads_[buddy].order != heads_[at].order) return;
      ++heads_[at].order;
      ++heads_[buddy].order;
      at = std::min(at, buddy);
    }
  }

 private:
  struct Head {
    bool is_allocated = false;
    unsigned order = 0;
  };
  std::vector<Head> heads_;
};

}  // namespace freestone::bench
