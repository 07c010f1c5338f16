// What programs for ION with handles have in common: how they tell what is wrong, and the calls that are the same but for
// what a handle is. Who includes it has declared ion_user_handle_t, struct ion_allocation_data and ION_IOC_IMPORT, and defines
// allocate().
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct ion_handle_data {
  ion_user_handle_t handle;
};
struct ion_fd_data {
  ion_user_handle_t handle;
  int fd;
};
struct ion_custom_data {
  unsigned int cmd;
  unsigned long arg;
};
#define ION_IOC_ALLOC _IOWR('I', 0, struct ion_allocation_data)
#define ION_IOC_FREE _IOWR('I', 1, struct ion_handle_data)
#define ION_IOC_MAP _IOWR('I', 2, struct ion_fd_data)
#define ION_IOC_SHARE _IOWR('I', 4, struct ion_fd_data)
#define ION_IOC_CUSTOM _IOWR('I', 6, struct ion_custom_data)

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#define NO_HANDLE ((ion_user_handle_t)0)

// Of 32 bits, and of 64.
#define NUMBER_IS(name, narrow, wide) _Static_assert((name) == (sizeof(void *) == 4 ? narrow##U : wide##U), #name)
#define PLACE_IS(type, field, narrow, wide) _Static_assert(offsetof(type, field) == (sizeof(void *) == 4 ? narrow : wide), #type)
#define SIZE_IS(type, narrow, wide) _Static_assert(sizeof(type) == (sizeof(void *) == 4 ? narrow : wide), #type)

static int wrong;
#define SAY(...)                                                                    \
  (fprintf(stderr, __FILE_NAME__ ":%d: ", __LINE__), fprintf(stderr, __VA_ARGS__), \
   __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED))
#define CHECK(what)                                                                  \
  do {                                                                               \
    if (!(what)) SAY("%s is not so (errno %d, %s)\n", #what, errno, strerror(errno)); \
  } while (0)
// Of numbers, and of handles, whatever these are.
#define IS(got, wanted)                                                                                       \
  do {                                                                                                        \
    const intptr_t is = (intptr_t)(got), should = (intptr_t)(wanted);                                         \
    if (is != should) SAY("%s is %lld, not %lld (errno %d)\n", #got, (long long)is, (long long)should, errno); \
  } while (0)
#define FAILS(call, why)                                                                                               \
  do {                                                                                                                 \
    errno = 0;                                                                                                         \
    const long result = (call);                                                                                        \
    const int said = errno;                                                                                            \
    if (result != -1 || said != (why)) SAY("%s gave %ld and %s, not -1 and %s\n", #call, result, strerror(said), #why); \
  } while (0)

#include "processes.h"

// Of one of the heaps, a bit each. 0, or -1 and errno.
static int allocate(int ion, size_t length, unsigned int heaps, ion_user_handle_t *handle);

static inline int give_back(int ion, ion_user_handle_t handle) {
  struct ion_handle_data data = {handle};
  return ioctl(ion, ION_IOC_FREE, &data);
}
// A descriptor, or -1 and errno; MAP does what SHARE does.
static inline int shared_by(int ion, unsigned long command, ion_user_handle_t handle) {
  struct ion_fd_data data = {.handle = handle, .fd = -1};
  return ioctl(ion, command, &data) == 0 ? data.fd : -1;
}
static inline int share(int ion, ion_user_handle_t handle) { return shared_by(ion, ION_IOC_SHARE, handle); }
static inline int import(int ion, int fd, ion_user_handle_t *handle) {
  struct ion_fd_data data = {.fd = fd};
  memset(&data.handle, 0x5a, sizeof data.handle);
  const int result = ioctl(ion, ION_IOC_IMPORT, &data);
  *handle = data.handle;
  return result;
}
static inline int custom(int ion, unsigned int command, void *argument) {
  struct ion_custom_data data = {command, (unsigned long)argument};
  return ioctl(ion, ION_IOC_CUSTOM, &data);
}
// 0, or -1 and errno.
static inline int can_map(int fd, size_t offset, size_t length) {
  void *const at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
  return at == MAP_FAILED ? -1 : munmap(at, length);
}

// The same, where they must succeed.
#define TAKE(handle, ion, length, heaps) ion_user_handle_t handle = NO_HANDLE; NEED(allocate(ion, length, heaps, &handle) == 0)
#define SHARE(fd, ion, handle) const int fd = share(ion, handle); NEED(fd >= 0)
#define IMPORT(handle, ion, fd) ion_user_handle_t handle = NO_HANDLE; NEED(import(ion, fd, &handle) == 0)
#define MAP(bytes, fd, offset, length)                                                                          \
  char *const bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(offset)); \
  NEED(bytes != MAP_FAILED)
static inline int open_ion(void) {
  const int ion = open("/dev/ion", O_RDWR);
  NEED(ion >= 0);
  return ion;
}

// Pieces of 1 MiB.
struct pieces {
  ion_user_handle_t handles[64];
  int count;
};
// All that the heaps have left.
static inline struct pieces fill(int ion, unsigned int heaps) {
  struct pieces all = {.count = 0};
  while (all.count < 64 && allocate(ion, MIB, heaps, &all.handles[all.count]) == 0) ++all.count;
  CHECK(all.count < 64 && errno == ENOMEM);
  return all;
}
static inline void give_back_all(int ion, struct pieces *all) {
  while (all->count > 0) IS(give_back(ion, all->handles[--all->count]), 0);
}
// How many the heaps have left.
static inline int room(int ion, unsigned int heaps) {
  struct pieces all = fill(ion, heaps);
  const int count = all.count;
  give_back_all(ion, &all);
  return count;
}

static inline int is_all(const char *bytes, size_t length, char value) {
  for (size_t at = 0; at < length; ++at)
    if (bytes[at] != value) return 0;
  return 1;
}
