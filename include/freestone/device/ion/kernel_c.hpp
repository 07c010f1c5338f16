// kernel.h's functions, over an IonKernel of one's own: FREESTONE_ION_KERNEL_C(calls) defines them in the unit that has it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include <freestone/core/address.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/device/ion/heaps.hpp>
#include <freestone/device/ion/iommu.hpp>
#include <freestone/device/ion/kernel.h>
#include <freestone/device/ion/pieces.hpp>
#include <freestone/device/ion/secure_heap.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// The calls of the IonKernel K, whose clients' pointers are looked up before they are used, and room for so many buffers that
// are on their way. L: its lock. It stays where it is, and K outlives it.
template <class K, class L, std::size_t most_shared = 64>
class IonKernelC {
  using Turn = typename OwnLock<L>::Turn;
  using Client = typename K::Client;
  using Handle = ::ion_handle;
  using Shared = std::optional<typename K::Buffer>;
  // On 32 bits the last handles would look like errors.
  static_assert(K::most_handles_each <= 1000, "IonKernelC: a client has no more than 1000 handles.");

 public:
  explicit IonKernelC(K& kernel) noexcept : kernel_(kernel) {}
  IonKernelC(const IonKernelC&) = delete;
  IonKernelC& operator=(const IonKernelC&) = delete;

  ion_device* device() noexcept { return reinterpret_cast<ion_device*>(this); }

  ion_client* client_create(const ion_device* device, unsigned types, const char* name) noexcept {
    Client* client = nullptr;
    const Errno error = is_mine(device) ? kernel_.client_create(types, name, client) : Errno::invalid;
    return pointer<ion_client>(error, client);
  }
  int client_destroy(ion_client* client) noexcept { return number(kernel_.client_destroy(reinterpret_cast<Client*>(client))); }

  Handle* alloc(ion_client* client, std::size_t length, std::size_t align, unsigned flags) noexcept {
    const IonWanted wanted{.length = length, .align = align, .mask = flags & ~ion_flag::secure, .flags = flags & ion_flag::secure};
    return new_handle(client, [&](Client& own, auto& handle) { return kernel_.alloc(own, wanted, handle); });
  }
  int free(ion_client* client, Handle* handle) noexcept {
    return with(client, [&](Client& own) { return kernel_.free(own, number_of(handle)); });
  }
  dma_buf* share_dma_buf(ion_client* client, Handle* handle) noexcept {
    Shared made;
    Client* const own = kernel_.find(client);
    const Errno error = own == nullptr ? Errno::invalid : kernel_.share_dma_buf(*own, number_of(handle), made);
    if (error != Errno::none) return pointer<dma_buf>(error, nullptr);
    const Turn turn(lock_);
    for (Shared& place : shared_) {
      if (!place) return pointer<dma_buf>(Errno::none, &place.emplace(*std::move(made)));
    }
    return pointer<dma_buf>(Errno::no_memory, nullptr);
  }
  Handle* import_dma_buf(ion_client* client, dma_buf* buffer) noexcept {
    return new_handle(client, [&](Client& own, auto& handle) {
      const Turn turn(lock_);
      Shared* const shared = find(buffer);
      return shared == nullptr ? Errno::invalid : kernel_.import_dma_buf(own, **shared, handle);
    });
  }
  int dma_buf_put(dma_buf* buffer) noexcept {
    Shared ended;  // under no lock
    const Turn turn(lock_);
    Shared* const shared = find(buffer);
    if (shared == nullptr) return number(Errno::invalid);
    ended.emplace(std::move(**shared));
    shared->reset();
    return 0;
  }

  int phys(ion_client* client, Handle* handle, ion_phys_addr_t* address, std::size_t* length) noexcept {
    return with(client, [&](Client& own) {
      PhysicalPiece piece;
      const Errno error = kernel_.phys(own, number_of(handle), piece);
      if (error != Errno::none) return error;
      *address = piece.address.value();
      *length = static_cast<std::size_t>(piece.length.value());
      return error;
    });
  }
  int sg_table(ion_client* client, Handle* handle, ion_piece* pieces, std::size_t room) noexcept {
    std::size_t count = 0;
    const int error = with(client, [&](Client& own) {
      return kernel_.sg_table(own, number_of(handle), [&](const PhysicalPiece& piece) {
        if (count < room) pieces[count] = {piece.address.value(), piece.length.value()};
        ++count;
      });
    });
    return error == 0 ? static_cast<int>(count) : error;
  }
  int handle_get_flags(ion_client* client, Handle* handle, unsigned long* flags) noexcept {
    return with(client, [&](Client& own) {
      std::uint32_t bits = 0;
      const Errno error = kernel_.handle_get_flags(own, number_of(handle), bits);
      if (error == Errno::none) *flags = bits;
      return error;
    });
  }
  int handle_get_size(ion_client* client, Handle* handle, unsigned long* size) noexcept {
    return with(client, [&](Client& own) {
      Bytes bytes;
      const Errno error = kernel_.handle_get_size(own, number_of(handle), bytes);
      if (error == Errno::none) *size = static_cast<unsigned long>(bytes.value());
      return error;
    });
  }

  void* map_kernel(ion_client* client, Handle* handle, unsigned long flags) noexcept {
    Client* const own = kernel_.find(client);
    const auto seen = (flags & ION_CACHED) != 0 ? Cacheability::cached : Cacheability::uncached;
    void* address = nullptr;
    const Errno error = own == nullptr ? Errno::invalid : kernel_.map_kernel(*own, number_of(handle), seen, address);
    return pointer<void>(error, address);
  }
  int unmap_kernel(ion_client* client, Handle* handle) noexcept {
    return with(client, [&](Client& own) { return kernel_.unmap_kernel(own, number_of(handle)); });
  }
  int map_iommu(ion_client* client, Handle* handle, const IommuRequest& request, unsigned long* iova, unsigned long* size) noexcept {
    return with(client, [&](Client& own) {
      typename K::DeviceView view;
      const Errno error = kernel_.map_iommu(own, number_of(handle), request, view);
      if (error != Errno::none) return error;
      *iova = static_cast<unsigned long>(view.iova.value());
      *size = static_cast<unsigned long>(view.size.value());
      return error;
    });
  }
  static IommuRequest request(int domain, int partition, unsigned long align, unsigned long length, unsigned long flags,
                              unsigned long iommu_flags) noexcept {
    return {.key = key(domain, partition),
            .align = align,
            .length = length,
            .flags = static_cast<std::uint32_t>(flags),
            .iommu_flags = static_cast<std::uint32_t>(iommu_flags)};
  }
  int unmap_iommu(ion_client* client, Handle* handle, int domain, int partition) noexcept {
    return with(client, [&](Client& own) { return kernel_.unmap_iommu(own, number_of(handle), key(domain, partition)); });
  }
  int do_cache_op(ion_client* client, Handle* handle, void* address, unsigned long offset, unsigned long length,
                  unsigned command) noexcept {
    return with(client, [&](Client& own) {
      const auto at = reinterpret_cast<std::uintptr_t>(address);
      return kernel_.do_cache_op(own, number_of(handle), at, offset, length, static_cast<CacheCommand>(command));
    });
  }

  int secure_heap(const ion_device* device, unsigned heap, int version, unsigned long data) noexcept {
    const auto as = securing(version, data);
    return number(is_mine(device) && as ? kernel_.secure_heap(heap, *as) : Errno::invalid);
  }
  int unsecure_heap(const ion_device* device, unsigned heap) noexcept {
    return number(is_mine(device) ? kernel_.unsecure_heap(heap) : Errno::invalid);
  }
  int secure_buffer(ion_client* client, Handle* handle, int version, unsigned long data, unsigned long flags) noexcept {
    const auto as = securing(version, data);
    const auto until = (flags & ION_UNSECURE_DELAYED) != 0 ? K::Until::retired : K::Until::unsecured;
    if (!as) return number(Errno::invalid);
    return with(client, [&](Client& own) { return kernel_.secure_buffer(own, number_of(handle), *as, until); });
  }
  int unsecure_buffer(ion_client* client, Handle* handle) noexcept {
    return with(client, [&](Client& own) { return kernel_.unsecure_buffer(own, number_of(handle)); });
  }

 private:
  static int number(Answer answer) noexcept { return static_cast<int>(answer.value()); }
  static std::uint64_t number_of(Handle* handle) noexcept { return reinterpret_cast<std::uintptr_t>(handle); }
  // The address, or the error in its place.
  template <class T>
  static T* pointer(Errno error, void* address) noexcept {
    if (error == Errno::none) return static_cast<T*>(address);
    return reinterpret_cast<T*>(static_cast<std::intptr_t>(number(error)));
  }
  static IommuKey key(int domain, int partition) noexcept {
    return {static_cast<std::uint32_t>(domain), static_cast<std::uint32_t>(partition)};
  }
  static std::optional<Securing> securing(int version, unsigned long data) noexcept {
    if (version == 1) return Securing{SecureVersion::v1, data};
    return version == 2 ? std::optional(Securing{SecureVersion::v2, data}) : std::nullopt;
  }
  bool is_mine(const ion_device* device) const noexcept { return reinterpret_cast<const IonKernelC*>(device) == this; }

  // act(client), where he is one. Errors: EINVAL; act's.
  template <class Act>
  int with(ion_client* client, Act&& act) noexcept {
    Client* const own = kernel_.find(client);
    return own == nullptr ? number(Errno::invalid) : number(act(*own));
  }
  template <class Make>
  Handle* new_handle(ion_client* client, Make&& make) noexcept {
    typename K::Handle handle = 0;
    Client* const own = kernel_.find(client);
    const Errno error = own == nullptr ? Errno::invalid : make(*own, handle);
    return pointer<Handle>(error, reinterpret_cast<void*>(static_cast<std::uintptr_t>(handle)));
  }
  Shared* find(const dma_buf* buffer) noexcept {
    for (Shared& place : shared_) {
      if (place && static_cast<const void*>(&*place) == buffer) return &place;
    }
    return nullptr;
  }

  K& kernel_;
  OwnLock<L> lock_;
  std::array<Shared, most_shared> shared_ = {};
};

}  // namespace freestone::device

// `calls` is an IonKernelC, by whatever expression; once in a program, and in no namespace.
#define FREESTONE_ION_KERNEL_C(calls)                                                                                          \
  extern "C" {                                                                                                                 \
  ion_device* ion_device_get(void) { return (calls).device(); }                                                                \
  ion_client* ion_client_create(ion_device* device, unsigned types, const char* name) {                                        \
    return (calls).client_create(device, types, name);                                                                         \
  }                                                                                                                            \
  int ion_client_destroy(ion_client* client) { return (calls).client_destroy(client); }                                        \
  ion_handle* ion_alloc(ion_client* client, std::size_t length, std::size_t align, unsigned flags) {                           \
    return (calls).alloc(client, length, align, flags);                                                                        \
  }                                                                                                                            \
  int ion_free(ion_client* client, ion_handle* handle) { return (calls).free(client, handle); }                                \
  dma_buf* ion_share_dma_buf(ion_client* client, ion_handle* handle) { return (calls).share_dma_buf(client, handle); }         \
  ion_handle* ion_import_dma_buf(ion_client* client, dma_buf* buffer) { return (calls).import_dma_buf(client, buffer); }       \
  int ion_dma_buf_put(dma_buf* buffer) { return (calls).dma_buf_put(buffer); }                                                 \
  int ion_phys(ion_client* client, ion_handle* handle, ion_phys_addr_t* address, std::size_t* length) {                        \
    return (calls).phys(client, handle, address, length);                                                                      \
  }                                                                                                                            \
  int ion_sg_table(ion_client* client, ion_handle* handle, ion_piece* pieces, std::size_t room) {                              \
    return (calls).sg_table(client, handle, pieces, room);                                                                     \
  }                                                                                                                            \
  int ion_handle_get_flags(ion_client* client, ion_handle* handle, unsigned long* flags) {                                     \
    return (calls).handle_get_flags(client, handle, flags);                                                                    \
  }                                                                                                                            \
  int ion_handle_get_size(ion_client* client, ion_handle* handle, unsigned long* size) {                                       \
    return (calls).handle_get_size(client, handle, size);                                                                      \
  }                                                                                                                            \
  void* ion_map_kernel(ion_client* client, ion_handle* handle, unsigned long flags) {                                          \
    return (calls).map_kernel(client, handle, flags);                                                                          \
  }                                                                                                                            \
  int ion_unmap_kernel(ion_client* client, ion_handle* handle) { return (calls).unmap_kernel(client, handle); }                \
  int ion_map_iommu(ion_client* client, ion_handle* handle, int domain, int partition, unsigned long align,                    \
                    unsigned long iova_length, unsigned long* iova, unsigned long* buffer_size, unsigned long flags,           \
                    unsigned long iommu_flags) {                                                                               \
    const auto request = (calls).request(domain, partition, align, iova_length, flags, iommu_flags);                           \
    return (calls).map_iommu(client, handle, request, iova, buffer_size);                                                      \
  }                                                                                                                            \
  int ion_unmap_iommu(ion_client* client, ion_handle* handle, int domain, int partition) {                                     \
    return (calls).unmap_iommu(client, handle, domain, partition);                                                             \
  }                                                                                                                            \
  int ion_do_cache_op(ion_client* client, ion_handle* handle, void* address, unsigned long offset, unsigned long length,       \
                      unsigned command) {                                                                                      \
    return (calls).do_cache_op(client, handle, address, offset, length, command);                                              \
  }                                                                                                                            \
  int ion_secure_heap(ion_device* device, unsigned heap, int version, unsigned long data) {                                    \
    return (calls).secure_heap(device, heap, version, data);                                                                   \
  }                                                                                                                            \
  int ion_unsecure_heap(ion_device* device, unsigned heap) { return (calls).unsecure_heap(device, heap); }                     \
  int ion_secure_buffer(ion_client* client, ion_handle* handle, int version, unsigned long data, unsigned long flags) {        \
    return (calls).secure_buffer(client, handle, version, data, flags);                                                        \
  }                                                                                                                            \
  int ion_unsecure_buffer(ion_client* client, ion_handle* handle) { return (calls).unsecure_buffer(client, handle); }          \
  }
