// A program for ION of Qualcomm's Linux 3.4 (Android 4.1), as such programs were: it knows nothing of Freestone. It says
// what went wrong on stderr, and ends with 0 where all held.
#include <stddef.h>

struct ion_allocation_data {
  size_t len;
  size_t align;
  unsigned int flags;  // the heaps, a bit each, and ION_SECURE
  struct ion_handle *handle;
};
#include "ion_msm.h"

struct ion_flag_data {
  ion_user_handle_t handle;
  unsigned long flags;
};
#define ION_IOC_CLEAN_CACHES _IOWR('I', 7, struct ion_flush_data)
#define ION_IOC_INV_CACHES _IOWR('I', 8, struct ion_flush_data)
#define ION_IOC_CLEAN_INV_CACHES _IOWR('I', 9, struct ion_flush_data)
#define ION_IOC_GET_FLAGS _IOWR('I', 10, struct ion_flag_data)

PLACE_IS(struct ion_allocation_data, align, 4, 8);
PLACE_IS(struct ion_allocation_data, flags, 8, 16);
PLACE_IS(struct ion_allocation_data, handle, 12, 24);
PLACE_IS(struct ion_flag_data, flags, 4, 8);
NUMBER_IS(ION_IOC_ALLOC, 0xC0104900, 0xC0204900);
NUMBER_IS(ION_IOC_CLEAN_CACHES, 0xC0144907, 0xC0204907);
NUMBER_IS(ION_IOC_INV_CACHES, 0xC0144908, 0xC0204908);
NUMBER_IS(ION_IOC_CLEAN_INV_CACHES, 0xC0144909, 0xC0204909);
NUMBER_IS(ION_IOC_GET_FLAGS, 0xC008490A, 0xC010490A);

static const unsigned int camera = ION_HEAP(20), sf = ION_HEAP(24), audio = ION_HEAP(28), vmalloc = ION_HEAP(30);

static int allocate_aligned(int ion, size_t length, size_t align, unsigned int heaps, ion_user_handle_t *handle) {
  struct ion_allocation_data data = {.len = length, .align = align, .flags = heaps};
  const int result = ioctl(ion, ION_IOC_ALLOC, &data);
  *handle = data.handle;
  return result;
}
static int allocate(int ion, size_t length, unsigned int heaps, ion_user_handle_t *handle) {
  return allocate_aligned(ion, length, PAGE, heaps, handle);
}
static int flush_one(int ion, int which, struct ion_flush_data *range) {
  const unsigned long commands[] = {ION_IOC_CLEAN_CACHES, ION_IOC_INV_CACHES, ION_IOC_CLEAN_INV_CACHES};
  return ioctl(ion, commands[which], range);
}
static long flags_of(int ion, ion_user_handle_t handle) {
  struct ion_flag_data data = {handle, 0x5a5a};
  return ioctl(ion, ION_IOC_GET_FLAGS, &data) == 0 ? (long)data.flags : -1;
}

static void other_numbers(int ion) {
  uint64_t words[8] = {0};
  FAILS(ioctl(ion, _IOWR('I', 0, uint64_t[8]), words), ENOTTY);
  FAILS(ioctl(ion, _IOW('I', 1, struct ion_handle_data), words), ENOTTY);
  FAILS(ioctl(ion, _IOWR('I', 1, uint64_t[2]), words), ENOTTY);
  FAILS(ioctl(ion, _IOWR('I', 11, uint64_t), words), ENOTTY);
  FAILS(custom(ion, 0, words), ENOTTY);
  FAILS(flags_of(ion, NO_HANDLE), EINVAL);
  FAILS(ioctl(ion, ION_IOC_CLEAN_CACHES, (void *)8), EFAULT);
  FAILS(ioctl(ion, ION_IOC_GET_FLAGS, NULL), EFAULT);
}

static void lengths(int ion) {
  ion_user_handle_t handle;
  const unsigned int heaps[] = {audio, vmalloc, camera | vmalloc};
  for (size_t place = 0; place < sizeof heaps / sizeof *heaps; ++place) {
    FAILS(allocate(ion, 0, heaps[place], &handle), EINVAL);
    FAILS(allocate(ion, SIZE_MAX, heaps[place], &handle), EINVAL);
    FAILS(allocate(ion, SIZE_MAX - 4094, heaps[place], &handle), EINVAL);
  }
  FAILS(allocate(ion, SIZE_MAX - 4095, vmalloc, &handle), ENOMEM);
  too_large(ion, audio);
  FAILS(allocate(ion, 64 * MIB, camera | audio, &handle), ENOMEM);  // as the last of them says
}
static void alignments(int ion) {
  ion_user_handle_t handle;
  FAILS(allocate_aligned(ion, PAGE, SIZE_MAX, audio, &handle), EINVAL);
  FAILS(allocate_aligned(ion, PAGE, 3 * PAGE, audio, &handle), EINVAL);
  const size_t good[] = {0, 1, PAGE, MIB};
  for (size_t place = 0; place < sizeof good / sizeof *good; ++place) {
    NEED(allocate_aligned(ion, PAGE, good[place], audio, &handle) == 0);
    IS(give_back(ion, handle), 0);
  }
}
// No heap of this board is one that can be secured.
static void secure(int ion) {
  ion_user_handle_t handle;
  FAILS(allocate(ion, PAGE, ION_SECURE | audio, &handle), ENODEV);
  FAILS(allocate(ion, PAGE, ION_SECURE | audio | sf | camera | vmalloc, &handle), ENODEV);
  FAILS(allocate(ion, PAGE, ION_SECURE, &handle), ENODEV);
}
// What the carve-outs have no room for the system's own memory has, whose id is the highest.
static void last_resort(int ion) {
  struct pieces all = fill(ion, camera | sf | audio);
  TAKE(handle, ion, 5 * PAGE, camera | sf | audio | vmalloc);
  SHARE(fd, ion, handle);
  IS(lseek(fd, 0, SEEK_END), 5 * PAGE);
  CHECK(close(fd) == 0 && give_back(ion, handle) == 0);
  give_back_all(ion, &all);
}

// The node's own flags say whether the CPU's accesses are cached: what is mapped one way is not shared the other way.
static void cache_attribute(int cached, int uncached, unsigned int heaps) {
  TAKE(handle, cached, PAGE, heaps);
  IS(flags_of(cached, handle), 0);
  SHARE(fd, cached, handle);
  IS(flags_of(cached, handle), 1);
  IMPORT(other, uncached, fd);
  IS(flags_of(uncached, other), 1);
  MAP(bytes, fd, 0, PAGE);
  const int first_free = dup(0);
  FAILS(share(uncached, other), EEXIST);
  FAILS(shared_by(uncached, ION_IOC_MAP, other), EEXIST);
  IS(close(first_free), 0);
  IS(dup(0), first_free);  // nothing of those is left
  IS(close(first_free), 0);
  SHARE(more, cached, handle);
  IS(flags_of(cached, handle), 1);
  IS(munmap(bytes, PAGE), 0);
  SHARE(changed, uncached, other);
  IS(flags_of(cached, handle), 0);
  MAP(slowly, changed, 0, PAGE);
  FAILS(share(cached, handle), EEXIST);
  slowly[0] = 'u';
  IS(flush(flush_one, uncached, other, -1, slowly, PAGE), 0);  // and there is nothing to do
  IS(munmap(slowly, PAGE), 0);
  SHARE(back, cached, handle);
  IS(flags_of(uncached, other), 1);
  MAP(again, back, 0, PAGE);
  CHECK(again[0] == 'u');
  CHECK(munmap(again, PAGE) == 0 && close(fd) == 0 && close(more) == 0 && close(changed) == 0 && close(back) == 0);
  CHECK(give_back(cached, handle) == 0 && give_back(uncached, other) == 0);
}
static void maps_until_told(int socket) {
  const int fd = receive_fd(socket);
  MAP(bytes, fd, 0, PAGE);
  CHECK(close(fd) == 0 && bytes[0] == 0);
  pass(socket), await(socket);
}
// It is whoever has it mapped that counts.
static void mapped_elsewhere(int cached, int uncached) {
  struct child child = start(maps_until_told);
  TAKE(handle, cached, PAGE, audio);
  SHARE(fd, cached, handle);
  IMPORT(other, uncached, fd);
  send_fd(child.socket, fd);
  IS(close(fd), 0);
  await(child.socket);
  FAILS(share(uncached, other), EEXIST);
  pass(child.socket);
  wait_for(child);
  int changed = -1;
  EVENTUALLY((changed = share(uncached, other)) >= 0);
  CHECK(close(changed) == 0 && give_back(cached, handle) == 0 && give_back(uncached, other) == 0);
}
// A buffer of single pages is cached, or not mapped.
static void uncached_pages(int uncached) {
  TAKE(handle, uncached, 2 * PAGE, vmalloc);
  SHARE(fd, uncached, handle);
  IS(flags_of(uncached, handle), 0);
  FAILS(can_map(fd, 0, 2 * PAGE), EINVAL);
  CHECK(close(fd) == 0 && give_back(uncached, handle) == 0);
}
static void attributes(int cached) {
  const int uncached = open("/dev/ion", O_RDONLY | O_DSYNC), synchronous = open("/dev/ion", O_RDWR | O_SYNC);
  NEED(uncached >= 0 && synchronous >= 0);
  cache_attribute(cached, uncached, audio);
  cache_attribute(cached, synchronous, camera);
  mapped_elsewhere(cached, uncached);
  uncached_pages(uncached);
  CHECK(close(uncached) == 0 && close(synchronous) == 0);
}

int main(void) {
  alarm(50);
  const int ion = open_ion();
  node(ion);
  other_numbers(ion);
  not_written(ion, audio, &(struct ion_allocation_data){.len = MIB, .align = PAGE, .flags = audio});
  no_heap(ion);
  lengths(ion);
  alignments(ion);
  secure(ion);
  asked_in_order(ion, camera, sf);
  asked_in_order(ion, sf, audio);
  last_resort(ion);
  zeroed(ion, camera, (size_t)room(ion, camera) * MIB);
  zeroed(ion, audio, (size_t)room(ion, audio) * MIB);
  zeroed(ion, vmalloc, 4 * MIB);
  handles_and_sharing(ion, audio);
  not_imported(ion);
  attributes(ion);
  flushed_ranges(ion, audio, flush_one);
  flushed_ranges(ion, sf, flush_one);
  close(ion);
  if (wrong == 0) puts("ion_g1: all well");
  return wrong != 0;
}
