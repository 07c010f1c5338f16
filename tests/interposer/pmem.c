// A program for PMEM of Qualcomm's 8x25. It knows nothing of Freestone, says what is wrong on stderr, and ends with 0 where
// all held.
#include "pmem_calls.h"

#include <dirent.h>
#include <sys/stat.h>

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

// What sysfs shows of the audio region, which nobody else has.
static const char *report(const char *file) {
  static char text[8192];
  char path[128];
  snprintf(path, sizeof path, "/sys/kernel/pmem_regions/pmem_audio/%s", file);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t length = read(fd, text, sizeof text - 1);
  text[length < 0 ? 0 : length] = '\0';
  CHECK(fd >= 0 && length >= 0 && read(fd, text + length, 1) == 0);
  close(fd);
  return text;
}
#define REPORTS(file, wanted)                                                                      \
  do {                                                                                             \
    const char *const is_ = report(file);                                                          \
    if (strcmp(is_, wanted) != 0) SAY("%s has '%s', and not '%s'\n", file, is_, (const char *)wanted); \
  } while (0)
// The same, soon: what a program closed comes back in the server's own time.
#define SOON_REPORTS(file, wanted)                                                            \
  do {                                                                                        \
    for (int turn_ = 0; turn_ < 1000 && strcmp(report(file), wanted) != 0; ++turn_) usleep(10000); \
    REPORTS(file, wanted);                                                                    \
  } while (0)

static void reports(void) {
  static const char *const files[] = {"base",        "size",         "allocator_type", "mapped_regions",
                                      "free_quanta", "quantum_size", "total_entries",  "bits_allocated"};
  const int count = (int)(sizeof files / sizeof *files);
  const char bits[] = "id: 2\nbitnum\tindex\tquanta allocated\n", mapped[] = "pid #: mapped regions (offset, len) (offset,len)...\n";
  char wanted[512];
  int found = 0;
  DIR *const folder = opendir("/sys/kernel/pmem_regions/pmem_audio");
  CHECK(folder != NULL);
  for (const struct dirent *one = NULL; folder != NULL && (one = readdir(folder)) != NULL;) {
    int is_known = one->d_name[0] == '.';
    for (int at = 0; at < count; ++at) {
      const int is_this = strcmp(one->d_name, files[at]) == 0;
      is_known |= is_this, found += is_this;
    }
    if (!is_known) SAY("%s is no report\n", one->d_name);
  }
  if (folder != NULL) closedir(folder);
  IS(found, count);
  struct stat status;
  CHECK(stat("/sys/kernel/pmem_regions/pmem_audio/base", &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0777) == 0444);

  REPORTS("base", "588251136(0x23100000)\n");
  REPORTS("size", "524288(0x80000)\n");
  REPORTS("allocator_type", "Bitmap\n");
  REPORTS("quantum_size", "4096 (0x1000)\n");
  REPORTS("total_entries", "128\n");
  REPORTS("free_quanta", "128\n");
  REPORTS("bits_allocated", bits);
  REPORTS("mapped_regions", mapped);

  int fds[4];
  for (int at = 0; at < 4; ++at) {
    fds[at] = open_region("pmem_audio");
    CHECK(ioctl(fds[at], PMEM_ALLOCATE, (size_t)(at + 1) * PAGE) >= 0);
  }
  REPORTS("free_quanta", "118\n");
  snprintf(wanted, sizeof wanted, "%s0\t0\t1\n1\t1\t2\n2\t3\t3\n3\t6\t4\n", bits);
  REPORTS("bits_allocated", wanted);
  close(fds[1]);
  snprintf(wanted, sizeof wanted, "%s0\t0\t1\n2\t3\t3\n3\t6\t4\n", bits);
  SOON_REPORTS("bits_allocated", wanted);
  SOON_REPORTS("free_quanta", "120\n");
  fds[1] = open_region("pmem_audio");
  IS(ioctl(fds[1], PMEM_ALLOCATE, 5 * PAGE), 10);
  snprintf(wanted, sizeof wanted, "%s0\t0\t1\n1\t10\t5\n2\t3\t3\n3\t6\t4\n", bits);
  REPORTS("bits_allocated", wanted);

  char *const bytes = map(fds[0], PAGE);
  CHECK(bytes != MAP_FAILED);
  const int window = open_region("pmem_audio");
  CHECK(ioctl(window, PMEM_CONNECT, fds[3]) == 0);
  CHECK(grant(window, PMEM_MAP, 0, PAGE) == 0 && grant(window, PMEM_MAP, 2 * PAGE, 2 * PAGE) == 0);
  snprintf(wanted, sizeof wanted, "%spid 0:(2000,2000) (0,1000) \npid 0:\npid 0:\npid 0:\npid %u:\n", mapped, (unsigned)getpid());
  REPORTS("mapped_regions", wanted);
  CHECK(grant(window, PMEM_UNMAP, 2 * PAGE, 2 * PAGE) == 0);
  snprintf(wanted, sizeof wanted, "%spid 0:(0,1000) \npid 0:\npid 0:\npid 0:\npid %u:\n", mapped, (unsigned)getpid());
  REPORTS("mapped_regions", wanted);
  CHECK(munmap(bytes, PAGE) == 0);
  close(window);
  for (int at = 0; at < 4; ++at) close(fds[at]);
  SOON_REPORTS("mapped_regions", mapped);
  SOON_REPORTS("bits_allocated", bits);
  SOON_REPORTS("free_quanta", "128\n");
}

int main(void) {
  alarm(50);
  master("pmem");
  master("pmem_adsp");
  sub("pmem_adsp");
  reports();
  if (wrong == 0) puts("pmem: all well");
  return wrong != 0;
}
