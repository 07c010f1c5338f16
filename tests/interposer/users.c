// A program that becomes other users before they first open anything: what the modes of guarded.toml let each do. Says
// what went wrong on stderr, and ends with the number of such lines; with 77 where it is not root's.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct ion_allocation_data {  // linux/ion.h, 4.12
  __u64 len;
  __u32 heap_id_mask, flags, fd, unused;
};
#define ION_IOC_ALLOC _IOWR('I', 0, struct ion_allocation_data)

static const char open_heap[] = "/dev/dma_heap/system", guarded_heap[] = "/dev/dma_heap/guarded";  // 0604, 0640
static int wrong;
#define CHECK(what)                                                                                               \
  do {                                                                                                            \
    if (!(what)) {                                                                                                \
      fprintf(stderr, "users.c:%d: %s is not so (errno %d, user %d)\n", __LINE__, #what, errno, (int)geteuid()); \
      ++wrong;                                                                                                    \
    }                                                                                                             \
  } while (0)
#define FAILS(call, why) CHECK((errno = 0, (call) == -1 && errno == (why)))

static int allocate(int ion, __u32 mask) {
  struct ion_allocation_data data = {.len = 4096, .heap_id_mask = mask};
  return ioctl(ion, ION_IOC_ALLOC, &data) == 0 ? (int)data.fd : -1;
}

static void root(void) {
  CHECK(open(open_heap, O_RDWR) >= 0);
  CHECK(open(guarded_heap, O_RDWR) >= 0);
  CHECK(access(guarded_heap, R_OK | W_OK) == 0);
  FAILS(access(guarded_heap, X_OK), EACCES);
  CHECK(allocate(open("/dev/ion", O_RDWR), 2) >= 0);
}
static void nobody(void) {
  struct stat status;
  CHECK(stat(guarded_heap, &status) == 0 && status.st_mode == (S_IFCHR | 0640) && status.st_uid == 0 && status.st_gid == 0);
  FAILS(open(guarded_heap, O_RDONLY), EACCES);
  FAILS(open(guarded_heap, O_RDWR), EACCES);
  CHECK(fopen(guarded_heap, "r") == NULL && errno == EACCES);
  FAILS(open(open_heap, O_RDWR), EACCES);
  CHECK(open(open_heap, O_RDONLY) >= 0);
  CHECK(access(guarded_heap, F_OK) == 0);
  FAILS(access(guarded_heap, R_OK), EACCES);
  FAILS(faccessat(AT_FDCWD, guarded_heap, W_OK, 0), EACCES);
  FAILS(euidaccess(open_heap, R_OK | W_OK), EACCES);
  CHECK(access(open_heap, R_OK) == 0);
  FAILS(access("/dev/dma_heap/none", R_OK), ENOENT);
  CHECK(access("/dev/dma_heap", R_OK | X_OK) == 0);
  FAILS(access("/dev/dma_heap", W_OK), EACCES);
  const int ion = open("/dev/ion", O_RDWR);
  CHECK(ion >= 0 && allocate(ion, 1) >= 0);
  FAILS(allocate(ion, 2), ENODEV);
  CHECK(fopen("/sys/kernel/debug/ion/system/num_of_buffers", "r") != NULL);
}
static void in_group(void) {
  CHECK(open(guarded_heap, O_RDONLY) >= 0);
  FAILS(open(guarded_heap, O_RDWR), EACCES);
  FAILS(open(open_heap, O_RDONLY), EACCES);  // others may, the group may not
  CHECK(access(guarded_heap, R_OK) == 0);
  FAILS(access(guarded_heap, R_OK | W_OK), EACCES);
}

// In a process of that user's.
static void as(uid_t user, gid_t group, gid_t other, void (*act)(void)) {
  const pid_t child = fork();
  if (child == 0) {
    CHECK(setgroups(1, &other) == 0 && setgid(group) == 0 && setuid(user) == 0);
    if (wrong == 0) act();
    exit(wrong);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  wrong += WEXITSTATUS(status);
}

int main(void) {
  if (geteuid() != 0) return 77;
  as(1299, 1299, 1299, nobody);  // before this process has asked anything
  root();
  as(0, 0, 0, root);
  as(1299, 1299, 1299, nobody);
  as(1299, 0, 1299, in_group);
  as(1299, 1299, 0, in_group);
  return wrong;
}
