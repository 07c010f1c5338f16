// What can be asked of several heaps at once: the same of Heaps and of RuntimeHeaps.
#pragma once

#include <span>

#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/ask.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/result.hpp>

namespace freestone {

// `D` has ask_in_order(wanted, number, out, error), which asks heap after heap and says whose blocks it has, and
// deallocate(const Block&). Who may call at once is a matter of each zone's lock.
template <class D>
class HeapRequests {
 public:
  // The blocks of one heap that together are what was asked for.
  struct List {
    std::span<Block> blocks = {};
    unsigned heap = most_heaps;
  };

  // One block, of the first heap that meets all the constraints. Errors: HeapError's; then nothing changed. Cost:
  // O(heaps) and the zones' that are asked.
  constexpr HeapResult<HeapBlock> allocate(const Constraints& wanted) noexcept {
    Block block;
    HeapError error;
    const unsigned heap = self().ask_in_order(wanted, detail::Blocks::one, {&block, 1}, error).heap;
    if (error) return error;
    return HeapBlock{block, heap};
  }

  // As allocate, in several blocks of one heap where the constraints allow it and its zone can: the first of `out`.
  // Refused with `contiguous` where a heap has more blocks for it than `out` has room for.
  constexpr HeapResult<List> allocate_list(const Constraints& wanted, std::span<Block> out) noexcept {
    HeapError error;
    const List list = self().ask_in_order(wanted, detail::Blocks::several, out, error);
    if (error) return error;
    return list;
  }

  // As deallocate of the block.
  constexpr Result<void> deallocate(const HeapBlock& block) noexcept { return self().deallocate(block.block); }

 private:
  constexpr D& self() noexcept { return static_cast<D&>(*this); }
};

}  // namespace freestone
