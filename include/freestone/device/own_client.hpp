// A client of a Device that ends with the file that was opened in his name.
#pragma once

#include <utility>

#include <freestone/share/client.hpp>

namespace freestone::device {

// Closes him at its end; his buffers live on where others have them. The device must outlive it.
template <class D>
class OwnClient {
 public:
  OwnClient(D& device, ClientId id) noexcept : device_(&device), id_(id) {}
  OwnClient(OwnClient&& other) noexcept : device_(std::exchange(other.device_, nullptr)), id_(other.id_) {}
  OwnClient& operator=(OwnClient&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~OwnClient() {
    if (device_ != nullptr) static_cast<void>(device_->close(id_));
  }

  ClientId id() const noexcept { return id_; }

 private:
  D* device_;
  ClientId id_;
};

}  // namespace freestone::device
