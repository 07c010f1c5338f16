#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>

#include <freestone/backing/os/cuda.hpp>

using namespace freestone::backing::cuda;

namespace {

constexpr std::size_t piece_bytes = 2U << 20;

struct State {  // as FakeCudaState
  int contexts = 0, current = 0, reservations = 0, pieces = 0, pinned = 0, pieces_left = 1000;
  bool misused = false;
};

constexpr Status invalid_value{1};
struct Range {
  std::size_t bytes;
  void* room;  // host addresses that nobody may look at: only the numbers matter
  std::size_t room_bytes;
};
std::map<Pointer, Range> reserved;
std::map<Pointer, bool> mapped;  // may it be used?
std::map<MemoryHandle, bool> made;
MemoryHandle last_handle = 0;

}  // namespace

extern "C" {

State fake_cuda_state;

Status misuse() { return fake_cuda_state.misused = true, invalid_value; }

Status cuInit(unsigned) { return Status::success; }
Status cuDeviceGet(Device* device, int number) {
  *device = number;
  return number == 0 ? Status::success : Status::invalid_device;
}
Status cuDevicePrimaryCtxRetain(Context* context, Device) {
  ++fake_cuda_state.contexts;
  *context = reinterpret_cast<Context>(&fake_cuda_state);
  return Status::success;
}
Status cuDevicePrimaryCtxRelease_v2(Device) { return --fake_cuda_state.contexts, Status::success; }
Status cuCtxPushCurrent_v2(Context context) {
  return context == nullptr ? misuse() : (++fake_cuda_state.current, Status::success);
}
Status cuCtxPopCurrent_v2(Context*) { return --fake_cuda_state.current, Status::success; }

Status cuMemGetAllocationGranularity(std::size_t* bytes, const AllocationProperties* kind, int) {
  *bytes = piece_bytes;
  return kind->type == 1 && kind->location.type == 1 ? Status::success : misuse();
}
Status cuMemAddressReserve(Pointer* address, std::size_t bytes, std::size_t align, Pointer, unsigned long long) {
  if (bytes == 0 || bytes % piece_bytes != 0 || (align & (align - 1)) != 0 || fake_cuda_state.current == 0)
    return misuse();
  const std::size_t all = bytes + align;
  void* room = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return Status::out_of_memory;
  *address = (reinterpret_cast<Pointer>(room) + align - 1) & ~(Pointer{align} - 1);
  reserved[*address] = {bytes, room, all};
  return ++fake_cuda_state.reservations, Status::success;
}
Status cuMemAddressFree(Pointer address, std::size_t bytes) {
  const auto found = reserved.find(address);
  if (found == reserved.end() || found->second.bytes != bytes) return misuse();
  const auto inside = mapped.lower_bound(address);
  if (inside != mapped.end() && inside->first < address + bytes) return misuse();
  munmap(found->second.room, found->second.room_bytes);
  reserved.erase(found);
  return --fake_cuda_state.reservations, Status::success;
}
Status cuMemCreate(MemoryHandle* handle, std::size_t bytes, const AllocationProperties*, unsigned long long) {
  if (bytes != piece_bytes) return misuse();
  if (fake_cuda_state.pieces_left == 0) return Status::out_of_memory;
  --fake_cuda_state.pieces_left;
  ++fake_cuda_state.pieces;
  made[*handle = ++last_handle] = false;
  return Status::success;
}
Status cuMemMap(Pointer address, std::size_t bytes, std::size_t, MemoryHandle handle, unsigned long long) {
  const auto range = reserved.upper_bound(address);
  if (bytes != piece_bytes || address % piece_bytes != 0 || made.count(handle) == 0 || mapped.count(address) != 0 ||
      range == reserved.begin() || std::prev(range)->first + std::prev(range)->second.bytes < address + bytes)
    return misuse();
  mapped[address] = false;
  made[handle] = true;
  return Status::success;
}
Status cuMemRelease(MemoryHandle handle) {
  if (made.count(handle) == 0) return misuse();
  if (!made[handle]) ++fake_cuda_state.pieces_left, --fake_cuda_state.pieces;
  made.erase(handle);
  return Status::success;
}
Status cuMemSetAccess(Pointer address, std::size_t bytes, const Access* access, std::size_t count) {
  if (count != 1 || access->flags != 3 || bytes != piece_bytes || mapped.count(address) == 0) return misuse();
  return mapped[address] = true, Status::success;
}
Status cuMemUnmap(Pointer address, std::size_t bytes) {
  if (bytes != piece_bytes || mapped.erase(address) == 0) return misuse();
  ++fake_cuda_state.pieces_left;
  --fake_cuda_state.pieces;
  return Status::success;
}
Status cuMemHostAlloc(void** memory, std::size_t bytes, unsigned flags) {
  if (flags != 3 || fake_cuda_state.current == 0) return misuse();
  if (fake_cuda_state.pieces_left == 0) return Status::out_of_memory;
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  return ++fake_cuda_state.pinned, Status::success;
}
Status cuMemFreeHost(void* memory) {
  std::free(memory);
  return --fake_cuda_state.pinned, Status::success;
}
Status cuMemHostGetDevicePointer_v2(Pointer* address, void* memory, unsigned) {
  return *address = reinterpret_cast<Pointer>(memory) + (Pointer{1} << 46), Status::success;
}
}
