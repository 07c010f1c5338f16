// MMZ's commands as programs of GENERATION (2, 4 or 5) knew them, and what the tests of them have in common.
#pragma once

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"

#ifndef GENERATION
#define GENERATION 4
#endif
#if GENERATION == 5
#define NAME_LENGTH 32
#else
#define NAME_LENGTH 16
#endif

struct mmb_info {
  unsigned long phys_addr, mmb_align, mmb_size;
  unsigned int order;
  void *mapped;
  unsigned long w32;  // protection, and flags from bit 8 on
  char mmb_name[NAME_LENGTH], mmz_name[32];
  unsigned long gfp;
}
#if GENERATION >= 4
__attribute__((aligned(8)))
#endif
;
struct dirty_area {
  unsigned long phys;
  void *virt;
  unsigned long size;
};
struct mmb_room {
  uint32_t total, free;  // in KiB
};
_Static_assert(sizeof(struct mmb_info) == (sizeof(long) == 8 ? GENERATION == 5 ? 120 : 104 : GENERATION == 5 ? 96 : GENERATION == 4 ? 80 : 76),
               "as the driver's header has it");

#define MMB_ALLOC _IOWR('m', 10, struct mmb_info)
#define MMB_ATTR _IOR('m', 11, struct mmb_info)
#define MMB_FREE _IOW('m', 12, struct mmb_info)
#define MMB_ALLOC_V2 _IOWR('m', 13, struct mmb_info)
#define MMB_USER_REMAP _IOWR('m', 20, struct mmb_info)
#define MMB_USER_REMAP_CACHED _IOWR('m', 21, struct mmb_info)
#define MMB_USER_UNMAP _IOWR('m', 22, struct mmb_info)
#define MMB_VIRT_GET_PHYS _IOWR('m', 23, struct mmb_info)
#define MMB_FLUSH_RANGE _IOW('m', 24, struct mmb_info)  // this one and the next two are the fifth generation's,
#define MMB_CHECK_ADDRESS _IOW('m', 25, struct mmb_info)
#define MMB_QUERY _IOR('q', 60, struct mmb_room)
#define MMB_ADD_REF _IO('r', 30)  // and these three the earlier ones'
#define MMB_DEC_REF _IO('r', 31)
#define MMB_FLUSH_DCACHE _IO('c', 40)
#define MMB_FLUSH_DCACHE_DIRTY _IOW('d', 50, struct dirty_area)

#if GENERATION == 5
struct mmb_share_info {
  unsigned long phys_addr;
  void *map_addr, *mem_handle;
  unsigned long offset;
  int shared_pid;
};
_Static_assert(sizeof(struct mmb_share_info) == (sizeof(long) == 8 ? 40 : 20), "as the driver's header has it");
#define MMB_SYS_FLUSH_CACHE _IOW('m', 24, struct mmb_info)
#define MMB_BASE_CHECK_ADDR _IOW('m', 25, struct mmb_info)
#define MMB_SHARE _IOW('s', 40, struct mmb_share_info)
#define MMB_UNSHARE _IOW('s', 41, struct mmb_share_info)
#define MMB_SHARE_ALL _IOW('s', 42, struct mmb_share_info)
#define MMB_UNSHARE_ALL _IOW('s', 43, struct mmb_share_info)
#define MMB_VIRT_GET_SYS_MEM _IOWR('s', 44, struct mmb_share_info)
#define MMB_PHYS_GET_SYS_MEM _IOWR('s', 45, struct mmb_share_info)
#define MMB_HANDLE_GET_SYS_MEM _IOWR('s', 46, struct mmb_share_info)
#endif

#define PAGE ((size_t)4096)
#define READ_WRITE 0x103ul

// What only root may open is nobody else's to test: 77, the test is left out.
static inline int open_mmz_as(int flags) {
  const int fd = open("/dev/mmz_userdev", O_RDWR | O_CLOEXEC | flags);
  if (fd < 0 && GENERATION == 4 && errno == EPERM && geteuid() != 0) exit(77);
  if (fd < 0) SAY("/dev/mmz_userdev: %s\n", strerror(errno)), exit(1);
  return fd;
}
static inline int open_mmz(void) { return open_mmz_as(0); }
static inline int call(int fd, unsigned long command, struct mmb_info *info) { return ioctl(fd, command, info); }
// Of that block, or at that address.
static inline int of(int fd, unsigned long command, unsigned long physical) {
  struct mmb_info info = {.phys_addr = physical};
  return call(fd, command, &info);
}
static inline struct mmb_info wanted(size_t size, const char *zone) {
  struct mmb_info info = {.mmb_size = size};
  strcpy(info.mmb_name, "test");
  strncpy(info.mmz_name, zone, sizeof info.mmz_name - 1);
  return info;
}
// 0: there is none.
static inline unsigned long allocate(int fd, size_t size, const char *zone) {
  struct mmb_info info = wanted(size, zone);
  return call(fd, MMB_ALLOC, &info) == 0 ? info.phys_addr : 0;
}
static inline char *remap_as(int fd, unsigned long command, unsigned long physical, unsigned long how) {
  struct mmb_info info = {.phys_addr = physical, .w32 = how};
  return call(fd, command, &info) == 0 ? info.mapped : NULL;
}
// MAP_FAILED: it may not. Addresses of 32 bits are none below zero.
static inline char *map_at(int fd, unsigned long physical, size_t length, int protection) {
  return mmap(NULL, length, protection, MAP_SHARED, fd, (off_t)physical);
}
// What of the report follows these words; NULL: they are not there.
static inline const char *reported(const char *words) {
  static char text[16384];
  const int fd = open("/proc/media-mem", O_RDONLY | O_CLOEXEC);
  const ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  CHECK(length > 0);
  if (fd >= 0) close(fd);
  text[length > 0 ? length : 0] = '\0';
  const char *const found = strstr(text, words);
  return found == NULL ? NULL : found + strlen(words);
}
static inline char *remap(int fd, unsigned long physical) { return remap_as(fd, MMB_USER_REMAP, physical, READ_WRITE); }
// As VIRT_GET_PHYS tells it; 0 where it does not.
static inline unsigned long physical_of(int fd, const void *address) {
  struct mmb_info info = {.mapped = (void *)(uintptr_t)address};
  return call(fd, MMB_VIRT_GET_PHYS, &info) == 0 ? info.phys_addr : 0;
}
static inline int flush(int fd, unsigned long physical, void *address, size_t size) {
  struct dirty_area area = {physical, address, size};
  return ioctl(fd, MMB_FLUSH_DCACHE_DIRTY, &area);
}
static inline size_t page_up(size_t size) { return (size + PAGE - 1) / PAGE * PAGE; }

// --- what HiSilicon's MPI makes of these for applications ---

// One for all of a program, opened when it is first wanted.
static inline int mpi_fd(void) {
  static int fd = -1;
  if (fd < 0) fd = open_mmz_as(O_SYNC);
  return fd;
}
static inline int mpi_alloc_as(unsigned long remap_command, unsigned long *physical, char **address, const char *name, const char *zone,
                               size_t size) {
  struct mmb_info info = wanted(page_up(size), zone == NULL ? "" : zone);
  info.w32 = READ_WRITE;
  strncpy(info.mmb_name, name, sizeof info.mmb_name - 1);
  if (call(mpi_fd(), MMB_ALLOC_V2, &info) != 0 && call(mpi_fd(), MMB_ALLOC, &info) != 0) return -1;
  if (call(mpi_fd(), remap_command, &info) != 0) return call(mpi_fd(), MMB_FREE, &info), -1;
  *physical = info.phys_addr, *address = info.mapped;
  return 0;
}
// HI_MPI_SYS_MmzAlloc, MmzAlloc_Cached, MmzFree, MmzFlushCache, GetVirMemInfo.
static inline int mpi_alloc(unsigned long *physical, char **address, const char *name, const char *zone, size_t size) {
  return mpi_alloc_as(MMB_USER_REMAP, physical, address, name, zone, size);
}
static inline int mpi_alloc_cached(unsigned long *physical, char **address, const char *name, const char *zone, size_t size) {
  return mpi_alloc_as(MMB_USER_REMAP_CACHED, physical, address, name, zone, size);
}
static inline int mpi_free(unsigned long physical, void *address) {
  if (address != NULL && of(mpi_fd(), MMB_USER_UNMAP, physical) != 0) return -1;
  return of(mpi_fd(), MMB_FREE, physical);
}
static inline int mpi_flush_cache(unsigned long physical, void *address, size_t size) { return flush(mpi_fd(), physical, address, size); }
static inline int mpi_where(const void *address, unsigned long *physical, int *is_cached) {
  const unsigned long told = physical_of(mpi_fd(), address);
  *physical = told & ~1ul, *is_cached = told & 1;
  return told == 0 ? -1 : 0;
}

// --- /proc/media-mem ---

static inline const char *media_mem(void) {
  static char text[1 << 16];
  const int fd = open("/proc/media-mem", O_RDONLY);
  size_t length = 0;
  for (ssize_t got = 1; got > 0 && length + 1 < sizeof text; length += got > 0 ? (size_t)got : 0) {
    got = read(fd, text + length, sizeof text - 1 - length);
  }
  close(fd);
  text[length] = '\0';
  return text;
}
// Of all zones; -1: it says nothing of it.
static inline long used_kib(void) {
  long used = -1;
  const char *const at = strstr(media_mem(), ",used=");
  if (at == NULL || sscanf(at, ",used=%ldKB", &used) != 1) return -1;
  return used;
}
