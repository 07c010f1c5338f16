// kernel.h's functions, over a PmemKernel of one's own: FREESTONE_PMEM_KERNEL_C(kernel) defines them in the unit that has it.
#pragma once

#include <cstddef>
#include <cstdint>

#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/pmem/calls.hpp>
#include <freestone/device/pmem/kernel.h>
#include <freestone/device/pmem/regions.hpp>
#include <freestone/share/grants.hpp>

namespace freestone::device {

// The calls of the PmemKernel K, in C's types. A file's pointer is its K::File's.
template <class K>
struct PmemKernelC {
  using File = typename K::File;

  // Without data: -1.
  int setup(const android_pmem_platform_data* data, pmem_ioctl_hook ioctl, pmem_release_hook release) const noexcept {
    if (data == nullptr) return K::failed;
    return kernel.setup({.name = data->name,
                         .allocator = data->allocator_type,
                         .start = data->start,
                         .size = data->size,
                         .quantum = data->quantum,
                         .is_cached = data->cached != 0,
                         .is_buffered = data->buffered != 0,
                         .memory_type = data->memory_type,
                         .is_mapped_on_demand = data->map_on_demand != 0,
                         .is_reusable = data->reusable != 0,
                         .hooks = {.request = data->request_region, .release = data->release_region, .ioctl = ioctl, .close = release},
                         .setup = data->setup_region});
  }

  int get_file(int fd, unsigned long* start, unsigned long* vstart, unsigned long* len, file** out) const noexcept {
    typename K::Memory memory;
    File* held = nullptr;
    if (kernel.get_file(fd, memory, held) != 0) return K::failed;
    *out = reinterpret_cast<file*>(held);
    return tell(memory, start, vstart, len);
  }
  int get_fd(int fd, unsigned long* start, unsigned long* len) const noexcept {
    typename K::Memory memory;
    return kernel.get_fd(fd, memory) != 0 ? K::failed : tell(memory, start, nullptr, len);
  }
  int get_addr(file* of, unsigned long* start, unsigned long* vstart, unsigned long* len) const noexcept {
    typename K::Memory memory;
    return kernel.get_addr(own(of), memory) != 0 ? K::failed : tell(memory, start, vstart, len);
  }
  int get_user_addr(file* of, unsigned long* start, unsigned long* len) const noexcept {
    ByteRange range;
    if (kernel.get_user_addr(own(of), range) != 0) return K::failed;
    *start = static_cast<unsigned long>(range.offset.value());
    *len = static_cast<unsigned long>(range.length.value());
    return 0;
  }
  int put_file(file* of) const noexcept { return kernel.put_file(own(of)); }

  void flush_file(file* of, unsigned long offset, unsigned long len) const noexcept { kernel.flush_file(own(of), {offset, len}); }
  int cache_maint(file* of, unsigned command, const pmem_addr& range) const noexcept {
    return number(kernel.cache_maint(own(of), Command{command}, {range.vaddr, range.offset, range.length}));
  }
  int remap(const pmem_region& region, file* of, unsigned operation) const noexcept {
    return number(kernel.remap(own(of), Command{operation}, {region.offset, region.len}));
  }
  int kfree(std::int32_t address) const noexcept {
    return address < 0 ? number(Errno::invalid) : kernel.kfree(static_cast<std::uint64_t>(address));
  }

  K& kernel;

 private:
  static const File* own(file* of) noexcept { return reinterpret_cast<const File*>(of); }
  static int number(Answer answer) noexcept { return static_cast<int>(answer.value()); }
  static int tell(const typename K::Memory& memory, unsigned long* start, unsigned long* vstart, unsigned long* len) noexcept {
    *start = static_cast<unsigned long>(memory.start);
    if (vstart != nullptr) *vstart = static_cast<unsigned long>(memory.kernel);
    *len = static_cast<unsigned long>(memory.length);
    return 0;
  }
};
template <class K>
PmemKernelC<K> pmem_kernel_c(K& kernel) noexcept {
  return {kernel};
}

}  // namespace freestone::device

// `kernel` is a PmemKernel, by whatever expression; once in a program, and in no namespace.
#define FREESTONE_PMEM_KERNEL_C(kernel)                                                                                       \
  extern "C" {                                                                                                                \
  int pmem_setup(const android_pmem_platform_data* data, pmem_ioctl_hook ioctl, pmem_release_hook release) {                  \
    return freestone::device::pmem_kernel_c(kernel).setup(data, ioctl, release);                                              \
  }                                                                                                                           \
  int get_pmem_file(int fd, unsigned long* start, unsigned long* vstart, unsigned long* len, file** out) {                    \
    return freestone::device::pmem_kernel_c(kernel).get_file(fd, start, vstart, len, out);                                    \
  }                                                                                                                           \
  int get_pmem_fd(int fd, unsigned long* start, unsigned long* len) {                                                         \
    return freestone::device::pmem_kernel_c(kernel).get_fd(fd, start, len);                                                   \
  }                                                                                                                           \
  int get_pmem_addr(file* held, unsigned long* start, unsigned long* vstart, unsigned long* len) {                            \
    return freestone::device::pmem_kernel_c(kernel).get_addr(held, start, vstart, len);                                       \
  }                                                                                                                           \
  int get_pmem_user_addr(file* held, unsigned long* start, unsigned long* len) {                                              \
    return freestone::device::pmem_kernel_c(kernel).get_user_addr(held, start, len);                                          \
  }                                                                                                                           \
  int put_pmem_file(file* held) { return freestone::device::pmem_kernel_c(kernel).put_file(held); }                           \
  int put_pmem_fd(int fd) { return (kernel).put_fd(fd); }                                                                     \
  void flush_pmem_file(file* held, unsigned long offset, unsigned long len) {                                                 \
    freestone::device::pmem_kernel_c(kernel).flush_file(held, offset, len);                                                   \
  }                                                                                                                           \
  void flush_pmem_fd(int fd, unsigned long offset, unsigned long len) { (kernel).flush_fd(fd, {offset, len}); }               \
  int pmem_cache_maint(file* held, unsigned command, const pmem_addr* range) {                                                \
    return freestone::device::pmem_kernel_c(kernel).cache_maint(held, command, *range);                                       \
  }                                                                                                                           \
  int pmem_remap(const pmem_region* region, file* held, unsigned operation) {                                                 \
    return freestone::device::pmem_kernel_c(kernel).remap(*region, held, operation);                                          \
  }                                                                                                                           \
  std::int32_t pmem_kalloc(std::size_t size, std::uint32_t flags) { return (kernel).kalloc(size, flags); }                    \
  int pmem_kfree(std::int32_t address) { return freestone::device::pmem_kernel_c(kernel).kfree(address); }                    \
  std::int64_t pmem_kalloc_wide(std::size_t size, std::uint32_t flags) { return (kernel).kalloc_wide(size, flags); }          \
  int pmem_kfree_wide(std::uint64_t address) { return (kernel).kfree(address); }                                              \
  }
