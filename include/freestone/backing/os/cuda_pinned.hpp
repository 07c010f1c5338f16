#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/cuda.hpp>
#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// The host's memory, pinned, so that a GPU reads and writes it by itself: blocks have a CPU pointer and an address of
// the GPU's. Both are aligned as their offset is, up to a page. The notes lie on pages of their own. All of it is there
// from the start.
class CudaPinned {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability c) noexcept { return c == Cacheability::cached; }

  using Settings = cuda::Gpu::Settings;

  // Gpu::open's errors; of the library, out_of_memory where the host has not so much to pin; of the notes' pages,
  // out_of_memory and limit_reached (locked memory: mlockall). Costs, besides the GPU's opening, to pin and zero it
  // all.
  static Result<CudaPinned> create(const BackingRequest& request) noexcept { return create(request, Settings{}); }
  static Result<CudaPinned> create(const BackingRequest& request, const Settings& settings) noexcept {
    auto notes = Mapping::map_notes(request);
    if (!notes) return notes.error();
    auto gpu = cuda::Gpu::open(settings, request.name);
    if (!gpu) return gpu.error();
    CudaPinned made(request, *std::move(gpu), *std::move(notes));
    if (const cuda::Status status = made.allocate(); status != cuda::Status::success)
      return made.gpu_.error(status, request.name, request.size);
    return made;
  }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return 0; }
  std::span<std::uint64_t> notes() noexcept { return notes_pages_.words(0, notes_words_); }

  std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    return static_cast<std::byte*>(memory_) + static_cast<std::size_t>(offset.value());
  }
  std::optional<DeviceAddress> device_address(Bytes offset) const noexcept { return DeviceAddress(address_) + offset; }

  CudaPinned(CudaPinned&& other) noexcept
      : size_(other.size_),
        notes_words_(other.notes_words_),
        notes_pages_(std::move(other.notes_pages_)),
        gpu_(std::move(other.gpu_)),
        memory_(std::exchange(other.memory_, nullptr)),
        address_(other.address_) {}
  CudaPinned& operator=(CudaPinned&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(notes_words_, other.notes_words_);
    std::swap(notes_pages_, other.notes_pages_);
    std::swap(gpu_, other.gpu_);
    std::swap(memory_, other.memory_);
    std::swap(address_, other.address_);
    return *this;
  }
  ~CudaPinned() {
    if (memory_ != nullptr) gpu_.with_context([&](const cuda::Calls& calls) { return calls.host_free(memory_); });
  }

 private:
  CudaPinned(const BackingRequest& request, cuda::Gpu gpu, Mapping notes) noexcept
      : size_(request.size), notes_words_(request.notes_words), notes_pages_(std::move(notes)), gpu_(std::move(gpu)) {}

  cuda::Status allocate() noexcept {
    constexpr unsigned portable_and_mapped = 1 | 2;
    const std::uint64_t bytes = bits::align_up(size_.value(), page_size());
    if (bytes > SIZE_MAX || bytes < size_.value()) return cuda::Status::out_of_memory;
    return gpu_.with_context([&](const cuda::Calls& calls) {
      const auto status = calls.host_allocate(&memory_, static_cast<std::size_t>(bytes), portable_and_mapped);
      return status == cuda::Status::success ? calls.host_device_pointer(&address_, memory_, 0) : status;
    });
  }

  Bytes size_;
  std::size_t notes_words_;
  Mapping notes_pages_;
  cuda::Gpu gpu_;
  void* memory_ = nullptr;
  cuda::Pointer address_ = 0;
};

}  // namespace freestone::backing
