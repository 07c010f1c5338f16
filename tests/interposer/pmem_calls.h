// PMEM's commands as programs for Qualcomm's 8x25 knew them, and what the tests of them have in common.
#pragma once

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PMEM_GET_PHYS _IOW('p', 1, unsigned int)
#define PMEM_MAP _IOW('p', 2, unsigned int)
#define PMEM_GET_SIZE _IOW('p', 3, unsigned int)
#define PMEM_UNMAP _IOW('p', 4, unsigned int)
#define PMEM_ALLOCATE _IOW('p', 5, unsigned int)
#define PMEM_CONNECT _IOW('p', 6, unsigned int)
#define PMEM_GET_TOTAL_SIZE _IOW('p', 7, unsigned int)
#define PMEM_CLEAN_INV_CACHES _IOW('p', 11, unsigned int)
#define PMEM_CLEAN_CACHES _IOW('p', 12, unsigned int)
#define PMEM_INV_CACHES _IOW('p', 13, unsigned int)
#define PMEM_GET_FREE_SPACE _IOW('p', 14, unsigned int)
#define PMEM_ALLOCATE_ALIGNED _IOW('p', 15, unsigned int)

struct pmem_region {
  unsigned long offset, len;
};
struct pmem_addr {
  unsigned long vaddr, offset, length;
};
struct pmem_freespace {
  unsigned long total, largest;
};
struct pmem_allocation {
  unsigned long size;
  unsigned int align;
};
_Static_assert(sizeof(struct pmem_region) == 2 * sizeof(long), "8 or 16");
_Static_assert(sizeof(struct pmem_addr) == 3 * sizeof(long), "12 or 24");
_Static_assert(sizeof(struct pmem_freespace) == 2 * sizeof(long), "8 or 16");
_Static_assert(sizeof(struct pmem_allocation) == 2 * sizeof(long), "8 or 16");
_Static_assert(PMEM_GET_PHYS == 0x40047001 && PMEM_ALLOCATE_ALIGNED == 0x4004700F, "as the driver numbers them");

#define PAGE ((size_t)4096)
#define SMALL ((size_t)1 << 20)

#include "checks.h"

static inline int open_region(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/dev/%s", name);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) SAY("%s: %s\n", path, strerror(errno)), exit(1);
  return fd;
}
static inline char *map(int fd, size_t length) { return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); }
static inline struct pmem_region region_of(int fd, unsigned long command) {
  struct pmem_region region = {1, 1};
  CHECK(ioctl(fd, command, &region) == 0);
  return region;
}
static inline size_t size_of(int fd) { return region_of(fd, PMEM_GET_SIZE).len; }
static inline struct pmem_freespace room_of(int fd) {
  struct pmem_freespace room = {1, 1};
  CHECK(ioctl(fd, PMEM_GET_FREE_SPACE, &room) == 0);
  return room;
}
static inline int grant(int fd, unsigned long command, size_t offset, size_t length) {
  struct pmem_region region = {offset, length};
  return ioctl(fd, command, &region);
}
