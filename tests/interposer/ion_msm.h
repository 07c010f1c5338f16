// What Qualcomm's two generations of ION have and others lack: handles that look like pointers, an IMPORT that swallows
// errors, cache operations on ranges. Who includes it has declared struct ion_allocation_data.
#pragma once

typedef struct ion_handle *ion_user_handle_t;
#define ION_IOC_IMPORT _IOWR('I', 5, int)

#include "ion_handles.h"

struct ion_flush_data {
  ion_user_handle_t handle;
  int fd;
  void *vaddr;
  unsigned int offset;
  unsigned int length;
};
#define ION_HEAP(id) (1U << (id))
#define ION_SECURE (1U << 31)

PLACE_IS(struct ion_fd_data, fd, 4, 8);
PLACE_IS(struct ion_custom_data, arg, 4, 8);
PLACE_IS(struct ion_flush_data, fd, 4, 8);
PLACE_IS(struct ion_flush_data, vaddr, 8, 16);
PLACE_IS(struct ion_flush_data, offset, 12, 24);
PLACE_IS(struct ion_flush_data, length, 16, 28);
SIZE_IS(struct ion_flush_data, 20, 32);
NUMBER_IS(ION_IOC_FREE, 0xC0044901, 0xC0084901);
NUMBER_IS(ION_IOC_MAP, 0xC0084902, 0xC0104902);
NUMBER_IS(ION_IOC_SHARE, 0xC0084904, 0xC0104904);
NUMBER_IS(ION_IOC_IMPORT, 0xC0044905, 0xC0044905);
NUMBER_IS(ION_IOC_CUSTOM, 0xC0084906, 0xC0104906);

// What is no buffer of ION's comes in as no handle, and as no error.
static inline void not_imported(int ion) {
  int ends[2];
  NEED(pipe(ends) == 0);
  const int others[] = {-1, 12345, ends[0], ion, open("/dev/null", O_RDWR), open("/proc/self/exe", O_RDONLY)};
  for (size_t place = 0; place < sizeof others / sizeof *others; ++place) {
    ion_user_handle_t handle;
    IS(import(ion, others[place], &handle), 0);
    IS(handle, NO_HANDLE);
  }
  close(ends[0]), close(ends[1]), close(others[4]), close(others[5]);
}

// One of the three cache operations.
typedef int (*flush_call)(int ion, int which, struct ion_flush_data *range);

// A range of a mapping, of the buffer of that handle (or else descriptor).
static inline int flush(flush_call call, int ion, ion_user_handle_t handle, int fd, const void *at, size_t length) {
  int result = 0;
  for (int which = 0; which < 3 && result == 0; ++which) {
    struct ion_flush_data range = {handle, fd, (void *)(uintptr_t)at, 0, (unsigned int)length};
    result = call(ion, which, &range);
  }
  return result;
}
static inline void flushed_ranges(int ion, unsigned int heaps, flush_call call) {
  const int before = room(ion, heaps);
  TAKE(handle, ion, 4 * PAGE, heaps);
  SHARE(fd, ion, handle);
  MAP(bytes, fd, 0, 4 * PAGE);
  memset(bytes, 'd', 4 * PAGE);
  IS(flush(call, ion, handle, -1, bytes, 4 * PAGE), 0);
  IS(flush(call, ion, handle, -1, bytes + PAGE, PAGE), 0);
  IS(flush(call, ion, handle, -1, bytes + 4 * PAGE - 1, 1), 0);
  IS(flush(call, ion, handle, -1, bytes + 5, 17), 0);
  IS(flush(call, ion, handle, -1, bytes + PAGE, 0), 0);
  CHECK(is_all(bytes, 4 * PAGE, 'd'));  // that of a CPU is what a device has
  FAILS(flush(call, ion, handle, -1, bytes, 4 * PAGE + 1), EINVAL);
  FAILS(flush(call, ion, handle, -1, bytes + 3 * PAGE, 2 * PAGE), EINVAL);
  FAILS(flush(call, ion, handle, -1, (void *)~(uintptr_t)4095, 2 * PAGE), EINVAL);  // it wraps
  FAILS(flush(call, ion, handle, -1, bytes + PAGE, (size_t)UINT32_MAX), EINVAL);
  FAILS(flush(call, ion, handle, -1, (void *)PAGE, PAGE), EINVAL);
  FAILS(flush(call, ion, (ion_user_handle_t)((intptr_t)handle + 1), -1, bytes, PAGE), EINVAL);
  // Without a handle the descriptor says it, and holds nothing afterwards.
  IS(flush(call, ion, NO_HANDLE, fd, bytes, 4 * PAGE), 0);
  FAILS(flush(call, ion, NO_HANDLE, fd, bytes, 5 * PAGE), EINVAL);
  FAILS(flush(call, ion, NO_HANDLE, -1, bytes, PAGE), EINVAL);
  FAILS(flush(call, ion, NO_HANDLE, ion, bytes, PAGE), EINVAL);
  IS(give_back(ion, handle), 0);
  IS(flush(call, ion, NO_HANDLE, fd, bytes, PAGE), 0);
  FAILS(flush(call, ion, handle, fd, bytes, PAGE), EINVAL);
  // Nor is a range in a hole one.
  IS(munmap(bytes + PAGE, PAGE), 0);
  FAILS(flush(call, ion, NO_HANDLE, fd, bytes, 3 * PAGE), EINVAL);
  FAILS(flush(call, ion, NO_HANDLE, fd, bytes + PAGE, PAGE), EINVAL);
  IS(flush(call, ion, NO_HANDLE, fd, bytes + 2 * PAGE, 2 * PAGE), 0);
  IS(munmap(bytes, 4 * PAGE), 0);
  FAILS(flush(call, ion, NO_HANDLE, fd, bytes, PAGE), EINVAL);
  FAILS(flush(call, ion, NO_HANDLE, fd, bytes + 2 * PAGE, 0), EINVAL);
  IS(close(fd), 0);
  IS(room(ion, heaps), before);
}
