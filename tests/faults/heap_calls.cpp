// The heap: each block is counted, and where no exception tells of its end, the call may be made to fail.
#include <cstddef>
#include <cstdlib>
#include <new>

#include "faults/host_calls.hpp"

namespace {

std::int64_t live = 0;  // (several threads, but never at once)

void* counted(void* block) noexcept {
  live += block != nullptr ? 1 : 0;
  return block;
}
void* block_of(std::size_t size, std::size_t align = 0) noexcept {
  if (align == 0) return counted(std::malloc(size + (size == 0 ? 1 : 0)));
  return counted(std::aligned_alloc(align, (size + align - 1) / align * align));
}
void* block_or_end(std::size_t size, std::size_t align = 0) noexcept {
  void* const block = block_of(size, align);
  if (block == nullptr) std::abort();
  return block;
}

}  // namespace

namespace freestone::tests {
std::int64_t heap_blocks() noexcept { return live; }
void count_heap_blocks(int more) noexcept { live += more; }
}  // namespace freestone::tests

using freestone::tests::host_call_fails;

namespace {
void give_back(void* block) noexcept {
  live -= block != nullptr ? 1 : 0;
  std::free(block);
}
}  // namespace

void* operator new(std::size_t size) { return block_or_end(size); }
void* operator new[](std::size_t size) { return block_or_end(size); }
void* operator new(std::size_t size, std::align_val_t align) { return block_or_end(size, std::size_t(align)); }
void* operator new[](std::size_t size, std::align_val_t align) { return block_or_end(size, std::size_t(align)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return host_call_fails("new") ? nullptr : block_of(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return host_call_fails("new") ? nullptr : block_of(size);
}
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return host_call_fails("new") ? nullptr : block_of(size, std::size_t(align));
}
void* operator new[](std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return host_call_fails("new") ? nullptr : block_of(size, std::size_t(align));
}
void operator delete(void* block) noexcept { give_back(block); }
void operator delete[](void* block) noexcept { give_back(block); }
void operator delete(void* block, std::size_t) noexcept { give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { give_back(block); }
void operator delete(void* block, std::align_val_t) noexcept { give_back(block); }
void operator delete[](void* block, std::align_val_t) noexcept { give_back(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { give_back(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { give_back(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { give_back(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { give_back(block); }
