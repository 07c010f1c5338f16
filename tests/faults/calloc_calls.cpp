// calloc, as heap_calls.cpp has operator new. Not where the C library is linked statically: its own calls would be
// wrapped.
#include <algorithm>
#include <cstddef>
#include <iterator>

#include "faults/host_calls.hpp"

namespace {

// What came of it and is there: free is everybody's.
void* blocks[64] = {};
bool replace(void* from, void* to) noexcept {
  void** const found = std::find(std::begin(blocks), std::end(blocks), from);
  if (found == std::end(blocks)) return false;
  *found = to;
  return true;
}

}  // namespace

extern "C" {

void __real_free(void*);
void __wrap_free(void* block) {
  if (block != nullptr && replace(block, nullptr)) freestone::tests::count_heap_blocks(-1);
  __real_free(block);
}
void* __real_calloc(std::size_t, std::size_t);
void* __wrap_calloc(std::size_t count, std::size_t size) {
  if (freestone::tests::host_call_fails("calloc")) return nullptr;
  void* const block = __real_calloc(count, size);
  if (block != nullptr && replace(nullptr, block)) freestone::tests::count_heap_blocks(1);
  return block;
}

}  // extern "C"
