// A program for ION of Linux 4.12 to 5.10, as such programs are: it knows nothing of Freestone. Says what went wrong on
// stderr, and ends with the number of such lines.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct ion_allocation_data {
  uint64_t len;
  uint32_t heap_id_mask;
  uint32_t flags;
  uint32_t fd;
  uint32_t unused;
};
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
#define ION_IOC_ALLOC _IOWR('I', 0, struct ion_allocation_data)
#define ION_IOC_HEAP_QUERY _IOWR('I', 8, struct ion_heap_query)
#define DMA_BUF_IOCTL_SYNC _IOW('b', 0, uint64_t)
#define DMA_BUF_SET_NAME _IOW('b', 1, const char *)

static int wrong;
#define CHECK(what)                                                                        \
  do {                                                                                     \
    if (!(what)) {                                                                         \
      fprintf(stderr, "ion.c:%d: %s is not so (errno %d, %s)\n", __LINE__, #what, errno, strerror(errno)); \
      ++wrong;                                                                             \
    }                                                                                      \
  } while (0)
#define FAILS(call, why) CHECK((errno = 0, (call) == -1 && errno == (why)))

static long number_in(const char *path) {
  char text[32] = "";
  FILE *file = fopen(path, "r");
  if (file == NULL || fgets(text, sizeof text, file) == NULL) return -1;
  fclose(file);
  return atol(text);
}

static uint32_t heap_of_type(int ion, uint32_t type) {
  struct ion_heap_data heaps[32];
  struct ion_heap_query query = {.cnt = 0};
  CHECK(ioctl(ion, ION_IOC_HEAP_QUERY, &query) == 0);
  CHECK(query.cnt >= 1 && query.cnt <= 32);
  query.heaps = (uintptr_t)heaps;
  CHECK(ioctl(ion, ION_IOC_HEAP_QUERY, &query) == 0);
  for (uint32_t i = 0; i < query.cnt; ++i)
    if (heaps[i].type == type) return heaps[i].heap_id;
  CHECK(!"a heap of that type");
  return 0;
}

static int allocate(int ion, uint64_t len, uint32_t heap) {
  struct ion_allocation_data data = {.len = len, .heap_id_mask = 1u << heap, .flags = 1};
  return ioctl(ion, ION_IOC_ALLOC, &data) == 0 ? (int)data.fd : -1;
}

static void send_fd(int socket, int fd) {
  char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec io = {&byte, 1};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  CHECK(sendmsg(socket, &message, 0) == 1);
}
static int receive_fd(int socket) {
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec io = {&byte, 1};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int fd = -1;
  if (recvmsg(socket, &message, 0) == 1) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

static void node(int ion) {
  struct stat status;
  CHECK(stat("/dev/ion", &status) == 0 && S_ISCHR(status.st_mode));
  CHECK(fstat(ion, &status) == 0 && S_ISCHR(status.st_mode));
  CHECK(access("/dev/ion", R_OK | W_OK) == 0);
  CHECK((fcntl(ion, F_GETFL) & O_ACCMODE) == O_RDWR);
  CHECK((fcntl(ion, F_GETFD) & FD_CLOEXEC) == 0);
  char bytes[16];
  FAILS(read(ion, bytes, sizeof bytes), EINVAL);
  FAILS(write(ion, bytes, sizeof bytes), EINVAL);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, ion, 0) == MAP_FAILED && errno == ENODEV);
  uint32_t handle = 0;
  FAILS(ioctl(ion, _IOWR('I', 1, uint32_t), &handle), ENOTTY);  // how libraries tell this generation
  FAILS(ioctl(ion, ION_IOC_ALLOC, (void *)8), EFAULT);
  FAILS(ioctl(ion, ION_IOC_ALLOC, NULL), EFAULT);
}

static void one_buffer(int ion, uint32_t heap) {
  const long before = number_in("/sys/kernel/debug/ion/system/num_of_buffers");
  const int buffer = allocate(ion, 3 * 4096 - 5, heap);
  CHECK(buffer >= 0);
  CHECK((fcntl(buffer, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(lseek(buffer, 0, SEEK_END) == 3 * 4096);
  CHECK(lseek(buffer, 0, SEEK_SET) == 0);
  FAILS(lseek(buffer, 0, SEEK_CUR), EINVAL);
  FAILS(lseek(buffer, 1, SEEK_SET), EINVAL);
  unsigned char *bytes = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
  CHECK(bytes != MAP_FAILED);
  int others = 0;
  for (int i = 0; i < 3 * 4096; ++i) others += bytes[i] != 0;
  CHECK(others == 0);
  uint64_t flags = 3;
  CHECK(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &flags) == 0);
  memset(bytes, 0x5a, 3 * 4096);
  flags = 7;
  CHECK(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &flags) == 0);
  CHECK(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &flags) == 0);
  flags = 8;
  FAILS(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &flags), EINVAL);
  CHECK(ioctl(buffer, DMA_BUF_SET_NAME, "camera") == 0);
  FAILS(ioctl(buffer, DMA_BUF_SET_NAME, "a name of more than thirty-one letters"), EINVAL);
  CHECK(mmap(NULL, 4 * 4096, PROT_READ, MAP_SHARED, buffer, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, buffer, 3 * 4096) == MAP_FAILED && errno == EINVAL);
  unsigned char *last = mmap(NULL, 4096, PROT_READ, MAP_SHARED, buffer, 2 * 4096);
  CHECK(last != MAP_FAILED && last[4095] == 0x5a);
  struct pollfd ready = {buffer, POLLIN | POLLOUT, 0};
  CHECK(poll(&ready, 1, 0) == 1 && ready.revents == (POLLIN | POLLOUT));
  CHECK(munmap(last, 4096) == 0);
  CHECK(number_in("/sys/kernel/debug/ion/system/num_of_buffers") == before + 1);
  const int other = dup(buffer);
  CHECK(close(buffer) == 0 && close(other) == 0);
  bytes[0] = 1;  // a mapping keeps it
  CHECK(number_in("/sys/kernel/debug/ion/system/num_of_buffers") == before + 1);
  CHECK(munmap(bytes, 3 * 4096) == 0);
  CHECK(number_in("/sys/kernel/debug/ion/system/num_of_buffers") == before);
}

static void shared(int ion, uint32_t heap, char *program) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const int got = receive_fd(ends[1]);
    unsigned char *bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, got, 0);
    CHECK(bytes != MAP_FAILED && bytes[1] == 0x11);
    bytes[2] = 0x22;
    uint64_t flags = 1;
    CHECK(ioctl(got, DMA_BUF_IOCTL_SYNC, &flags) == 0);
    CHECK(allocate(ion, 4096, heap) >= 0);  // the parent's /dev/ion is the child's too
    fcntl(got, F_SETFD, 0);
    char number[16];
    snprintf(number, sizeof number, "%d", got);
    if (wrong == 0) execl(program, program, "again", number, (char *)NULL);
    _exit(99);
  }
  const int buffer = allocate(ion, 8192, heap);
  unsigned char *bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
  CHECK(bytes != MAP_FAILED);
  bytes[1] = 0x11;
  send_fd(ends[0], buffer);
  close(buffer);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(bytes[2] == 0x22 && bytes[3] == 0x33);
  munmap(bytes, 8192);
  close(ends[0]), close(ends[1]);
}
// After exec, with a buffer that was open before.
static int again(int buffer) {
  unsigned char *bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
  CHECK(bytes != MAP_FAILED && bytes[2] == 0x22);
  bytes[3] = 0x33;
  CHECK(lseek(buffer, 0, SEEK_END) == 8192);
  uint64_t flags = 5;
  CHECK(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &flags) == 0);
  const int ion = open("/dev/ion", O_RDONLY);
  CHECK(ion >= 0 && allocate(ion, 4096, heap_of_type(ion, 0)) >= 0);
  return wrong;
}

static void all_of_it(int ion, uint32_t heap) {
  int buffers[64], count = 0;
  while (count < 64 && (buffers[count] = allocate(ion, 4 << 20, heap)) >= 0) ++count;
  CHECK(count > 0 && errno == ENOMEM);
  while (count > 0) close(buffers[--count]);
  const int one = allocate(ion, 4 << 20, heap);  // all is free again, at once
  CHECK(one >= 0 && close(one) == 0);
}

static int write_to(const char *path, const char *text) {
  const int report = open(path, O_WRONLY);
  const int written = report < 0 ? -1 : (int)write(report, text, strlen(text));
  const int why = errno;
  if (report >= 0) close(report);
  errno = why;
  return written;
}
static void shrinker(int ion, uint32_t heap) {
  const char *const report = "/sys/kernel/debug/ion/system/system_shrink";
  CHECK(write_to(report, "0\n") == 2);
  CHECK(number_in(report) == 0);
  CHECK(close(allocate(ion, 17 * 4096, heap)) == 0);
  CHECK(number_in(report) == 17);  // it waits to be freed, or its pages are kept
  CHECK(write_to(report, "1") == 1);
  const long left = number_in(report);
  CHECK(left < 17);
  FAILS(write_to(report, "many"), EINVAL);
  FAILS(write_to(report, "1 2"), EINVAL);
  CHECK(number_in(report) == left);
  CHECK(write_to(report, "0") == 1);
  CHECK(number_in(report) == 0);
  CHECK(number_in("/sys/kernel/debug/ion/carveout/carveout_shrink") >= 0);
  CHECK(number_in("/sys/kernel/debug/ion/cma/cma_shrink") == -1);
}
static void reports(void) {
  DIR *folder = opendir("/sys/kernel/debug/ion");
  CHECK(folder != NULL);
  int found = 0;
  for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
    found += strcmp(entry->d_name, "system") == 0;
  CHECK(found == 1);
  if (folder != NULL) closedir(folder);
  CHECK(number_in("/sys/kernel/debug/ion/system/alloc_bytes_wm") >= 3 * 4096);
  struct stat status;
  CHECK(stat("/sys/kernel/debug/ion/system/num_of_buffers", &status) == 0 && S_ISREG(status.st_mode));
  CHECK(open("/sys/kernel/debug/ion/system/no_such", O_RDONLY) == -1 && errno == ENOENT);
  glob_t names;
  CHECK(glob("/sys/kernel/debug/ion/*/num_of_buffers", 0, NULL, &names) == 0 && names.gl_pathc == 5);
  CHECK(strcmp(names.gl_pathv[0], "/sys/kernel/debug/ion/carveout/num_of_buffers") == 0);
  CHECK(glob("/dev/io[n]", GLOB_APPEND, NULL, &names) == 0 && names.gl_pathc == 6);
  globfree(&names);
  CHECK(glob("/dev/nul?", 0, NULL, &names) == 0 && names.gl_pathc == 1);  // the host's
  globfree(&names);
  CHECK(glob("/sys/kernel/debug/ion/none*", 0, NULL, &names) == GLOB_NOMATCH);
  globfree(&names);
  FAILS(chdir("/sys/kernel/debug/ion"), EACCES);
  FAILS(chdir("/sys/kernel/debug/ion/none"), ENOENT);
  FAILS(chdir("/dev/ion/x"), ENOENT);
  const int list = open("/sys/kernel/debug/ion", O_RDONLY | O_DIRECTORY);
  CHECK(list >= 0);
  FAILS(fchdir(list), EACCES);
  const int one = openat(list, "system/num_of_buffers", O_RDONLY);
  CHECK(one >= 0);
  close(one), close(list);
  CHECK(chdir("/dev") == 0);
  const int ion = open("ion", O_RDWR);
  CHECK(ion >= 0 && stat("ion", &status) == 0 && S_ISCHR(status.st_mode));
  close(ion);
}

int main(int argc, char **argv) {
  if (argc == 3) return again(atoi(argv[2]));
  const int ion = open("/dev/ion", O_RDWR);
  CHECK(ion >= 0);
  if (ion < 0) return wrong;
  const uint32_t system_heap = heap_of_type(ion, 0);
  FAILS(allocate(ion, 0, system_heap), EINVAL);
  FAILS(allocate(ion, 4096, 31), ENODEV);
  node(ion);
  one_buffer(ion, system_heap);
  shared(ion, system_heap, argv[0]);
  all_of_it(ion, heap_of_type(ion, 2));
  reports();
  shrinker(ion, system_heap);
  close(ion);
  if (wrong == 0) puts("ion: all well");
  return wrong;
}
