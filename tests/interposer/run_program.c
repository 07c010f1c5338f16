// What run.sh runs. leak COUNT BYTES: leaves so many buffers of that size open, and the node, at its end. close: leaves
// none. wait: says "ready", and ends with 5 at SIGTERM; with 6 where two came. signal N: dies of it. args...: prints them.
#include <fcntl.h>
#include <linux/types.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct ion_allocation_data {  // linux/ion.h, 4.12
  __u64 len;
  __u32 heap_id_mask, flags, fd, unused;
};
#define ION_IOC_ALLOC _IOWR('I', 0, struct ion_allocation_data)

static volatile sig_atomic_t came;
static void count(int number) { (void)number, ++came; }

static int allocate(int ion, unsigned long long bytes) {
  struct ion_allocation_data data = {.len = bytes, .heap_id_mask = 1};
  return ioctl(ion, ION_IOC_ALLOC, &data) == 0 ? (int)data.fd : -1;
}

static int leak(int buffers, unsigned long long bytes) {
  const int ion = open("/dev/ion", O_RDWR | O_CLOEXEC);
  if (ion < 0) return perror("/dev/ion"), 1;
  for (int i = 0; i < buffers; ++i) {
    if (allocate(ion, bytes) < 0) return perror("ALLOC"), 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  const char *const what = argc > 1 ? argv[1] : "";
  if (argc == 4 && strcmp(what, "leak") == 0) return leak(atoi(argv[2]), strtoull(argv[3], NULL, 0));
  if (argc == 2 && strcmp(what, "close") == 0) {
    const int ion = open("/dev/ion", O_RDWR), buffer = allocate(ion, 4096);
    return buffer < 0 || close(buffer) != 0 || close(ion) != 0;
  }
  if (argc == 2 && strcmp(what, "wait") == 0) {
    signal(SIGTERM, count), signal(SIGINT, count);
    sigset_t both, before;
    sigemptyset(&both), sigaddset(&both, SIGTERM), sigaddset(&both, SIGINT);
    sigprocmask(SIG_BLOCK, &both, &before);
    puts("ready"), fflush(stdout);
    while (came == 0) sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    usleep(100 * 1000);
    return 4 + came;
  }
  if (argc == 3 && strcmp(what, "signal") == 0) return kill(getpid(), atoi(argv[2])), 1;
  for (int i = 1; i < argc; ++i) printf("[%s]", argv[i]);
  return puts(""), 0;
}
