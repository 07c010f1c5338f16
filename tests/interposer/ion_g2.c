// A program for ION of Qualcomm's late Linux 3.4, as such programs were: it knows nothing of Freestone. It says what went
// wrong on stderr, and ends with 0 where all held.
#include <stddef.h>

struct ion_allocation_data {
  size_t len;
  size_t align;
  unsigned int heap_mask;
  unsigned int flags;
  struct ion_handle *handle;
};
#include "ion_msm.h"

struct ion_allocation_data_old {  // of programs that are older: its flags are the heaps too
  size_t len;
  size_t align;
  unsigned int flags;
  ion_user_handle_t handle;
};
struct ion_prefetch_data {
  int heap_id;
  unsigned long len;
};
#define ION_IOC_ALLOC_COMPAT _IOWR('I', 0, struct ion_allocation_data_old)
#define ION_IOC_CLEAN_CACHES _IOWR('M', 0, struct ion_flush_data)
#define ION_IOC_INV_CACHES _IOWR('M', 1, struct ion_flush_data)
#define ION_IOC_CLEAN_INV_CACHES _IOWR('M', 2, struct ion_flush_data)
#define ION_IOC_PREFETCH _IOWR('M', 3, struct ion_prefetch_data)
#define ION_IOC_DRAIN _IOWR('M', 4, struct ion_prefetch_data)
#define ION_FLAG_CACHED (1U << 0)
// CACHED, CACHED_NEEDS_SYNC; POOL_FORCE_ALLOC, the usages of CP, ALLOW_NON_CONTIG, POOL_PREFETCH; FORCE_CONTIGUOUS
#define ION_FLAGS (3U | 0xfffU << 16 | 1U << 30)

PLACE_IS(struct ion_allocation_data, align, 4, 8);
PLACE_IS(struct ion_allocation_data, heap_mask, 8, 16);
PLACE_IS(struct ion_allocation_data, flags, 12, 20);
PLACE_IS(struct ion_allocation_data, handle, 16, 24);
PLACE_IS(struct ion_allocation_data_old, flags, 8, 16);
PLACE_IS(struct ion_allocation_data_old, handle, 12, 24);
NUMBER_IS(ION_IOC_ALLOC, 0xC0144900, 0xC0204900);
NUMBER_IS(ION_IOC_ALLOC_COMPAT, 0xC0104900, 0xC0204900);  // one number for both, where a pointer is as long as two of these
NUMBER_IS(ION_IOC_CLEAN_CACHES, 0xC0144D00, 0xC0204D00);
NUMBER_IS(ION_IOC_INV_CACHES, 0xC0144D01, 0xC0204D01);
NUMBER_IS(ION_IOC_CLEAN_INV_CACHES, 0xC0144D02, 0xC0204D02);
NUMBER_IS(ION_IOC_PREFETCH, 0xC0084D03, 0xC0104D03);
NUMBER_IS(ION_IOC_DRAIN, 0xC0084D04, 0xC0104D04);

static const unsigned int mm = ION_HEAP(8), kmalloc = ION_HEAP(21), qsecom = ION_HEAP(27), audio = ION_HEAP(28), vmalloc = ION_HEAP(30);

static int allocate_with(int ion, size_t length, unsigned int heaps, unsigned int flags, ion_user_handle_t *handle) {
  struct ion_allocation_data data = {.len = length, .align = PAGE, .heap_mask = heaps, .flags = flags};
  const int result = ioctl(ion, ION_IOC_ALLOC, &data);
  *handle = data.handle;
  return result;
}
static int allocate(int ion, size_t length, unsigned int heaps, ion_user_handle_t *handle) {
  return allocate_with(ion, length, heaps, ION_FLAG_CACHED, handle);
}
static int allocate_as_before(int ion, size_t length, unsigned int heaps, ion_user_handle_t *handle) {
  struct ion_allocation_data_old data;
  memset(&data, 0, sizeof data);
  data.len = length, data.align = PAGE, data.flags = heaps;
  const int result = ioctl(ion, ION_IOC_ALLOC_COMPAT, &data);
  *handle = data.handle;
  return result;
}
static int flush_one(int ion, int which, struct ion_flush_data *range) {
  const unsigned int commands[] = {ION_IOC_CLEAN_CACHES, ION_IOC_INV_CACHES, ION_IOC_CLEAN_INV_CACHES};
  return custom(ion, commands[which], range);
}

static void other_numbers(int ion) {
  uint64_t words[8] = {0};
  FAILS(ioctl(ion, _IOWR('I', 0, uint64_t[8]), words), ENOTTY);
  FAILS(ioctl(ion, _IOWR('I', 7, struct ion_flush_data), words), ENOTTY);  // where the cache operations were
  FAILS(ioctl(ion, ION_IOC_CLEAN_CACHES, words), ENOTTY);                  // not without CUSTOM
  FAILS(custom(ion, 0, words), ENOTTY);
  FAILS(custom(ion, _IOWR('M', 99, uint64_t), words), ENOTTY);
  FAILS(custom(ion, ION_IOC_CLEAN_CACHES, (void *)8), EFAULT);
}

static void lengths(int ion) {
  ion_user_handle_t handle;
  const unsigned int heaps[] = {audio, vmalloc};
  for (size_t place = 0; place < sizeof heaps / sizeof *heaps; ++place) {
    FAILS(allocate(ion, 0, heaps[place], &handle), EINVAL);
    FAILS(allocate(ion, SIZE_MAX, heaps[place], &handle), EINVAL);
    FAILS(allocate(ion, SIZE_MAX - 4094, heaps[place], &handle), EINVAL);
  }
  too_large(ion, audio);
  FAILS(allocate(ion, 64 * MIB, qsecom | audio, &handle), ENOMEM);
}

// Heaps and flags are apart: no flag is a heap, and only one chooses among them.
static void flags(int ion) {
  ion_user_handle_t handle;
  for (unsigned int flag = 1; flag < ION_SECURE; flag <<= 1) {
    if ((ION_FLAGS & flag) == 0) continue;
    FAILS(allocate_with(ion, PAGE, 0, flag, &handle), ENODEV);
    NEED(allocate_with(ion, PAGE, audio, flag, &handle) == 0);
    SHARE(fd, ion, handle);
    IS(can_map(fd, 0, PAGE), 0);
    CHECK(close(fd) == 0 && give_back(ion, handle) == 0);
  }
  FAILS(allocate_with(ion, PAGE, audio | vmalloc, ION_SECURE, &handle), ENODEV);
}
static void secure(int ion) {
  const int of_mm = room(ion, mm), of_audio = room(ion, audio);
  struct pieces all = {.count = 0};
  while (all.count < of_mm && allocate_with(ion, MIB, mm | audio | vmalloc, ION_SECURE, &all.handles[all.count]) == 0) ++all.count;
  IS(all.count, of_mm);
  IS(room(ion, mm), 0);
  IS(room(ion, audio), of_audio);
  ion_user_handle_t handle;
  FAILS(allocate_with(ion, MIB, mm | audio | vmalloc, ION_SECURE, &handle), ENOMEM);  // others are no fallback
  give_back_all(ion, &all);
  IS(room(ion, mm), of_mm);
}

static void older_programs(int ion) {
  const int before = room(ion, audio);
  ion_user_handle_t handle;
  FAILS(allocate_as_before(ion, 0, audio, &handle), EINVAL);
  FAILS(allocate_as_before(ion, PAGE, 0, &handle), ENODEV);
  NEED(allocate_as_before(ion, MIB, audio, &handle) == 0);
  IS(room(ion, audio), before - 1);
  SHARE(fd, ion, handle);
  IS(lseek(fd, 0, SEEK_END), MIB);
  CHECK(close(fd) == 0 && give_back(ion, handle) == 0);
  IS(room(ion, audio), before);
  if (ION_IOC_ALLOC_COMPAT == ION_IOC_ALLOC) return;  // then the new one's flags are what the old one leaves out
  FAILS(allocate_as_before(ion, MIB, ION_SECURE | audio, &handle), ENODEV);
  NEED(allocate_as_before(ion, MIB, ION_SECURE | mm | audio, &handle) == 0);
  IS(room(ion, audio), before);
  IS(give_back(ion, handle), 0);
}

// Without an address it is all of the buffer, mapped or not.
static void whole_buffers(int ion, unsigned int heaps) {
  TAKE(handle, ion, 3 * PAGE, heaps);
  IS(flush(flush_one, ion, handle, -1, NULL, 3 * PAGE), 0);
  IS(flush(flush_one, ion, handle, -1, NULL, 0), 0);
  SHARE(fd, ion, handle);
  IS(flush(flush_one, ion, NO_HANDLE, fd, NULL, 3 * PAGE), 0);
  FAILS(flush(flush_one, ion, NO_HANDLE, ion, NULL, PAGE), EINVAL);
  FAILS(flush(flush_one, ion, (ion_user_handle_t)((intptr_t)handle + 1), -1, NULL, PAGE), EINVAL);
  CHECK(close(fd) == 0 && give_back(ion, handle) == 0);
  FAILS(flush(flush_one, ion, handle, -1, NULL, PAGE), EINVAL);
}
// What was not asked to be cached is not; how the node is opened is no matter any more.
static void uncached(int ion) {
  ion_user_handle_t handle;
  NEED(allocate_with(ion, PAGE, audio, 0, &handle) == 0);
  const int synchronous = open("/dev/ion", O_RDWR | O_DSYNC);
  SHARE(fd, ion, handle);
  MAP(bytes, fd, 0, PAGE);
  IMPORT(other, synchronous, fd);
  SHARE(more, synchronous, other);
  IS(flush(flush_one, ion, handle, -1, bytes, PAGE), 0);
  IS(flush(flush_one, ion, handle, -1, NULL, 0), 0);
  FAILS(flush(flush_one, ion, handle, -1, bytes, 2 * PAGE), EINVAL);
  CHECK(munmap(bytes, PAGE) == 0 && close(fd) == 0 && close(more) == 0);
  CHECK(give_back(ion, handle) == 0 && give_back(synchronous, other) == 0 && close(synchronous) == 0);
}

int main(void) {
  alarm(50);
  const int ion = open_ion();
  node(ion);
  other_numbers(ion);
  not_written(ion, audio, &(struct ion_allocation_data){.len = MIB, .align = PAGE, .heap_mask = audio});
  no_heap(ion);
  lengths(ion);
  flags(ion);
  secure(ion);
  asked_in_order(ion, mm, qsecom);
  asked_in_order(ion, qsecom, audio);
  older_programs(ion);
  zeroed(ion, mm, (size_t)room(ion, mm) * MIB);
  zeroed(ion, audio, (size_t)room(ion, audio) * MIB);
  zeroed(ion, kmalloc, 3 * PAGE);
  zeroed(ion, vmalloc, 4 * MIB);
  handles_and_sharing(ion, audio);
  not_imported(ion);
  flushed_ranges(ion, audio, flush_one);
  whole_buffers(ion, audio);
  whole_buffers(ion, mm);
  uncached(ion);
  close(ion);
  if (wrong == 0) puts("ion_g2: all well");
  return wrong != 0;
}
