// churn COUNT [SEED]: so many processes open /dev/ion, allocate and map, and are killed at any moment. In the end nothing
// of theirs is left. Says what went wrong on stderr, and ends with the number of such lines.
#include <fcntl.h>
#include <linux/types.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct ion_allocation_data {  // linux/ion.h, 4.12
  __u64 len;
  __u32 heap_id_mask, flags, fd, unused;
};
#define ION_IOC_ALLOC _IOWR('I', 0, struct ion_allocation_data)
enum { at_once = 8, heaps = 5 };
static const char *const heap_names[heaps] = {"system", "system_contig", "carveout", "chunk", "cma"};

static long number_in(const char *heap) {
  char path[128], text[32] = "";
  snprintf(path, sizeof path, "/sys/kernel/debug/ion/%s/num_of_buffers", heap);
  FILE *const file = fopen(path, "r");
  if (file == NULL) return -1;
  const int is_read = fgets(text, sizeof text, file) != NULL;
  fclose(file);
  return is_read ? atol(text) : -1;
}
static int allocate(int ion, unsigned long long bytes, unsigned heap) {
  struct ion_allocation_data data = {.len = bytes, .heap_id_mask = 1u << heap};
  return ioctl(ion, ION_IOC_ALLOC, &data) == 0 ? (int)data.fd : -1;
}

// Until it is killed.
static void victim(void) {
  const int ion = open("/dev/ion", O_RDWR);
  for (unsigned turn = 0;; ++turn) {
    const int buffer = allocate(ion, 12288, turn % heaps);
    char *const bytes = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
    if (bytes != MAP_FAILED) bytes[turn % 12288] = 1;
    if (turn % 3 == 0) close(buffer);
    if (turn % 4 == 0 && bytes != MAP_FAILED) munmap(bytes, 12288);
    if (turn % 16 == 15) dup(ion);
  }
}
static int nothing_is_left(void) {
  long left = 0;
  for (int heap = 0; heap < heaps; ++heap) left += number_in(heap_names[heap]) != 0;
  return left == 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "victim") == 0) victim();
  if (argc < 2) return 2;
  const int count = atoi(argv[1]);
  const unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 1;
  srand(seed);
  pid_t living[at_once] = {0};
  int killed = 0;
  for (int number = 0; number < count + at_once; ++number) {
    pid_t *const place = &living[number % at_once];
    if (*place > 0) {
      const struct timespec wait = {0, rand() % 500000};
      nanosleep(&wait, NULL);
      int status = 0;
      killed += kill(*place, SIGKILL) == 0 && waitpid(*place, &status, 0) == *place && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
      *place = 0;
    }
    if (number >= count) continue;
    *place = fork();
    if (*place < 0) return perror("fork"), 1;
    if (*place != 0) continue;
    if (number % 16 == 0) execl(argv[0], argv[0], "victim", (char *)NULL);
    victim();
  }
  int wrong = 0;
  if (killed != count) ++wrong, fprintf(stderr, "churn.c: %d of %d were killed\n", killed, count);
  for (int turn = 0; turn < 2000 && !nothing_is_left(); ++turn) usleep(5000);
  for (int heap = 0; heap < heaps; ++heap) {
    const long left = number_in(heap_names[heap]);
    if (left != 0) ++wrong, fprintf(stderr, "churn.c: %ld buffers of %s are left (seed %u)\n", left, heap_names[heap], seed);
  }
  const int ion = open("/dev/ion", O_RDWR), whole = allocate(ion, 32u << 20, 2);
  if (whole < 0) ++wrong, fprintf(stderr, "churn.c: the carveout is not whole (seed %u)\n", seed);
  close(whole), close(ion);
  if (wrong == 0) printf("fault=A15 seed=%u killed=%d leaked=0\n", seed, killed);
  return wrong;
}
