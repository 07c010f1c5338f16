// The few calls of CUDA's driver library that the backings of a GPU need, found when one is made: nothing of CUDA is
// needed to build. The declarations are ours, of the interface that NVIDIA documents (CUDA Driver API, memory
// management and virtual memory management).
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <freestone/backing/os/node.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>

namespace freestone::backing::cuda {

using Device = int;
using Context = struct OpaqueContext*;
using Pointer = std::uint64_t;
using MemoryHandle = std::uint64_t;

enum class Status : int { success = 0, out_of_memory = 2, no_device = 100, invalid_device = 101, not_permitted = 800 };

struct Location {
  int type = 1;  // a device
  int id = 0;
};
struct AllocationProperties {
  int type = 1;  // memory that stays where it is
  int handle_types = 0;
  Location location;
  void* win32_handle_data = nullptr;
  unsigned char compression = 0;
  unsigned char gpu_direct_rdma = 0;
  unsigned short usage = 0;
  unsigned char reserved[4] = {};
};
struct Access {
  Location location;
  int flags = 3;  // to read and to write
};

struct Calls {
  Status (*init)(unsigned);
  Status (*device_get)(Device*, int);
  Status (*context_retain)(Context*, Device);
  Status (*context_release)(Device);
  Status (*context_push)(Context);
  Status (*context_pop)(Context*);
  Status (*granularity)(std::size_t*, const AllocationProperties*, int);
  Status (*address_reserve)(Pointer*, std::size_t, std::size_t, Pointer, unsigned long long);
  Status (*address_free)(Pointer, std::size_t);
  Status (*create)(MemoryHandle*, std::size_t, const AllocationProperties*, unsigned long long);
  Status (*release)(MemoryHandle);
  Status (*map)(Pointer, std::size_t, std::size_t, MemoryHandle, unsigned long long);
  Status (*unmap)(Pointer, std::size_t);
  Status (*set_access)(Pointer, std::size_t, const Access*, std::size_t);
  Status (*host_allocate)(void**, std::size_t, unsigned);
  Status (*host_free)(void*);
  Status (*host_device_pointer)(Pointer*, void*, unsigned);
};

// One GPU, and the library for as long as somebody needs it.
class Gpu {
 public:
  struct Settings {
    int device = 0;
    const char* library = "libcuda.so.1";  // must outlive the backing
  };

  // Errors, of the library: no_device where there is none, or no such GPU; no_access; out_of_memory; node_failure where
  // the library lacks a call or refuses one, or does not load although its file is there, which only a name with a
  // slash can tell (any other is searched for, and no_device then). Costs the driver's start.
  static Result<Gpu> open(const Settings& settings, const char* zone) noexcept {
    Gpu gpu(dlopen(settings.library, RTLD_NOW | RTLD_LOCAL), settings.library);
    if (gpu.handle_ == nullptr) return not_loaded(settings.library, zone);
    if (!gpu.find_calls()) return Error::of_node(ErrorCode::node_failure, settings.library, zone);
    Status status = gpu.calls_.init(0);
    if (status == Status::success) status = gpu.calls_.device_get(&gpu.device_, settings.device);
    if (status == Status::success) status = gpu.calls_.context_retain(&gpu.context_, gpu.device_);
    if (status != Status::success) return gpu.error(status, zone, 0);
    return gpu;
  }

  Gpu(Gpu&& other) noexcept
      : calls_(other.calls_),
        handle_(std::exchange(other.handle_, nullptr)),
        library_(other.library_),
        device_(other.device_),
        context_(std::exchange(other.context_, nullptr)) {}
  Gpu& operator=(Gpu&& other) noexcept {
    std::swap(calls_, other.calls_);
    std::swap(handle_, other.handle_);
    std::swap(library_, other.library_);
    std::swap(device_, other.device_);
    std::swap(context_, other.context_);
    return *this;
  }
  ~Gpu() {
    if (context_ != nullptr) calls_.context_release(device_);
    if (handle_ != nullptr) dlclose(handle_);
  }

  Device device() const noexcept { return device_; }

  // call(const Calls&), with the GPU's context current in this thread.
  template <class Call>
  Status with_context(Call&& call) const noexcept {
    if (const Status status = calls_.context_push(context_); status != Status::success) return status;
    const Status status = call(calls_);
    Context popped = nullptr;
    calls_.context_pop(&popped);
    return status;
  }

  // `os_error` is the driver's own number, negated.
  Error error(Status status, const char* zone, Bytes asked) const noexcept {
    Error error = Error::of_node(code_of(status), library_, zone);
    error.os_error = -static_cast<int>(status);
    error.asked = asked.value();
    return error;
  }

 private:
  Gpu(void* handle, const char* library) noexcept : handle_(handle), library_(library) {}

  static Error not_loaded(const char* library, const char* zone) noexcept {
    if (std::strchr(library, '/') == nullptr) return Error::of_node(ErrorCode::no_device, library, zone);
    if (access(library, R_OK) != 0) return node_error(library, zone, 0);
    return Error::of_node(ErrorCode::node_failure, library, zone);
  }

  static ErrorCode code_of(Status status) noexcept {
    switch (status) {
      case Status::out_of_memory: return ErrorCode::out_of_memory;
      case Status::no_device:
      case Status::invalid_device: return ErrorCode::no_device;
      case Status::not_permitted: return ErrorCode::no_access;
      default: return ErrorCode::node_failure;
    }
  }

  template <class Call>
  bool find(Call& call, const char* name) noexcept {
    call = reinterpret_cast<Call>(dlsym(handle_, name));
    return call != nullptr;
  }
  bool find_calls() noexcept {
    return find(calls_.init, "cuInit") && find(calls_.device_get, "cuDeviceGet") &&
           find(calls_.context_retain, "cuDevicePrimaryCtxRetain") &&
           find(calls_.context_release, "cuDevicePrimaryCtxRelease_v2") &&
           find(calls_.context_push, "cuCtxPushCurrent_v2") && find(calls_.context_pop, "cuCtxPopCurrent_v2") &&
           find(calls_.granularity, "cuMemGetAllocationGranularity") &&
           find(calls_.address_reserve, "cuMemAddressReserve") && find(calls_.address_free, "cuMemAddressFree") &&
           find(calls_.create, "cuMemCreate") && find(calls_.release, "cuMemRelease") && find(calls_.map, "cuMemMap") &&
           find(calls_.unmap, "cuMemUnmap") && find(calls_.set_access, "cuMemSetAccess") &&
           find(calls_.host_allocate, "cuMemHostAlloc") && find(calls_.host_free, "cuMemFreeHost") &&
           find(calls_.host_device_pointer, "cuMemHostGetDevicePointer_v2");
  }

  Calls calls_{};
  void* handle_ = nullptr;
  const char* library_ = "";
  Device device_ = 0;
  Context context_ = nullptr;
};

}  // namespace freestone::backing::cuda
