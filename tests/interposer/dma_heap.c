// A program for dma-heap, as such programs are: it knows nothing of Freestone. The folder of the heaps is its argument.
// Says what went wrong on stderr, and ends with the number of such lines.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int wrong;
#define CHECK(what)                                                                        \
  do {                                                                                     \
    if (!(what)) {                                                                         \
      fprintf(stderr, "dma_heap.c:%d: %s is not so (errno %d, %s)\n", __LINE__, #what, errno, strerror(errno)); \
      ++wrong;                                                                             \
    }                                                                                      \
  } while (0)
#define FAILS(call, why) CHECK((errno = 0, (call) == -1 && errno == (why)))

static int allocate(int heap, uint64_t len, uint32_t fd_flags) {
  struct dma_heap_allocation_data data = {.len = len, .fd_flags = fd_flags};
  return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) == 0 ? (int)data.fd : -1;
}

static void arguments(int heap) {
  struct dma_heap_allocation_data data = {.len = 4096, .fd = 3};
  FAILS(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data), EINVAL);
  data.fd = 0, data.heap_flags = 1;
  FAILS(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data), EINVAL);
  FAILS(allocate(heap, 0, O_RDWR), EINVAL);
  FAILS(allocate(heap, 4096, O_RDWR | O_APPEND), EINVAL);
  FAILS(ioctl(heap, _IOWR('H', 1, struct dma_heap_allocation_data), &data), EINVAL);
  FAILS(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, NULL), EFAULT);
  // A struct in a page that can be read and not written: nothing is left behind.
  struct dma_heap_allocation_data *const locked =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  locked->len = 4096, locked->fd_flags = O_RDWR | O_CLOEXEC;
  CHECK(mprotect(locked, 4096, PROT_READ) == 0);
  const int before = dup(0);
  FAILS(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, locked), EFAULT);
  const int after = dup(0);
  CHECK(after == before + 1);
  close(before), close(after);
  munmap(locked, 4096);
}

static void access_modes(int heap) {
  const int read_only = allocate(heap, 4096, O_RDONLY | O_CLOEXEC);
  CHECK(read_only >= 0);
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, read_only, 0) == MAP_FAILED && errno == EACCES);
  void *const bytes = mmap(NULL, 4096, PROT_READ, MAP_SHARED, read_only, 0);
  CHECK(bytes != MAP_FAILED);
  FAILS(mprotect(bytes, 4096, PROT_READ | PROT_WRITE), EACCES);
  munmap(bytes, 4096);
  CHECK((fcntl(read_only, F_GETFD) & FD_CLOEXEC) != 0);
  close(read_only);
  const int inherited = allocate(heap, 4096, O_RDWR);
  CHECK(inherited >= 0 && (fcntl(inherited, F_GETFD) & FD_CLOEXEC) == 0);
  close(inherited);
}

static void waiting(int heap) {
  const int buffer = allocate(heap, 4096, O_RDWR | O_CLOEXEC), poller = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data = {.u64 = 0x1234567890ULL}};
  CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, buffer, &event) == 0);
  memset(&event, 0, sizeof event);
  CHECK(epoll_wait(poller, &event, 1, 0) == 1 && event.data.u64 == 0x1234567890ULL);
  CHECK(epoll_ctl(poller, EPOLL_CTL_DEL, buffer, NULL) == 0);
  CHECK(epoll_wait(poller, &event, 1, 0) == 0);
  close(buffer), close(poller);
}

// How many lines of the kernel's list of buffers have all of these.
static int lines_with(const char *one, const char *other) {
  char line[256];
  int count = 0;
  FILE *const list = fopen("/sys/kernel/debug/dma_buf/bufinfo", "r");
  if (list == NULL) return -1;
  while (fgets(line, sizeof line, list) != NULL) count += strstr(line, one) != NULL && strstr(line, other) != NULL;
  fclose(list);
  return count;
}
static void listed(int heap, const char *name) {
  char row[128], end[128];
  const int before = lines_with("00012288\t00000002\t00080007\t00000001\t", name);
  if (before < 0) return;  // a kernel without
  const int buffer = allocate(heap, 3 * 4096, O_RDWR | O_CLOEXEC);
  struct stat status;
  CHECK(buffer >= 0 && fstat(buffer, &status) == 0);
  CHECK(ioctl(buffer, DMA_BUF_SET_NAME_B, "a frame") == 0);
  CHECK(lines_with("Dma-buf Objects:", "") == 1);
  CHECK(lines_with("size    \tflags   \tmode    \tcount   \texp_name\tino     \tname\n", "") == 1);
  snprintf(row, sizeof row, "00012288\t00000002\t00080007\t00000001\t%s\t%08llu\ta frame\n", name, (unsigned long long)status.st_ino);
  snprintf(end, sizeof end, "Total 1 objects, %d bytes\n", 3 * 4096);
  CHECK(lines_with(row, "") == 1);
  CHECK(lines_with(end, "") == 1);
  CHECK(lines_with("Total 0 devices attached\n", "") == 1);
  CHECK(close(buffer) == 0);
  CHECK(lines_with(row, "") == 0);
  CHECK(lines_with("Total 0 objects, 0 bytes\n", "") == 1);
}

static void *churn(void *heap) {
  for (int i = 0; i < 200; ++i) {
    const int buffer = allocate(*(int *)heap, 16384, O_RDWR | O_CLOEXEC);
    unsigned char *bytes = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
    CHECK(bytes != MAP_FAILED && bytes[4096] == 0);
    if (bytes != MAP_FAILED) memset(bytes, i, 16384), munmap(bytes, 16384);
    struct dma_buf_sync sync = {DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW};
    CHECK(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &sync) == 0);
    close(buffer);
  }
  return NULL;
}

int main(int argc, char **argv) {
  const char *const folder = argc > 1 ? argv[1] : "/dev/dma_heap";
  DIR *const heaps = opendir(folder);
  CHECK(heaps != NULL);
  if (heaps == NULL) return wrong;
  int count = 0;
  char path[512];
  for (struct dirent *entry; (entry = readdir(heaps)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    struct stat status;
    CHECK(stat(path, &status) == 0 && S_ISCHR(status.st_mode));
    int heap = open(path, O_RDWR | O_CLOEXEC);
    CHECK(heap >= 0);
    if (heap < 0) continue;
    CHECK((fcntl(heap, F_GETFD) & FD_CLOEXEC) != 0);
    arguments(heap);
    access_modes(heap);
    waiting(heap);
    listed(heap, entry->d_name);
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) CHECK(pthread_create(&threads[i], NULL, churn, &heap) == 0);
    for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
    close(heap);
    ++count;
  }
  closedir(heaps);
  CHECK(count > 0);
  snprintf(path, sizeof path, "%s/no_such_heap", folder);
  FAILS(open(path, O_RDWR), ENOENT);
  if (wrong == 0) printf("dma_heap: %d heaps, all well\n", count);
  return wrong;
}
