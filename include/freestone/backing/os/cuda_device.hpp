#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include <freestone/backing/os/cuda.hpp>
#include <freestone/backing/os/mapping.hpp>

namespace freestone::backing {

// A GPU's own memory, at addresses of its own that the CPU does not see. Its base is the first of them, so blocks are
// aligned as the GPU counts. The notes lie in the host's memory, on pages of their own.
//
// The addresses are reserved at once. The memory behind them is taken in pieces of some 2 MiB (`piece`): all of it at
// once, or, with `committed` = false, block by block with commit and decommit, so that a zone may span more than the
// GPU has, and grow (strategy::Elastic). Blocks of two holders may meet in one piece, so one such call waits for the
// other.
class CudaDevice {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability) noexcept { return true; }  // the CPU does not look

  struct Settings {
    cuda::Gpu::Settings gpu = {};
    bool committed = true;
  };

  // Gpu::open's errors; of the library, out_of_memory where the GPU has not so much; of the notes' pages, out_of_memory
  // and limit_reached (locked memory: mlockall). Costs, besides the GPU's opening, what commit does for all pieces:
  // 10 GiB are some 30,000 calls of the driver.
  static Result<CudaDevice> create(const BackingRequest& request) noexcept { return create(request, Settings{}); }
  static Result<CudaDevice> create(const BackingRequest& request, const Settings& settings) noexcept {
    auto gpu = cuda::Gpu::open(settings.gpu, request.name);
    if (!gpu) return gpu.error();
    CudaDevice made(request, *std::move(gpu));
    if (const cuda::Status status = made.reserve(request.granule.value()); status != cuda::Status::success)
      return made.gpu_.error(status, request.name, request.size);
    if (const Error error = made.make_notes(request); error) return error;
    if (!settings.committed) return made;
    if (const auto all = made.commit(0, request.size); !all) {
      Error error = all.error();
      error.zone = request.name;
      return error;
    }
    return made;
  }

  Bytes size() const noexcept { return size_; }
  Bytes base() const noexcept { return address_; }
  std::span<std::uint64_t> notes() noexcept { return notes_; }

  std::optional<DeviceAddress> device_address(Bytes offset) const noexcept { return DeviceAddress(address_) + offset; }

  // What memory is taken and given back by.
  Bytes piece() const noexcept { return piece_; }

  // commit: the pieces that the range touches; decommit: those that lie in it. Errors: size_beyond_zone where it is not
  // all in this, and then nothing changed; out_of_memory where the GPU has no more, and the driver's others: then
  // pieces in front have memory, and the call may be made again. Costs six calls of the driver for each piece that
  // comes, and three for each that goes.
  Result<void> commit(Bytes offset, Bytes size) noexcept {
    if (!is_inside(offset, size)) return beyond(size);
    const OneAtATime turn(*one_at_a_time_);
    const std::uint64_t end = (offset.value() + size.value() + piece_.value() - 1) >> piece_log2();
    for (std::uint64_t piece = offset.value() >> piece_log2(); piece < end; ++piece) {
      if (bits::test(is_there_.data(), piece)) continue;
      if (const cuda::Status status = give(piece); status != cuda::Status::success) return gpu_.error(status, "", size);
      bits::set(is_there_.data(), piece);
    }
    return {};
  }
  Result<void> decommit(Bytes offset, Bytes size) noexcept {
    if (!is_inside(offset, size)) return beyond(size);
    const OneAtATime turn(*one_at_a_time_);
    const std::uint64_t end = (offset.value() + size.value()) >> piece_log2();
    for (std::uint64_t piece = (offset.value() + piece_.value() - 1) >> piece_log2(); piece < end; ++piece) take(piece);
    return {};
  }

  CudaDevice(CudaDevice&& other) noexcept
      : size_(other.size_),
        piece_(other.piece_),
        notes_(std::exchange(other.notes_, {})),
        is_there_(std::exchange(other.is_there_, {})),
        one_at_a_time_(std::exchange(other.one_at_a_time_, nullptr)),
        notes_pages_(std::move(other.notes_pages_)),
        gpu_(std::move(other.gpu_)),
        address_(std::exchange(other.address_, 0)) {}
  CudaDevice& operator=(CudaDevice&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(piece_, other.piece_);
    std::swap(notes_, other.notes_);
    std::swap(is_there_, other.is_there_);
    std::swap(one_at_a_time_, other.one_at_a_time_);
    std::swap(notes_pages_, other.notes_pages_);
    std::swap(gpu_, other.gpu_);
    std::swap(address_, other.address_);
    return *this;
  }
  ~CudaDevice() {
    if (address_ == 0) return;
    if (!is_there_.empty()) {
      for (std::uint64_t piece = 0; piece < pieces(); ++piece) take(piece);
    }
    gpu_.with_context([&](const cuda::Calls& calls) {
      return calls.address_free(address_, static_cast<std::size_t>(pieces() << piece_log2()));
    });
  }

 private:
  class OneAtATime {
   public:
    explicit OneAtATime(pthread_mutex_t& mutex) noexcept : mutex_(mutex) { pthread_mutex_lock(&mutex_); }
    ~OneAtATime() { pthread_mutex_unlock(&mutex_); }
    OneAtATime(const OneAtATime&) = delete;
    OneAtATime& operator=(const OneAtATime&) = delete;

   private:
    pthread_mutex_t& mutex_;
  };

  CudaDevice(const BackingRequest& request, cuda::Gpu gpu) noexcept : size_(request.size), gpu_(std::move(gpu)) {}

  bool is_inside(Bytes offset, Bytes size) const noexcept { return offset <= size_ && size <= size_ - offset; }
  Error beyond(Bytes size) const noexcept {
    return {.code = ErrorCode::size_beyond_zone, .asked = size.value(), .available = size_.value()};
  }

  unsigned piece_log2() const noexcept { return bits::floor_log2(piece_.value()); }
  std::uint64_t pieces() const noexcept { return (size_.value() + piece_.value() - 1) >> piece_log2(); }

  cuda::AllocationProperties properties() const noexcept {
    cuda::AllocationProperties properties;
    properties.location.id = gpu_.device();
    return properties;
  }

  // Addresses, at a multiple of a granule too.
  cuda::Status reserve(std::uint64_t granule) noexcept {
    return gpu_.with_context([&](const cuda::Calls& calls) {
      const cuda::AllocationProperties kind = properties();
      std::size_t least = 0;
      constexpr int minimum = 0;
      if (const auto status = calls.granularity(&least, &kind, minimum); status != cuda::Status::success) return status;
      piece_ = least;
      if (size_.value() > SIZE_MAX - least) return cuda::Status::out_of_memory;
      const std::uint64_t bytes = pieces() << piece_log2();
      const auto align = static_cast<std::size_t>(granule > least ? granule : least);
      return calls.address_reserve(&address_, static_cast<std::size_t>(bytes), align, 0, 0);
    });
  }

  // The words that were asked for; behind them a bit for each piece, is it there?, and the mutex.
  Error make_notes(BackingRequest request) noexcept {
    const std::size_t asked = request.notes_words;
    const std::size_t words_of_pieces = bits::words_for(pieces());
    constexpr std::size_t words_of_mutex = (sizeof(pthread_mutex_t) + 7) / 8;
    request.notes_words = bits::add_saturating(asked, words_of_pieces + words_of_mutex);
    auto pages = Mapping::map_notes(request);
    if (!pages) return pages.error();
    notes_pages_ = *std::move(pages);
    notes_ = notes_pages_.words(0, asked);
    is_there_ = notes_pages_.words(asked * sizeof(std::uint64_t), words_of_pieces);
    one_at_a_time_ = ::new (static_cast<void*>(is_there_.data() + words_of_pieces)) pthread_mutex_t;
    pthread_mutex_init(one_at_a_time_, nullptr);
    return {};
  }

  cuda::Pointer address_of(std::uint64_t piece) const noexcept { return address_ + (piece << piece_log2()); }

  // Memory of the GPU's at a piece's addresses. It is the mapping's from then on.
  cuda::Status give(std::uint64_t piece) noexcept {
    return gpu_.with_context([&](const cuda::Calls& calls) {
      const cuda::AllocationProperties kind = properties();
      const cuda::Access access{.location = kind.location};
      const auto bytes = static_cast<std::size_t>(piece_.value());
      cuda::MemoryHandle memory = 0;
      cuda::Status status = calls.create(&memory, bytes, &kind, 0);
      if (status != cuda::Status::success) return status;
      status = calls.map(address_of(piece), bytes, 0, memory, 0);
      calls.release(memory);
      if (status != cuda::Status::success) return status;
      status = calls.set_access(address_of(piece), bytes, &access, 1);
      if (status != cuda::Status::success) calls.unmap(address_of(piece), bytes);
      return status;
    });
  }
  void take(std::uint64_t piece) noexcept {
    if (!bits::test(is_there_.data(), piece)) return;
    bits::clear(is_there_.data(), piece);
    gpu_.with_context([&](const cuda::Calls& calls) {
      return calls.unmap(address_of(piece), static_cast<std::size_t>(piece_.value()));
    });
  }

  Bytes size_;
  Bytes piece_ = 1;
  std::span<std::uint64_t> notes_;
  std::span<std::uint64_t> is_there_;
  pthread_mutex_t* one_at_a_time_ = nullptr;
  Mapping notes_pages_;
  cuda::Gpu gpu_;
  cuda::Pointer address_ = 0;
};

}  // namespace freestone::backing
