// A program for ION of Linux 3.10 to 4.11, as such programs were: it knows nothing of Freestone. It says what went wrong on
// stderr, and ends with 0 where all held. With the argument "foreign" it looks only at what comes of buffers that are not
// ION's but /dev/dma_heap's.
#include <stddef.h>
#include <stdint.h>

typedef int32_t ion_user_handle_t;
struct ion_allocation_data {
  size_t len;
  size_t align;
  uint32_t heap_id_mask;
  uint32_t flags;
  ion_user_handle_t handle;
};
#define ION_IOC_IMPORT _IOWR('I', 5, struct ion_fd_data)
#include "ion_handles.h"

#include <linux/dma-heap.h>

struct ion_heap_query {
  uint32_t cnt;
  uint32_t reserved0;
  uint64_t heaps;
  uint32_t reserved1;
  uint32_t reserved2;
};
struct ion_heap_data {
  char name[32];
  uint32_t type;
  uint32_t heap_id;
  uint32_t reserved[3];
};
#define ION_IOC_SYNC _IOWR('I', 7, struct ion_fd_data)
#define ION_IOC_HEAP_QUERY _IOWR('I', 8, struct ion_heap_query)
struct ion_test_rw_data {
  uint64_t ptr;
  uint64_t offset;
  uint64_t size;
  int write;
  int padding;
};
#define ION_IOC_TEST_SET_FD _IO('I', 0xf0)
#define ION_IOC_TEST_DMA_MAPPING _IOW('I', 0xf1, struct ion_test_rw_data)
#define ION_IOC_TEST_KERNEL_MAPPING _IOW('I', 0xf2, struct ion_test_rw_data)
#define ION_FLAG_CACHED 1U
#define ION_FLAG_CACHED_NEEDS_SYNC 2U

PLACE_IS(struct ion_allocation_data, align, 4, 8);
PLACE_IS(struct ion_allocation_data, heap_id_mask, 8, 16);
PLACE_IS(struct ion_allocation_data, flags, 12, 20);
PLACE_IS(struct ion_allocation_data, handle, 16, 24);
PLACE_IS(struct ion_fd_data, fd, 4, 4);
PLACE_IS(struct ion_custom_data, arg, 4, 8);
PLACE_IS(struct ion_heap_query, heaps, 8, 8);
PLACE_IS(struct ion_heap_query, reserved1, 16, 16);
PLACE_IS(struct ion_heap_query, reserved2, 20, 20);
PLACE_IS(struct ion_heap_data, type, 32, 32);
PLACE_IS(struct ion_heap_data, heap_id, 36, 36);
SIZE_IS(struct ion_heap_data, 52, 52);
NUMBER_IS(ION_IOC_ALLOC, 0xC0144900, 0xC0204900);
NUMBER_IS(ION_IOC_FREE, 0xC0044901, 0xC0044901);
NUMBER_IS(ION_IOC_MAP, 0xC0084902, 0xC0084902);
NUMBER_IS(ION_IOC_SHARE, 0xC0084904, 0xC0084904);
NUMBER_IS(ION_IOC_IMPORT, 0xC0084905, 0xC0084905);
NUMBER_IS(ION_IOC_SYNC, 0xC0084907, 0xC0084907);
NUMBER_IS(ION_IOC_CUSTOM, 0xC0084906, 0xC0104906);
NUMBER_IS(ION_IOC_HEAP_QUERY, 0xC0184908, 0xC0184908);
NUMBER_IS(ION_IOC_TEST_SET_FD, 0x49F0, 0x49F0);
NUMBER_IS(ION_IOC_TEST_DMA_MAPPING, 0x402049F1, 0x402049F1);
NUMBER_IS(ION_IOC_TEST_KERNEL_MAPPING, 0x402049F2, 0x402049F2);

// A room is counted where what is freed is there at once, and where it lies does not matter: cma, chunk.
enum { system_type, system_contig_type, carveout_type, chunk_type, cma_type, types };
// The heap of each type, a bit each.
static unsigned int heaps[types];

static int allocate_with(int ion, size_t length, size_t align, unsigned int mask, unsigned int flags, ion_user_handle_t *handle) {
  struct ion_allocation_data data = {.len = length, .align = align, .heap_id_mask = mask, .flags = flags};
  const int result = ioctl(ion, ION_IOC_ALLOC, &data);
  *handle = data.handle;
  return result;
}
static int allocate(int ion, size_t length, unsigned int mask, ion_user_handle_t *handle) {
  return allocate_with(ion, length, 0, mask, 0, handle);
}

// --- what heaps there are ---

static int query(int ion, uint32_t count, struct ion_heap_data *records, uint32_t *filled) {
  struct ion_heap_query data = {.cnt = count, .heaps = (uintptr_t)records};
  const int result = ioctl(ion, ION_IOC_HEAP_QUERY, &data);
  *filled = data.cnt;
  return result;
}
static void find_heaps(int ion) {
  struct ion_heap_data records[32];
  uint32_t count = 0, filled = 0;
  NEED(query(ion, 77, NULL, &count) == 0);
  IS(count, types);
  memset(records, 0x5a, sizeof records);
  NEED(query(ion, 32, records, &filled) == 0);
  IS(filled, count);
  const char *const names[] = {"system", "system_contig", "carveout", "chunk", "cma"};
  for (uint32_t place = 0; place < filled; ++place) {
    const struct ion_heap_data *const record = &records[place];
    NEED(record->type < types && record->heap_id < 32);
    heaps[record->type] = 1U << record->heap_id;
    CHECK(strcmp(record->name, names[record->type]) == 0);
    CHECK(place == 0 || record->heap_id < records[place - 1].heap_id);  // as they are asked
    CHECK(record->reserved[0] == 0 && record->reserved[1] == 0 && record->reserved[2] == 0);
  }
  for (int type = 0; type < types; ++type) NEED(heaps[type] != 0);
  CHECK(is_all((const char *)&records[filled], sizeof *records, 0x5a));
}
static void queries(int ion) {
  struct ion_heap_data all[types], some[3];
  uint32_t filled = 0;
  NEED(query(ion, types, all, &filled) == 0);
  memset(some, 0x5a, sizeof some);
  IS(query(ion, 2, some, &filled), 0);
  IS(filled, 2);
  CHECK(memcmp(some, all, 2 * sizeof *some) == 0 && is_all((const char *)&some[2], sizeof *some, 0x5a));
  FAILS(query(ion, 0, some, &filled), EINVAL);
  FAILS(query(ion, 1, (struct ion_heap_data *)8, &filled), EFAULT);
  struct ion_heap_query reserved[] = {{.reserved0 = 1}, {.reserved1 = 1}, {.reserved2 = 1}};
  for (size_t place = 0; place < sizeof reserved / sizeof *reserved; ++place) {
    FAILS(ioctl(ion, ION_IOC_HEAP_QUERY, &reserved[place]), EINVAL);
    reserved[place].cnt = types, reserved[place].heaps = (uintptr_t)all;
    FAILS(ioctl(ion, ION_IOC_HEAP_QUERY, &reserved[place]), EINVAL);
  }
}

// --- numbers and arguments ---

static void other_numbers(int ion) {
  uint64_t words[64] = {0};
  FAILS(ioctl(ion, _IOWR('I', 0, uint64_t[64]), words), EINVAL);  // longer than any argument
  FAILS(ioctl(ion, _IOWR('I', 99, uint64_t[64]), words), EINVAL);
  FAILS(ioctl(ion, _IOWR('I', 1, uint64_t), words), ENOTTY);      // FREE, where handles look like pointers
  FAILS(ioctl(ion, _IOWR('I', 10, uint64_t), words), ENOTTY);
  FAILS(custom(ion, 0, words), ENOTTY);
  FAILS(custom(ion, ION_IOC_ALLOC, words), ENOTTY);
  FAILS(give_back(ion, -1), EINVAL);
  FAILS(ioctl(ion, ION_IOC_SYNC, NULL), EFAULT);
  FAILS(ioctl(ion, ION_IOC_HEAP_QUERY, NULL), EFAULT);
}
// What only goes in may lie where nothing can be written.
static void only_read(int ion) {
  TAKE(handle, ion, PAGE, heaps[carveout_type]);
  SHARE(fd, ion, handle);
  char *const page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ((struct ion_fd_data *)page)->fd = fd;
  ((struct ion_handle_data *)(page + 256))->handle = handle;
  NEED(mprotect(page, PAGE, PROT_READ) == 0);
  IS(ioctl(ion, ION_IOC_SYNC, page), 0);
  IS(ioctl(ion, ION_IOC_FREE, page + 256), 0);
  FAILS(ioctl(ion, ION_IOC_FREE, page + 256), EINVAL);
  FAILS(ioctl(ion, ION_IOC_CUSTOM, page + 512), ENOTTY);
  CHECK(munmap(page, PAGE) == 0 && close(fd) == 0);
}
static void lengths(int ion) {
  ion_user_handle_t handle;
  for (int type = 0; type < types; ++type) {
    FAILS(allocate(ion, 0, heaps[type], &handle), EINVAL);
    FAILS(allocate(ion, SIZE_MAX, heaps[type], &handle), EINVAL);
    FAILS(allocate(ion, SIZE_MAX - 4094, heaps[type], &handle), EINVAL);
    FAILS(allocate(ion, SIZE_MAX - 4095, heaps[type], &handle), ENOMEM);
    NEED(allocate(ion, 1, heaps[type], &handle) == 0);
    SHARE(fd, ion, handle);
    IS(lseek(fd, 0, SEEK_END), PAGE);
    CHECK(close(fd) == 0 && give_back(ion, handle) == 0);
  }
  FAILS(allocate(ion, 0, 0, &handle), EINVAL);  // the length is looked at first
  too_large(ion, heaps[carveout_type]);
  too_large(ion, heaps[chunk_type]);
}
// Who aligns to no more than a page says so; and the last that was asked says why.
static void alignments(int ion) {
  ion_user_handle_t handle;
  for (int type = 0; type < types; ++type) {
    NEED(allocate_with(ion, PAGE, PAGE, heaps[type], 0, &handle) == 0);
    IS(give_back(ion, handle), 0);
    FAILS(allocate_with(ion, PAGE, SIZE_MAX, heaps[type], 0, &handle), EINVAL);
    if (type != chunk_type) FAILS(allocate_with(ion, PAGE, 2 * PAGE, heaps[type], 0, &handle), EINVAL);
  }
  const size_t more = (size_t)(room(ion, heaps[chunk_type]) + 1) * MIB;
  FAILS(allocate_with(ion, more, 2 * PAGE, heaps[chunk_type], 0, &handle), ENOMEM);
  FAILS(allocate_with(ion, more, 2 * PAGE, heaps[chunk_type] | heaps[carveout_type], 0, &handle), EINVAL);
  FAILS(allocate_with(ion, PAGE, 0, heaps[cma_type], ION_FLAG_CACHED, &handle), EINVAL);
  FAILS(allocate_with(ion, 4096 * MIB - PAGE, 0, heaps[cma_type] | heaps[chunk_type], ION_FLAG_CACHED, &handle), ENOMEM);
}

// --- handles ---

// Each client's count from 1, and the least that is free is the next.
static void numbered(int ion) {
  const int before = room(ion, heaps[cma_type]), own = open_ion(), other = open_ion();
  for (int number = 1; number <= 4; ++number) {
    TAKE(handle, own, PAGE, heaps[cma_type]);
    IS(handle, number);
  }
  TAKE(others, other, PAGE, heaps[cma_type]);
  IS(others, 1);
  const int leaving[] = {3, 1};
  for (int place = 0; place < 2; ++place) IS(give_back(own, leaving[place]), 0);
  const int coming[] = {1, 3, 5};
  for (int place = 0; place < 3; ++place) {
    TAKE(handle, own, PAGE, heaps[cma_type]);
    IS(handle, coming[place]);
  }
  // One that comes in has one too, and one that is there stays what it is.
  SHARE(fd, other, others);
  IMPORT(sixth, own, fd);
  IS(sixth, 6);
  IMPORT(again, own, fd);
  IS(again, 6);
  CHECK(close(fd) == 0 && close(own) == 0 && close(other) == 0);
  EVENTUALLY(room(ion, heaps[cma_type]) == before);
}
// An allocation whose answer cannot be written has no number either.
static void no_number(void) {
  const int own = open_ion();
  not_written(own, heaps[cma_type], &(struct ion_allocation_data){.len = MIB, .heap_id_mask = heaps[cma_type]});
  TAKE(handle, own, PAGE, heaps[cma_type]);
  IS(handle, 1);
  close(own);
}

static void not_buffers(int ion) {
  int ends[2];
  NEED(pipe(ends) == 0);
  ion_user_handle_t handle;
  struct ion_fd_data data = {.handle = 0};
  const int bad[] = {-1, 12345}, others[] = {ends[0], ion, open("/dev/null", O_RDWR), open("/proc/self/exe", O_RDONLY)};
  for (size_t place = 0; place < sizeof bad / sizeof *bad; ++place) {
    FAILS(import(ion, bad[place], &handle), EBADF);
    data.fd = bad[place];
    FAILS(ioctl(ion, ION_IOC_SYNC, &data), EBADF);
  }
  for (size_t place = 0; place < sizeof others / sizeof *others; ++place) {
    FAILS(import(ion, others[place], &handle), EINVAL);
    data.fd = others[place];
    FAILS(ioctl(ion, ION_IOC_SYNC, &data), EINVAL);
  }
  close(ends[0]), close(ends[1]), close(others[2]), close(others[3]);
}
// A buffer of another system's is a buffer, and not ION's.
static void foreign(int ion) {
  const int heap = open("/dev/dma_heap/system", O_RDWR);
  NEED(heap >= 0);
  struct dma_heap_allocation_data data = {.len = PAGE, .fd_flags = O_RDWR | O_CLOEXEC};
  NEED(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) == 0);
  struct ion_fd_data its = {.fd = (int)data.fd};
  ion_user_handle_t handle;
  FAILS(import(ion, its.fd, &handle), EINVAL);
  FAILS(ioctl(ion, ION_IOC_SYNC, &its), EINVAL);
  IS(lseek(its.fd, 0, SEEK_END), PAGE);
  CHECK(close(its.fd) == 0 && close(heap) == 0);
}

// What the kernel and a device see of a buffer is what the program sees.
static void seen_by_others(int ion) {
  const int test = open("/dev/ion-test", O_RDWR | O_CLOEXEC);
  NEED(test >= 0);
  TAKE(handle, ion, 2 * PAGE, heaps[system_type]);
  SHARE(fd, ion, handle);
  MAP(bytes, fd, 0, 2 * PAGE);
  char text[] = "across two pages", back[sizeof text] = "";
  struct ion_test_rw_data copy = {.ptr = (uintptr_t)text, .offset = PAGE - 5, .size = sizeof text, .write = 1};
  FAILS(ioctl(test, ION_IOC_TEST_DMA_MAPPING, &copy), EINVAL);
  FAILS(ioctl(test, ION_IOC_TEST_SET_FD, 999), EBADF);
  FAILS(ioctl(test, ION_IOC_TEST_SET_FD, ion), EINVAL);
  IS(ioctl(test, ION_IOC_TEST_SET_FD, fd), 0);
  IS(ioctl(test, ION_IOC_TEST_DMA_MAPPING, &copy), 0);
  CHECK(memcmp(bytes + PAGE - 5, text, sizeof text) == 0);
  bytes[PAGE] = '+';
  copy.ptr = (uintptr_t)back, copy.write = 0;
  IS(ioctl(test, ION_IOC_TEST_KERNEL_MAPPING, &copy), 0);
  CHECK(back[5] == '+' && back[0] == 'a');
  copy.offset = 2 * PAGE - 1;
  FAILS(ioctl(test, ION_IOC_TEST_KERNEL_MAPPING, &copy), EINVAL);
  copy.offset = 0, copy.ptr = 8;
  FAILS(ioctl(test, ION_IOC_TEST_KERNEL_MAPPING, &copy), EFAULT);
  IS(ioctl(test, ION_IOC_TEST_SET_FD, -1), 0);
  CHECK(munmap(bytes, 2 * PAGE) == 0 && close(fd) == 0 && close(test) == 0);
  IS(give_back(ion, handle), 0);
}

// --- buffers ---

// Cached and mapped as it is touched, cached and mapped at once, and not cached.
static void synced(int ion) {
  const unsigned int flags[] = {ION_FLAG_CACHED, ION_FLAG_CACHED | ION_FLAG_CACHED_NEEDS_SYNC, 0};
  for (size_t place = 0; place < sizeof flags / sizeof *flags; ++place) {
    ion_user_handle_t handle;
    NEED(allocate_with(ion, 16 * PAGE, 0, heaps[system_type], flags[place], &handle) == 0);
    SHARE(fd, ion, handle);
    MAP(bytes, fd, 0, 16 * PAGE);
    MAP(part, fd, 5 * PAGE, PAGE);
    bytes[5 * PAGE] = 'a';
    CHECK(part[0] == 'a');
    struct ion_fd_data data = {.fd = fd};
    IS(ioctl(ion, ION_IOC_SYNC, &data), 0);
    CHECK(bytes[5 * PAGE] == 'a' && bytes[6 * PAGE] == 0);
    part[1] = 'b';
    CHECK(bytes[5 * PAGE + 1] == 'b');
    CHECK(munmap(bytes, 16 * PAGE) == 0 && munmap(part, PAGE) == 0 && give_back(ion, handle) == 0);
    IS(ioctl(ion, ION_IOC_SYNC, &data), 0);  // of the descriptor, whoever has a handle
    IS(close(fd), 0);
    FAILS(ioctl(ion, ION_IOC_SYNC, &data), EBADF);
  }
}
static void zeros(int ion) {
  zeroed(ion, heaps[carveout_type], (size_t)room(ion, heaps[carveout_type]) * MIB);
  zeroed(ion, heaps[chunk_type], (size_t)room(ion, heaps[chunk_type]) * MIB);
  zeroed(ion, heaps[system_type], MIB + 64 * 1024 + 3 * PAGE);
  zeroed(ion, heaps[system_contig_type], 3 * PAGE);
  zeroed(ion, heaps[cma_type], MIB);
}

int main(int argc, char **argv) {
  alarm(50);
  const int ion = open_ion();
  find_heaps(ion);
  if (argc == 2 && strcmp(argv[1], "foreign") == 0) return foreign(ion), wrong != 0;
  node(ion);
  other_numbers(ion);
  queries(ion);
  only_read(ion);
  no_heap(ion);
  lengths(ion);
  alignments(ion);
  asked_in_order(ion, heaps[cma_type], heaps[chunk_type]);
  numbered(ion);
  no_number();
  zeros(ion);
  handles_and_sharing(ion, heaps[cma_type]);
  not_buffers(ion);
  synced(ion);
  seen_by_others(ion);
  close(ion);
  if (wrong == 0) puts("ion_g3: all well");
  return wrong != 0;
}
