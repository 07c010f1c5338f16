// A program for PMEM of Qualcomm's 8x25. It knows nothing of Freestone, says what is wrong on stderr, and ends with 0 where
// all held.
#include "pmem_calls.h"

static void master(const char *name) {
  const int fd = open_region(name);
  const size_t total = region_of(fd, PMEM_GET_TOTAL_SIZE).len;
  IS(room_of(fd).total, total);
  IS(size_of(fd), 0);
  char *const bytes = map(fd, 3 * PAGE);
  CHECK(bytes != MAP_FAILED);
  IS(size_of(fd), 3 * PAGE);
  IS(room_of(fd).total, total - 3 * PAGE);
  CHECK(is_all(bytes, 3 * PAGE, 0));
  memset(bytes, 'm', 3 * PAGE);
  CHECK(munmap(bytes, 3 * PAGE) == 0);
  char *const again = map(fd, 2 * PAGE);
  CHECK(again != MAP_FAILED && is_all(again, 2 * PAGE, 'm'));
  FAILS(map(fd, 4 * PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  FAILS(ioctl(fd, PMEM_ALLOCATE, PAGE), EINVAL);
  CHECK(munmap(again, 2 * PAGE) == 0);
  close(fd);
  const int other = open_region(name);
  IS(room_of(other).total, total);
  close(other);
}

static void sub(const char *name) {
  const int fd = open_region(name), window = open_region(name);
  char *const bytes = map(fd, 4 * PAGE);
  memset(bytes, 'o', 4 * PAGE);
  CHECK(ioctl(window, PMEM_CONNECT, fd) == 0);
  CHECK(grant(window, PMEM_MAP, PAGE, PAGE) == 0);
  char *const seen = map(window, 4 * PAGE);
  CHECK(seen != MAP_FAILED);
  CHECK(is_all(seen, PAGE, 0) && is_all(seen + PAGE, PAGE, 'o') && is_all(seen + 2 * PAGE, 2 * PAGE, 0));
  CHECK(grant(window, PMEM_MAP, 2 * PAGE, 2 * PAGE) == 0);
  CHECK(is_all(seen + PAGE, 3 * PAGE, 'o'));
  CHECK(grant(window, PMEM_UNMAP, PAGE, PAGE) == 0);
  CHECK(is_all(seen, 2 * PAGE, 0) && is_all(seen + 2 * PAGE, 2 * PAGE, 'o'));
  FAILS(grant(window, PMEM_UNMAP, PAGE, PAGE), EINVAL);
  CHECK(munmap(bytes, 4 * PAGE) == 0);
  close(fd);
  for (int turn = 0; turn < 100 && !is_all(seen, 4 * PAGE, 0); ++turn) size_of(window);
  CHECK(is_all(seen, 4 * PAGE, 0));
  FAILS(grant(window, PMEM_MAP, PAGE, PAGE), EINVAL);
  CHECK(munmap(seen, 4 * PAGE) == 0);
  close(window);
}

int main(void) {
  alarm(50);
  master("pmem");
  master("pmem_adsp");
  sub("pmem_adsp");
  if (wrong == 0) puts("pmem: all well");
  return wrong != 0;
}
