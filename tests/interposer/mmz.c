// A program for HiSilicon's MMZ. It knows nothing of Freestone, says what is wrong on stderr, and ends with 0 where all held.
#include "mmz_calls.h"

#include <signal.h>
#include <sys/time.h>

#include "processes.h"

static void one_block(void) {
  const int fd = open_mmz();
  const unsigned long block = allocate(fd, 2 * PAGE + 100, "");
  CHECK(block != 0 && block % PAGE == 0);
  struct mmb_info info = {.phys_addr = block};
  IS(call(fd, MMB_ATTR, &info), 0);
  IS(info.mmb_size, 2 * PAGE + 100);
  IS(info.phys_addr, block);
  CHECK(info.mapped == NULL && strcmp(info.mmb_name, "test") == 0);
  FAILS(of(fd, MMB_USER_UNMAP, block), EIO);

  char *const bytes = remap(fd, block);
  CHECK(bytes != NULL && is_all(bytes, 3 * PAGE, 0));
  memset(bytes, 'a', 3 * PAGE);
  CHECK(remap(fd, block) == bytes);
  FAILS(remap_as(fd, MMB_USER_REMAP_CACHED, block, READ_WRITE) == NULL ? -1 : 0, EINVAL);
  IS(physical_of(fd, bytes + PAGE + 8), block + PAGE + 8);
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  CHECK(is_all(bytes, 3 * PAGE, 'a'));

  FAILS(of(fd, MMB_FREE, block), EBUSY);
  FAILS(of(fd, MMB_FREE, block), EBUSY);
  IS(of(fd, MMB_USER_UNMAP, block), 0);  // and with that it is freed
  unsigned char in_memory;
  FAILS(mincore(bytes, PAGE, &in_memory), ENOMEM);
  FAILS(of(fd, MMB_ATTR, block), EPERM);
  FAILS(of(fd, MMB_FREE, block), EPERM);

  const unsigned long again = allocate(fd, 3 * PAGE, "anonymous");
  IS(again, block);
  char *const fresh = remap(fd, again);
  CHECK(fresh != NULL && is_all(fresh, 3 * PAGE, 0));
  IS(of(fd, MMB_USER_UNMAP, again), 0);
  IS(of(fd, MMB_FREE, again), 0);
  close(fd);
}

static void refusals(void) {
  const int fd = open_mmz();
  struct mmb_info info = wanted(PAGE, "no such zone");
  FAILS(call(fd, MMB_ALLOC, &info), ENOMEM);
  IS(info.phys_addr, 0);
  info = wanted(0, "");
  FAILS(call(fd, MMB_ALLOC, &info), ENOMEM);
  FAILS(ioctl(fd, MMB_ALLOC, NULL), EINVAL);
  FAILS(ioctl(fd, MMB_ALLOC, (void *)8), EFAULT);
  FAILS(ioctl(fd, _IO('m', 99), &info), EINVAL);
  FAILS(of(fd, MMB_ATTR, 0x1000), EPERM);
  FAILS(of(fd, MMB_USER_REMAP, 0x1000), EPERM);
  const unsigned long block = allocate(fd, PAGE, "");
  FAILS(remap_as(fd, MMB_USER_REMAP, block, PROT_READ | PROT_EXEC | MAP_SHARED << 8) == NULL ? -1 : 0, EPERM);
  char own[64];
  FAILS(physical_of(fd, (void *)(((uintptr_t)own + 3) / 4 * 4)) == 0 ? -1 : 0, EINVAL);
  close(fd);
}

static void caches(void) {
  const int fd = open_mmz();
  const unsigned long block = allocate(fd, 2 * PAGE, "");
  char *const bytes = remap_as(fd, MMB_USER_REMAP_CACHED, block, READ_WRITE);
  CHECK(bytes != NULL);
  IS(physical_of(fd, bytes), block | 1);
  IS(flush(fd, block + 10, bytes + 10, 100), 0);
  FAILS(flush(fd, block + 10, bytes, 100), EFAULT);
  FAILS(flush(fd, block, bytes, 2 * PAGE + 1), EFAULT);
  CHECK(mprotect(bytes, PAGE, PROT_READ) == 0);
  FAILS(flush(fd, block, bytes, 100), EFAULT);
#if GENERATION != 5
  IS(ioctl(fd, MMB_FLUSH_DCACHE, 0), 0);
  IS(ioctl(fd, MMB_FLUSH_DCACHE, block), 0);
  FAILS(ioctl(fd, MMB_FLUSH_DCACHE, 0x1000), EPERM);
  IS(ioctl(fd, MMB_ADD_REF, block), 0);
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  FAILS(of(fd, MMB_FREE, block), EBUSY);
  IS(ioctl(fd, MMB_DEC_REF, block), 0);
  FAILS(ioctl(fd, MMB_DEC_REF, block), EPERM);
#endif
  close(fd);
}

#if GENERATION == 5
static int flush_range(int fd, unsigned long physical, void *address, size_t size) {
  struct mmb_info info = {.phys_addr = physical, .mapped = address, .mmb_size = size};
  return call(fd, MMB_FLUSH_RANGE, &info);
}
static int check_address(int fd, unsigned long physical, size_t size) {
  struct mmb_info info = {.phys_addr = physical, .mmb_size = size};
  return call(fd, MMB_CHECK_ADDRESS, &info);
}
static void fifths(void) {
  const int fd = open_mmz();
  struct mmb_room before = {0, 0}, after = {0, 0};
  IS(ioctl(fd, MMB_QUERY, &before), 0);
  CHECK(before.total == before.free && before.total >= 32 << 10);
  const unsigned long block = allocate(fd, 2 * PAGE, "");
  IS(ioctl(fd, MMB_QUERY, &after), 0);
  CHECK(after.total == before.total && after.free == before.free - 8);

  IS(check_address(fd, block, (size_t)before.total << 10), 0);  // all of the zone, whose first it is
  FAILS(check_address(fd, block + 1, (size_t)before.total << 10), EPERM);
  FAILS(check_address(fd, 0x1000, 1), EPERM);

  char *const bytes = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)block);
  CHECK(bytes != MAP_FAILED);
  IS(flush_range(fd, block + 100, bytes + 100, PAGE), 0);
  FAILS(flush(fd, block + 100, bytes + 100, PAGE), EFAULT);  // REMAP has it nowhere
  FAILS(flush_range(fd, block, bytes + PAGE, 64), EPERM);
  FAILS(flush_range(fd, block + 100, bytes + 100, 2 * PAGE), EPERM);
  FAILS(flush_range(fd, block, &before, 4), EPERM);
  CHECK(mprotect(bytes, PAGE, PROT_READ) == 0);
  FAILS(flush_range(fd, block, bytes, 64), EPERM);
  CHECK(munmap(bytes, 2 * PAGE) == 0);
  FAILS(flush_range(fd, block, bytes, 64), EPERM);
  FAILS(ioctl(fd, MMB_ALLOC_V2, NULL), EINVAL);
  FAILS(ioctl(fd, MMB_ADD_REF, block), EINVAL);
  FAILS(ioctl(fd, MMB_FLUSH_DCACHE, 0), EINVAL);
  close(fd);
}
#endif

// By physical address.
static void own_mmap(void) {
  const int fd = open_mmz();
  const unsigned long block = allocate(fd, 4 * PAGE, ""), next = allocate(fd, PAGE, "");
  const off_t there = (off_t)block;
  char *const part = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, there + (off_t)PAGE);
#if GENERATION < 3
  CHECK(part == MAP_FAILED && errno == EPERM);
  (void)next;
#else
  CHECK(part != MAP_FAILED);
  memset(part, 'p', 2 * PAGE);
  FAILS(mmap(NULL, 5 * PAGE, PROT_READ, MAP_SHARED, fd, there) == MAP_FAILED ? -1 : 0, EINVAL);
  FAILS(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, there + 3 * (off_t)PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  FAILS(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0x1000) == MAP_FAILED ? -1 : 0, EPERM);
  CHECK(next == block + 4 * PAGE);
  IS(of(fd, MMB_FREE, block), 0);  // nobody else has it while it is mapped
  const int other = open_mmz();
  CHECK(allocate(other, 4 * PAGE, "") != block);
  CHECK(is_all(part, 2 * PAGE, 'p'));
  close(other);
#endif
  close(fd);
}

// A child has its parent's mappings, and its descriptor.
static int shared_fd;
static unsigned long shared_block;
static char *shared_bytes;
static void child(int socket) {
  CHECK(is_all(shared_bytes, PAGE, 'P'));
  shared_bytes[0] = 'C';
  IS(physical_of(shared_fd, shared_bytes), shared_block);
  pass(socket), await(socket);  // the parent has unmapped it by now
  IS(shared_bytes[1], 'P');
}
static void forked(void) {
  shared_fd = open_mmz();
  shared_block = allocate(shared_fd, PAGE, "");
  shared_bytes = remap(shared_fd, shared_block);
  memset(shared_bytes, 'P', PAGE);
  const struct child one = start(child);
  await(one.socket);
  IS(shared_bytes[0], 'C');
  IS(of(shared_fd, MMB_USER_UNMAP, shared_block), 0);
  IS(of(shared_fd, MMB_FREE, shared_block), 0);
  CHECK(allocate(shared_fd, PAGE, "") != shared_block);  // the child maps it still
  pass(one.socket);
  wait_for(one);
  close(shared_fd);
}

// In a kernel no handler runs in the middle of a request: so whenever a signal comes its handler may use the same file, and any other.
static int handled_fd;
static unsigned long handled_block;
static volatile sig_atomic_t handled, handled_wrong;
static void ask_too(int number) {
  const int before = errno;
  (void)number;
  const int more = open("/proc/media-mem", O_RDONLY | O_CLOEXEC);
  char zone[8];
  if (more < 0 || read(more, zone, sizeof zone) != sizeof zone || close(more) != 0) ++handled_wrong;
  if (of(handled_fd, MMB_ATTR, handled_block) != 0) ++handled_wrong;
  ++handled;
  errno = before;
}
static void signals(void) {
  handled_fd = open_mmz();
  handled_block = allocate(handled_fd, PAGE, "");
  const unsigned long other = allocate(handled_fd, 2 * PAGE, "");
  const struct sigaction action = {.sa_handler = ask_too};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  for (int turn = 0; turn < 200 || handled < 50; ++turn) {
    const struct itimerval soon = {{0, 0}, {0, 1 + turn % 16 * 50}};
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    char *const bytes = remap(handled_fd, other);
    CHECK(bytes != NULL && bytes[0] == (char)turn);
    if (bytes != NULL) ++bytes[0];
    IS(of(handled_fd, MMB_USER_UNMAP, other), 0);
    const unsigned long more = allocate(handled_fd, PAGE, "");
    CHECK(more != 0);
    IS(of(handled_fd, MMB_FREE, more), 0);
    const int file = open_mmz();
    IS(of(file, MMB_ATTR, other), -1);
    close(file);
    if (wrong != 0) break;
  }
  const struct itimerval never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  IS(handled_wrong, 0);
  close(handled_fd);
}

int main(void) {
#if GENERATION == 5
  fifths();
#endif
  one_block();
  refusals();
  caches();
  own_mmap();
  forked();
  signals();
  return wrong != 0;
}
