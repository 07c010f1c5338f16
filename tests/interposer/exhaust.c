// A program without room for descriptors (own), or whose server has none (server): each call fails as it says, or is
// done; nothing is left, and afterwards all is as before. Says what went wrong on stderr, and ends with the number of
// such lines.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct ion_allocation_data {  // linux/ion.h, 4.12
  __u64 len;
  __u32 heap_id_mask, flags, fd, unused;
};
struct ion_heap_query {
  __u32 cnt, reserved0;
  __u64 heaps;
  __u32 reserved1, reserved2;
};
#define ION_IOC_ALLOC _IOWR('I', 0, struct ion_allocation_data)
#define ION_IOC_HEAP_QUERY _IOWR('I', 8, struct ion_heap_query)

static const char report[] = "/sys/kernel/debug/ion/system/num_of_buffers";
static int wrong, round_number;
#define CHECK(what)                                                                                               \
  do {                                                                                                            \
    if (!(what)) {                                                                                                \
      fprintf(stderr, "exhaust.c:%d: %s is not so (errno %d, with room for %d)\n", __LINE__, #what, errno, round_number); \
      ++wrong;                                                                                                    \
    }                                                                                                             \
  } while (0)

static int allocate(int ion) {
  struct ion_allocation_data data = {.len = 4096, .heap_id_mask = 1};
  return ioctl(ion, ION_IOC_ALLOC, &data) == 0 ? (int)data.fd : -1;
}
static long number_in(const char *path) {
  char text[32] = "";
  FILE *const file = fopen(path, "r");
  if (file == NULL) return -1;
  const int is_read = fgets(text, sizeof text, file) != NULL;
  fclose(file);
  return is_read ? atol(text) : -1;
}
// How many descriptors there are, but for the one that counts.
static int descriptors(void) {
  int count = 0;
  DIR *const all = opendir("/proc/self/fd");
  for (const struct dirent *one; all != NULL && (one = readdir(all)) != NULL;) count += one->d_name[0] != '.';
  if (all != NULL) closedir(all);
  return count - 1;
}
static void limit(rlim_t most) {
  struct rlimit now;
  getrlimit(RLIMIT_NOFILE, &now);
  now.rlim_cur = most;
  CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
}

static int done, refused;
// A descriptor, or EMFILE.
static int made(int fd) {
  CHECK(fd >= 0 || errno == EMFILE);
  fd >= 0 ? ++done : ++refused;
  return fd;
}
// All calls that make descriptors or ask the server, with what little room there is.
static void all_calls(int ion, int buffer) {
  struct ion_heap_query query = {.cnt = 0};
  if (ioctl(ion, ION_IOC_HEAP_QUERY, &query) == 0) {
    CHECK(query.cnt == 5);
  } else {
    CHECK(errno == EMFILE);
  }
  char *const bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
  CHECK(bytes != MAP_FAILED || errno == EMFILE);
  CHECK(bytes == MAP_FAILED || munmap(bytes, 4096) == 0);
  const int fds[] = {made(open("/dev/ion", O_RDWR)), made(allocate(ion)), made(open(report, O_RDONLY)), made(dup(buffer)),
                     made(fcntl(buffer, F_DUPFD_CLOEXEC, 0)), made(open("/sys/kernel/debug/ion", O_RDONLY | O_DIRECTORY))};
  FILE *const file = fopen(report, "r");
  CHECK(file != NULL || errno == EMFILE);
  if (file != NULL) fclose(file);
  DIR *const folder = opendir("/sys/kernel/debug/ion");
  CHECK(folder != NULL || errno == EMFILE);
  if (folder != NULL) closedir(folder);
  struct stat status;
  CHECK(stat("/dev/ion", &status) == 0 || errno == EMFILE);
  CHECK(access("/dev/ion", R_OK) == 0 || errno == EMFILE);
  for (size_t i = 0; i < sizeof fds / sizeof *fds; ++i) {
    if (fds[i] >= 0) CHECK(close(fds[i]) == 0);
  }
}
static void all_well(int ion, int buffer) {
  const int before = done;
  round_number = -1;
  all_calls(ion, buffer);
  CHECK(done == before + 6);
  CHECK(number_in(report) == 1);  // the one that the parent has
}

// The first calls that a program makes, with little room.
static void first_calls(void) {
  struct rlimit whole;
  getrlimit(RLIMIT_NOFILE, &whole);
  for (int room = 0; room <= 8; ++room) {
    const pid_t child = fork();
    if (child != 0) {
      int status = -1;
      CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
      wrong += WEXITSTATUS(status);
      continue;
    }
    const int first_free = dup(0);
    close(first_free);
    limit((rlim_t)(first_free + room));
    round_number = room;
    struct stat status;
    CHECK(access("/dev/ion", R_OK) == 0 || errno == EMFILE);
    CHECK(stat("/dev/ion", &status) == 0 || errno == EMFILE);
    CHECK(fopen(report, "r") != NULL || errno == EMFILE);
    CHECK(opendir("/sys/kernel/debug/ion") != NULL || errno == EMFILE);
    CHECK(open("/dev/ion", O_RDWR) >= 0 || errno == EMFILE);
    limit(whole.rlim_cur);
    CHECK(open("/dev/ion", O_RDWR) >= 0);
    CHECK(number_in(report) == 0);
    exit(wrong);
  }
}

// `is_new`: in a process that has no connection yet.
static void own(int ion, int buffer, int is_new) {
  struct rlimit whole;
  getrlimit(RLIMIT_NOFILE, &whole);
  for (int room = 0; room <= 8; ++room) {
    fflush(NULL);
    const pid_t child = fork();
    if (child != 0) {
      int status = -1;
      CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
      wrong += WEXITSTATUS(status);
      continue;
    }
    if (!is_new) CHECK(number_in(report) == 1);
    const int before = descriptors(), first_free = dup(0);
    close(first_free);
    limit((rlim_t)(first_free + room));
    round_number = room;
    for (int turn = 0; turn < 3; ++turn) all_calls(ion, buffer);
    CHECK(room > 1 || refused > 0);
    CHECK(room < 8 || refused == 0);
    limit(whole.rlim_cur);
    all_well(ion, buffer);
    CHECK(descriptors() <= before + is_new);
    exit(wrong);
  }
}

static void server(int ion, int buffer) {
  // Another program has most of what there is, so that it is not this one that has no room.
  int ready[2], go[2];
  char byte = 0;
  CHECK(pipe(ready) == 0 && pipe(go) == 0);
  const pid_t child = fork();
  if (child == 0) {
    close(go[1]);
    for (int i = 0; i < 20; ++i) CHECK(open("/dev/ion", O_RDWR) >= 0);
    CHECK(write(ready[1], &byte, 1) == 1);
    exit(read(go[0], &byte, 1) == 0 ? wrong : 99);
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  int fds[4096], count = 0;
  while (count < 4096 && (fds[count] = open("/dev/ion", O_RDWR)) >= 0) ++count;
  CHECK(count > 0 && errno == ENFILE);
  int buffers[64], made_buffers = 0;
  while (made_buffers < 64 && (buffers[made_buffers] = allocate(ion)) >= 0) ++made_buffers;
  CHECK(made_buffers < 64 && errno == ENFILE);
  CHECK(open(report, O_RDONLY) < 0 && errno == ENFILE);
  CHECK(opendir("/sys/kernel/debug/ion") == NULL && errno == ENFILE);
  while (count > 0) close(fds[--count]);
  while (made_buffers > 0) close(buffers[--made_buffers]);
  close(go[1]);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  all_well(ion, buffer);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct rlimit now;
  getrlimit(RLIMIT_NOFILE, &now);
  if (strcmp(argv[1], "own") == 0) limit(now.rlim_cur < 512 ? now.rlim_cur : 512);
  if (strcmp(argv[1], "own") == 0) first_calls();
  const int ion = open("/dev/ion", O_RDWR), buffer = allocate(ion);
  CHECK(ion >= 0 && buffer >= 0);
  if (strcmp(argv[1], "own") == 0) own(ion, buffer, 0), own(ion, buffer, 1);
  if (strcmp(argv[1], "server") == 0) server(ion, buffer);
  return wrong;
}
