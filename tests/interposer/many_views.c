// many_views: a program for ION of Qualcomm's Linux 3.4, early or late, that has as many buffers mapped at once as a process
// may. It knows nothing of Freestone, says what went wrong on stderr, and ends with 0 where all held.
#include <stddef.h>

struct ion_allocation_data {  // the late one's; the early one has no heap_mask, and its flags are the heaps
  size_t len;
  size_t align;
  unsigned int heap_mask;
  unsigned int flags;
  struct ion_handle *handle;
};
#include "ion_msm.h"

struct ion_allocation_data_early {
  size_t len;
  size_t align;
  unsigned int flags;
  ion_user_handle_t handle;
};
#define ION_IOC_ALLOC_EARLY _IOWR('I', 0, struct ion_allocation_data_early)
#define ION_FLAG_CACHED (1U << 0)

enum { buffers = 1500, most = 4096 };
static int is_early;
static const unsigned int vmalloc = ION_HEAP(30);

static int allocate(int ion, size_t length, unsigned int heaps, ion_user_handle_t *handle) {
  struct ion_allocation_data late = {.len = length, .align = PAGE, .heap_mask = heaps, .flags = ION_FLAG_CACHED};
  struct ion_allocation_data_early early = {.len = length, .align = PAGE, .flags = heaps};
  const int result = is_early ? ioctl(ion, ION_IOC_ALLOC_EARLY, &early) : ioctl(ion, ION_IOC_ALLOC, &late);
  *handle = is_early ? early.handle : late.handle;
  return result;
}

static int clients[2];  // each has at most 1024 handles, so half of the buffers
static ion_user_handle_t handles[buffers];
static char *views[most];  // of all buffers, and then of the first of them once more

static int buffer_of(int place) { return place < buffers ? place : 0; }
static int client_of(int place) { return clients[buffer_of(place) % 2]; }
// A view of the buffer of that place.
static char *map_one(int place) {
  SHARE(fd, client_of(place), handles[buffer_of(place)]);
  char *const at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int why = errno;
  close(fd);
  errno = why;
  return at;
}
static char letter(int place) { return (char)('a' + buffer_of(place) % 26); }
// Whether each view shows its buffer, from that one on, `step` after `step`.
static void all_show(int first, int step, const char *when) {
  int count = 0;
  for (int place = first; place < most; place += step) {
    int number = -1;
    memcpy(&number, views[place] + 8, sizeof number);
    count += number != buffer_of(place) || views[place][0] != letter(place) || views[place][PAGE - 1] != letter(place);
  }
  if (count != 0) SAY("%d views show something else, %s\n", count, when);
}
// A third at a time, and the last first: what is left shows what it did.
static void unmap_all(const char *who) {
  for (int third = 0; third < 3; ++third) {
    for (int place = most - 1 - (most - 1 - third) % 3; place >= 0; place -= 3) CHECK(munmap(views[place], PAGE) == 0);
    for (int rest = third + 1; rest < 3; ++rest) all_show(rest, 3, who);
  }
}

int main(int argc, char **argv) {
  alarm(100);
  is_early = argc > 1 && strcmp(argv[1], "early") == 0;
  for (int place = 0; place < 2; ++place) clients[place] = open_ion();
  for (int place = 0; place < buffers; ++place) NEED(allocate(client_of(place), PAGE, vmalloc, &handles[place]) == 0);
  SHARE(first, clients[0], handles[0]);
  for (int place = 0; place < most; ++place) {
    views[place] = place < buffers ? map_one(place) : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, first, 0);
    NEED(views[place] != MAP_FAILED);
  }
  IS(close(first), 0);
  CHECK(map_one(0) == MAP_FAILED && errno == ENOMEM);
  for (int place = 0; place < buffers; ++place) {
    memset(views[place], letter(place), PAGE);
    memcpy(views[place] + 8, &place, sizeof place);
  }
  all_show(0, 1, "when all are mapped");
  for (int place = 0; place < most; place += 2) CHECK(mprotect(views[place], PAGE, PROT_READ) == 0);
  CHECK(munmap(views[most / 2], PAGE) == 0);
  views[most / 2] = map_one(most / 2);  // there is room for one again
  NEED(views[most / 2] != MAP_FAILED);
  all_show(0, 1, "when one was mapped again");

  const pid_t child = fork();
  NEED(child >= 0);
  if (child == 0) {
    wrong = 0;
    alarm(100);
    all_show(0, 1, "in a child");
    CHECK(map_one(0) == MAP_FAILED && errno == ENOMEM);
    unmap_all("in a child that unmaps others");
    CHECK(map_one(0) != MAP_FAILED);
    _exit(wrong != 0);
  }
  int status = -1;
  IS(waitpid(child, &status, 0), child);
  IS(status, 0);
  all_show(0, 1, "when a child has unmapped its own");
  unmap_all("when others are unmapped");
  for (int place = 0; place < buffers; ++place) {
    char *const at = map_one(place);
    CHECK(at != MAP_FAILED && at[0] == letter(place) && munmap(at, PAGE) == 0);
    IS(give_back(client_of(place), handles[place]), 0);
  }
  close(clients[0]), close(clients[1]);
  if (wrong == 0) puts("many_views: all well");
  return wrong != 0;
}
