/* PMEM's kernel API in C. One unit defines it: freestone/device/pmem/kernel_c.hpp. What takes a file takes one that a driver holds by
   get_pmem_file or get_pmem_fd; any other is refused, unseen. Each get is to be put. Errors are -1 where nothing else is said, else
   Linux's as negative numbers. Nothing here keeps a pointer that it was given, but for a region's name and hooks. Any thread. */
#ifndef FREESTONE_DEVICE_PMEM_KERNEL_H
#define FREESTONE_DEVICE_PMEM_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define FREESTONE_PMEM_HOOK noexcept
extern "C" {
#else
#define FREESTONE_PMEM_HOOK
#endif

struct file;

/* Of pmem_remap and pmem_cache_maint: programs' own numbers. */
#define PMEM_MAP 0x40047002u
#define PMEM_UNMAP 0x40047004u
#define PMEM_CLEAN_INV_CACHES 0x4004700Bu
#define PMEM_CLEAN_CACHES 0x4004700Cu
#define PMEM_INV_CACHES 0x4004700Du

struct pmem_region {
  unsigned long offset;
  unsigned long len;
};
struct pmem_addr {
  unsigned long vaddr;
  unsigned long offset;
  unsigned long length;
};

/* Of pmem_kalloc's flags: one arena and one alignment. */
#define PMEM_MEMTYPE_EBI1 0x01u
#define PMEM_MEMTYPE_SMI 0x02u
#define PMEM_ALIGNMENT_4K 0x08u
#define PMEM_ALIGNMENT_1M 0x10u

enum pmem_allocator_type {
  PMEM_ALLOCATORTYPE_BITMAP = 0,
  PMEM_ALLOCATORTYPE_SYSTEM = 1,
  PMEM_ALLOCATORTYPE_ALLORNOTHING = 2,
  PMEM_ALLOCATORTYPE_BUDDYBESTFIT = 3
};
struct android_pmem_platform_data {
  const char *name;
  uint64_t start; /* 0: wherever it is reserved */
  uint64_t size;
  unsigned allocator_type;
  unsigned quantum; /* 0: a page */
  unsigned cached, buffered, memory_type, map_on_demand, reusable; /* memory_type is a number; the others 0 or 1 */
  int (*request_region)(void *) FREESTONE_PMEM_HOOK;
  int (*release_region)(void *) FREESTONE_PMEM_HOOK;
  void *(*setup_region)(void)FREESTONE_PMEM_HOOK; /* what it gives is what these two are given */
};
/* `file` is the struct file; they may be null. A command's negative result is an error. */
typedef int64_t (*pmem_ioctl_hook)(void *file, unsigned command, uint64_t argument) FREESTONE_PMEM_HOOK;
typedef int (*pmem_release_hook)(void *file) FREESTONE_PMEM_HOOK;

int pmem_setup(const struct android_pmem_platform_data *data, pmem_ioctl_hook ioctl, pmem_release_hook release);

int get_pmem_file(int fd, unsigned long *start, unsigned long *vstart, unsigned long *len, struct file **file);
int get_pmem_fd(int fd, unsigned long *start, unsigned long *len);
int get_pmem_addr(struct file *file, unsigned long *start, unsigned long *vstart, unsigned long *len);
int get_pmem_user_addr(struct file *file, unsigned long *start, unsigned long *len);
int put_pmem_file(struct file *file); /* -1: nobody holds it, and nothing happened */
int put_pmem_fd(int fd);

void flush_pmem_file(struct file *file, unsigned long offset, unsigned long len);
void flush_pmem_fd(int fd, unsigned long offset, unsigned long len);
int pmem_cache_maint(struct file *file, unsigned command, const struct pmem_addr *range);
int pmem_remap(const struct pmem_region *region, struct file *file, unsigned operation);

/* What is negative is an error: memory from 2 GiB on is not given to who could not tell it from one. The second two give all. */
int32_t pmem_kalloc(size_t size, uint32_t flags);
int pmem_kfree(int32_t address);
int64_t pmem_kalloc_wide(size_t size, uint32_t flags);
int pmem_kfree_wide(uint64_t address);

#ifdef __cplusplus
}
#endif

#endif
