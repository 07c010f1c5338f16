#include <sys/mman.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include <freestone/backing/os/cuda.hpp>
#include "support/fake_cuda_state.hpp"

using namespace freestone::backing::cuda;

extern "C" {
freestone::tests::FakeCudaState fake_cuda_state;
}

namespace {

constexpr std::size_t piece_bytes = 2U << 20;
constexpr int devices = 2;

constexpr Status invalid_value{1};
struct Range {
  std::size_t bytes;
  void* room;  // host addresses that nobody may look at: only the numbers matter
  std::size_t room_bytes;
};
std::mutex one_at_a_time;
std::map<Pointer, Range> reserved;
std::map<Pointer, bool> mapped;  // may it be used?
std::map<MemoryHandle, bool> made;
MemoryHandle last_handle = 0;
char context_of[devices];               // only their addresses matter
thread_local std::vector<int> current;  // the devices of the contexts that were pushed

Status misuse() { return fake_cuda_state.misused = true, invalid_value; }

// Of a call that may fail, whatever it is asked: is it its turn?
bool fails_by_number() { return ++fake_cuda_state.calls == fake_cuda_state.fails_at; }
bool fails() {
  const bool also = fake_cuda_state.also_fails != nullptr && fake_cuda_state.also_fails();
  return fails_by_number() || also;
}
constexpr Status failure{freestone::tests::fake_cuda_failure};

// Memory of the GPU whose context is current.
bool is_of_current(const Location& location) {
  return location.type == 1 && !current.empty() && location.id == current.back();
}

using Lock = std::scoped_lock<std::mutex>;

}  // namespace

extern "C" {

Status cuInit(unsigned) {
  const Lock lock(one_at_a_time);
  return fails() ? failure : Status::success;
}
Status cuDeviceGet(Device* device, int number) {
  const Lock lock(one_at_a_time);
  if (fails()) return failure;
  *device = number;
  return number < devices ? Status::success : Status::invalid_device;
}
Status cuDevicePrimaryCtxRetain(Context* context, Device device) {
  const Lock lock(one_at_a_time);
  if (fails()) return failure;
  ++fake_cuda_state.contexts;
  *context = reinterpret_cast<Context>(&context_of[device]);
  return Status::success;
}
Status cuDevicePrimaryCtxRelease_v2(Device) {
  const Lock lock(one_at_a_time);
  return --fake_cuda_state.contexts, Status::success;
}
Status cuCtxPushCurrent_v2(Context context) {
  const Lock lock(one_at_a_time);
  if (context == nullptr) return misuse();
  if (fails_by_number()) return failure;
  current.push_back(static_cast<int>(reinterpret_cast<char*>(context) - context_of));
  return ++fake_cuda_state.current, Status::success;
}
Status cuCtxPopCurrent_v2(Context*) {
  const Lock lock(one_at_a_time);
  if (current.empty()) return misuse();
  current.pop_back();
  return --fake_cuda_state.current, Status::success;
}

Status cuMemGetAllocationGranularity(std::size_t* bytes, const AllocationProperties* kind, int) {
  const Lock lock(one_at_a_time);
  if (fails()) return failure;
  *bytes = piece_bytes;
  return kind->type == 1 && is_of_current(kind->location) ? Status::success : misuse();
}
// At a multiple of what was asked, and of no more.
Status cuMemAddressReserve(Pointer* address, std::size_t bytes, std::size_t align, Pointer, unsigned long long) {
  const Lock lock(one_at_a_time);
  if (bytes == 0 || bytes % piece_bytes != 0 || (align & (align - 1)) != 0 || current.empty()) return misuse();
  if (fails()) return failure;
  if (align < piece_bytes) align = piece_bytes;
  if (bytes > SIZE_MAX - 2 * align) return Status::out_of_memory;
  const std::size_t all = bytes + 2 * align;
  void* room = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return Status::out_of_memory;
  *address = ((reinterpret_cast<Pointer>(room) + align - 1) & ~(Pointer{align} - 1)) | align;
  reserved[*address] = {bytes, room, all};
  return ++fake_cuda_state.reservations, Status::success;
}
Status cuMemAddressFree(Pointer address, std::size_t bytes) {
  const Lock lock(one_at_a_time);
  const auto found = reserved.find(address);
  if (found == reserved.end() || found->second.bytes != bytes) return misuse();
  const auto inside = mapped.lower_bound(address);
  if (inside != mapped.end() && inside->first < address + bytes) return misuse();
  munmap(found->second.room, found->second.room_bytes);
  reserved.erase(found);
  return --fake_cuda_state.reservations, Status::success;
}
Status cuMemCreate(MemoryHandle* handle, std::size_t bytes, const AllocationProperties* kind, unsigned long long) {
  if (fake_cuda_state.is_slow) std::this_thread::sleep_for(std::chrono::microseconds(200));
  const Lock lock(one_at_a_time);
  if (bytes != piece_bytes || kind->type != 1 || !is_of_current(kind->location)) return misuse();
  if (fails()) return failure;
  if (fake_cuda_state.pieces_left == 0) return Status::out_of_memory;
  --fake_cuda_state.pieces_left;
  ++fake_cuda_state.pieces;
  made[*handle = ++last_handle] = false;
  return ++fake_cuda_state.handles, Status::success;
}
Status cuMemMap(Pointer address, std::size_t bytes, std::size_t, MemoryHandle handle, unsigned long long) {
  const Lock lock(one_at_a_time);
  const auto range = reserved.upper_bound(address);
  if (bytes != piece_bytes || address % piece_bytes != 0 || made.count(handle) == 0 || mapped.count(address) != 0 ||
      range == reserved.begin() || std::prev(range)->first + std::prev(range)->second.bytes < address + bytes)
    return misuse();
  if (fails()) return failure;
  mapped[address] = false;
  made[handle] = true;
  return Status::success;
}
Status cuMemRelease(MemoryHandle handle) {
  const Lock lock(one_at_a_time);
  if (made.count(handle) == 0) return misuse();
  if (!made[handle]) ++fake_cuda_state.pieces_left, --fake_cuda_state.pieces;
  made.erase(handle);
  return --fake_cuda_state.handles, Status::success;
}
Status cuMemSetAccess(Pointer address, std::size_t bytes, const Access* access, std::size_t count) {
  const Lock lock(one_at_a_time);
  if (count != 1 || access->flags != 3 || !is_of_current(access->location) || bytes != piece_bytes ||
      mapped.count(address) == 0)
    return misuse();
  if (fails()) return failure;
  return mapped[address] = true, Status::success;
}
Status cuMemUnmap(Pointer address, std::size_t bytes) {
  const Lock lock(one_at_a_time);
  if (bytes != piece_bytes || mapped.erase(address) == 0) return misuse();
  ++fake_cuda_state.pieces_left;
  --fake_cuda_state.pieces;
  return Status::success;
}
Status cuMemHostAlloc(void** memory, std::size_t bytes, unsigned flags) {
  const Lock lock(one_at_a_time);
  if (flags != 3 || current.empty()) return misuse();
  if (fails()) return failure;
  if (fake_cuda_state.pieces_left == 0) return Status::out_of_memory;
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  return ++fake_cuda_state.pinned, Status::success;
}
Status cuMemFreeHost(void* memory) {
  const Lock lock(one_at_a_time);
  std::free(memory);
  return --fake_cuda_state.pinned, Status::success;
}
Status cuMemHostGetDevicePointer_v2(Pointer* address, void* memory, unsigned) {
  const Lock lock(one_at_a_time);
  if (fails()) return failure;
  return *address = reinterpret_cast<Pointer>(memory) + (Pointer{1} << 46), Status::success;
}
}
