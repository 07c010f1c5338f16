// What holds a buffer and is no client's handle.
#pragma once

#include <utility>

#include <freestone/core/seam.hpp>
#include <freestone/share/handle_table.hpp>
#include <freestone/share/map_counts.hpp>

namespace freestone {

// A hold on a buffer of the device D: what is on its way to another client, or behind a file. Drops it when it ends,
// and does not outlive the device. Of one thread at a time.
template <class D>
class BufferRef {
 public:
  constexpr BufferRef() noexcept = default;
  BufferRef(BufferRef&& other) noexcept
      : device_(std::exchange(other.device_, nullptr)), id_(std::exchange(other.id_, BufferId())) {}
  BufferRef& operator=(BufferRef&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~BufferRef() {
    if (device_ != nullptr) device_->put(id_);
  }

  explicit operator bool() const noexcept { return device_ != nullptr; }
  // Nobody's, of an empty one.
  BufferId id() const noexcept { return id_; }
  // Not of an empty one: the program ends. So it is of the next.
  D& device() const noexcept {
    seam::expect(device_ != nullptr);
    return *device_;
  }
  // Its blocks, heap, size and flags.
  const auto& parts() const noexcept {
    seam::expect(device_ != nullptr);
    return device_->buffers_.parts(id_);
  }
  // What else it has; not of an empty one. As many as have a hold may come here at once.
  auto& extra() const noexcept {
    seam::expect(device_ != nullptr);
    return device_->buffers_.extra(id_);
  }

  // Of the same buffer? Buffers of two devices are two, even where their ids are equal. Empty ones are equal.
  friend bool operator==(const BufferRef& a, const BufferRef& b) noexcept {
    return a.device_ == b.device_ && (!a || a.id_ == b.id_);
  }

 private:
  friend D;
  BufferRef(D& device, BufferId id) noexcept : device_(&device), id_(id) {}

  D* device_ = nullptr;
  BufferId id_ = {};
};

// A buffer of the device D that nobody holds any more. It ends when this does: at once, unless it has an extra (D::Extra) with
// bury(DeadBuffer&&), which gets it and may keep it for as long as the device lives.
template <class D>
class DeadBuffer {
 public:
  DeadBuffer(DeadBuffer&& other) noexcept : device_(std::exchange(other.device_, nullptr)), id_(other.id_) {}
  DeadBuffer& operator=(DeadBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~DeadBuffer() {
    if (device_ != nullptr) static_cast<void>(end());
  }

  const auto& parts() const noexcept { return device_->buffers_.parts(id_); }
  auto& extra() const noexcept { return device_->buffers_.extra(id_); }

  // Its blocks go back, and its place is somebody else's. Returns what else it had. Once.
  typename D::Extra end() noexcept { return std::exchange(device_, nullptr)->end(id_); }

 private:
  friend D;
  DeadBuffer(D& device, BufferId id) noexcept : device_(&device), id_(id) {}

  D* device_;
  BufferId id_;
};

// A mapping of a buffer that may outlive the client who made it, as those of processes do: while it lives the buffer
// does, and how it is cached does not change.
template <class D>
class BufferMap {
 public:
  BufferMap(BufferMap&&) noexcept = default;
  BufferMap& operator=(BufferMap&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(ref_, other.ref_);
    std::swap(mapper_, other.mapper_);
    return *this;
  }
  ~BufferMap() {
    if (ref_) static_cast<void>(device_->buffers_.maps(ref_.id()).unmap(mapper_));
  }

  // Empty, where it was moved from.
  const BufferRef<D>& buffer() const noexcept { return ref_; }
  Mapper mapper() const noexcept { return mapper_; }

 private:
  friend D;
  BufferMap(D& device, BufferRef<D>&& ref, Mapper mapper) noexcept
      : device_(&device), ref_(std::move(ref)), mapper_(mapper) {}

  D* device_;
  BufferRef<D> ref_;
  Mapper mapper_;
};

}  // namespace freestone
