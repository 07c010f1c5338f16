// Who uses MMZ's node: threads, processes of one descriptor, and clients who clean nothing before they hand it in. It says what is
// wrong on stderr, and ends with 0 where all held.
#include "mmz_calls.h"

#include <pthread.h>
#include <signal.h>

#include "processes.h"

// --- threads of one descriptor ---

enum { threads = 4, turns = 16 };
static int fd;

static void run_threads(void *(*act)(void *)) {
  pthread_t all[threads];
  for (uintptr_t at = 0; at < threads; ++at) NEED(pthread_create(&all[at], NULL, act, (void *)at) == 0);
  for (int at = 0; at < threads; ++at) NEED(pthread_join(all[at], NULL) == 0);
}

// Each has blocks of his own, in which nobody else's bytes ever are.
static void one_turn(unsigned turn, char letter) {
  const size_t size = (1 + (turn + (unsigned)letter) % 5) * PAGE;
  const int is_cached = turn % 2 == 0;
  const unsigned long block = allocate(fd, size, "");
  char *const bytes = remap_as(fd, is_cached ? MMB_USER_REMAP_CACHED : MMB_USER_REMAP, block, READ_WRITE);
  NEED(bytes != NULL);
  CHECK(is_all(bytes, size, 0));
  memset(bytes, letter, size);
  IS(physical_of(fd, bytes + size - 4), (block + size - 4) | (unsigned long)is_cached);
  IS(flush(fd, block + 8, bytes + 8, size - 8), 0);
  CHECK(is_all(bytes, size, letter));
  if (turn % 3 == 0) FAILS(of(fd, MMB_FREE, block), EBUSY);
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  if (turn % 3 != 0) IS(of(fd, MMB_FREE, block), 0);
}
static void *owner(void *place) {
  for (unsigned turn = 0; turn < turns; ++turn) one_turn(turn, (char)('a' + (int)(uintptr_t)place));
  return NULL;
}

// All of them at once to one block.
static pthread_barrier_t together;
static unsigned long common;
static char *seen_at[threads];
static int answers[threads];
static void *together_on_one(void *place) {
  const uintptr_t at = (uintptr_t)place;
  for (int turn = 0; turn < turns; ++turn) {
    if (at == 0) common = allocate(fd, 2 * PAGE, "");
    pthread_barrier_wait(&together);
    seen_at[at] = remap(fd, common);
    CHECK(seen_at[at] != NULL);
    pthread_barrier_wait(&together);
    CHECK(seen_at[at] == seen_at[0]);
    FAILS(of(fd, MMB_FREE, common), EBUSY);
    pthread_barrier_wait(&together);
    IS(of(fd, MMB_USER_UNMAP, common), 0);
    pthread_barrier_wait(&together);
    FAILS(of(fd, MMB_ATTR, common), EPERM);  // the last of them freed it
    pthread_barrier_wait(&together);
  }
  return NULL;
}
static void *free_at_once(void *place) {
  const uintptr_t at = (uintptr_t)place;
  for (int turn = 0; turn < turns; ++turn) {
    if (at == 0) common = allocate(fd, PAGE, "");
    pthread_barrier_wait(&together);
    errno = 0;
    answers[at] = of(fd, MMB_FREE, common) == 0 ? 0 : errno;
    pthread_barrier_wait(&together);
    int freed = 0;
    for (int other = 0; other < threads; ++other) freed += answers[other] == 0;
    IS(freed, 1);
    CHECK(answers[at] == 0 || answers[at] == EPERM);
    pthread_barrier_wait(&together);
  }
  return NULL;
}
static void of_threads(void) {
  fd = open_mmz();
  NEED(pthread_barrier_init(&together, NULL, threads) == 0);
  run_threads(owner);
  run_threads(together_on_one);
  run_threads(free_at_once);
  IS(used_kib(), 0);
  close(fd);
}

// --- processes of one descriptor ---

// A child maps and unmaps; what it leaves is the descriptor's, and its end is nothing to its parent's blocks.
static unsigned long block;
static void uses(int socket) {
  char *const bytes = remap(fd, block);
  CHECK(is_all(bytes, PAGE, 'P'));
  bytes[0] = 'C';
  IS(physical_of(fd, bytes), block);
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  const unsigned long left = allocate(fd, PAGE, "");
  CHECK(remap(fd, left) != NULL);
  send_bytes(socket, &left, sizeof left);
}
static void child_comes_and_goes(void) {
  fd = open_mmz();
  block = allocate(fd, PAGE, "");
  char *bytes = remap(fd, block);
  memset(bytes, 'P', PAGE);
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  const struct child child = start(uses);
  unsigned long left = 0;
  receive_bytes(child.socket, &left, sizeof left);
  wait_for(child);
  bytes = remap(fd, block);
  CHECK(bytes[0] == 'C' && is_all(bytes + 1, PAGE - 1, 'P'));
  FAILS(of(fd, MMB_FREE, left), EBUSY);  // it was mapped, and is so for the descriptor
  IS(of(fd, MMB_USER_UNMAP, left), 0);
  FAILS(of(fd, MMB_FREE, left), EPERM);
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  IS(of(fd, MMB_FREE, block), 0);
  close(fd);
}

// A child's mapping keeps a block from others, though its parent unmapped it and closed the descriptor.
static char *bytes_of_both;
static void outlives(int socket) {
  close(fd);
  pass(socket), await(socket);
  CHECK(is_all(bytes_of_both, PAGE, 'P'));
}
static void child_outlives(void) {
  fd = open_mmz();
  block = allocate(fd, PAGE, "");
  bytes_of_both = remap(fd, block);
  memset(bytes_of_both, 'P', PAGE);
  const struct child child = start(outlives);
  await(child.socket);
  const int other = open_mmz();
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  close(fd);
  const unsigned long next = allocate(other, PAGE, "");
  CHECK(next != 0 && next != block);
  IS(of(other, MMB_FREE, next), 0);
  pass(child.socket);
  wait_for(child);
  EVENTUALLY(used_kib() == 0);
  const unsigned long again = allocate(other, PAGE, "");
  IS(again, block);
  char *const fresh = remap(other, again);
  CHECK(is_all(fresh, PAGE, 0));
  IS(of(other, MMB_USER_UNMAP, again), 0);
  IS(of(other, MMB_FREE, again), 0);
  close(other);
}

// What a child mapped is nothing that its parent unmaps, whatever he has at that address.
static void maps_there(int socket) {
  char *const bytes = remap(fd, block);
  memset(bytes, 'C', PAGE);
  send_bytes(socket, &bytes, sizeof bytes);
  await(socket);
  CHECK(is_all(bytes, PAGE, 'C'));
}
static void another_at_that_address(void) {
  fd = open_mmz();
  block = allocate(fd, PAGE, "");
  const struct child child = start(maps_there);
  char *there = NULL;
  receive_bytes(child.socket, &there, sizeof there);
  char *const own = mmap(there, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  CHECK(own == there || (own == MAP_FAILED && errno == EEXIST));  // or something of the program's is there already
  if (own == there) memset(own, 'M', PAGE);
  IS(of(fd, MMB_USER_UNMAP, block), 0);
  if (own == there) CHECK(is_all(own, PAGE, 'M') && munmap(own, PAGE) == 0);
  IS(of(fd, MMB_FREE, block), 0);
  CHECK(allocate(fd, PAGE, "") != block);  // the child sees it
  pass(child.socket);
  wait_for(child);
  close(fd);
}

// Who is killed leaves nothing.
static void waits(int socket) {
  const int own = open_mmz();
  for (int count = 0; count < 5; ++count) CHECK(remap(own, allocate(own, 2 * PAGE, "")) != NULL);
  allocate(own, PAGE, "");
  CHECK(wrong == 0);
  pass(socket);
  for (;;) pause();
}
static void killed_child(void) {
  EVENTUALLY(used_kib() == 0);
  const struct child child = start(waits);
  await(child.socket);
  IS(used_kib(), 44);
  CHECK(kill(child.pid, SIGKILL) == 0 && waitpid(child.pid, NULL, 0) == child.pid);
  close(child.socket);
  EVENTUALLY(used_kib() == 0);
}

// --- a client who cleans nothing ---

// Whatever is not asked of him is full of something, and so is what is behind his struct, where he says that it is longer.
struct client {
  const char *name;
  int filling, is_longer;
  long long told[128];
  int count;
};
static void note(struct client *client, long long what) {
  NEED(client->count < 128);
  client->told[client->count++] = what;
}
// Of the kernel's struct, which had its own counts behind the caller's fields; the fifth generation's had them elsewhere.
static size_t length_of(const struct client *client) {
  const size_t with_counts = sizeof(long) == 8 ? 136 : 96;
  return client->is_longer && GENERATION != 5 ? with_counts : sizeof(struct mmb_info);
}
static struct mmb_info blank(const struct client *client) {
  struct mmb_info info;
  memset(&info, client->filling, sizeof info);
  return info;
}
static int asks(struct client *client, unsigned long command, struct mmb_info *info) {
  char bytes[sizeof *info + 64];
  const unsigned long size = length_of(client), number = (command & ~0x3fff0000ul) | size << 16;
  memset(bytes, client->filling, sizeof bytes);
  memcpy(bytes, info, sizeof *info);
  errno = 0;
  const int result = ioctl(fd, number, bytes);
  note(client, result == 0 ? 0 : errno);
  memcpy(info, bytes, sizeof *info);
  for (size_t at = size; at < sizeof bytes; ++at) CHECK(bytes[at] == (char)client->filling);
  return result;
}
static unsigned long takes(struct client *client, unsigned long command, size_t size) {
  struct mmb_info info = blank(client);
  info.mmb_size = size, info.mmb_align = 0, info.gfp = 0;
  if (command != MMB_ALLOC) info.order = 0;
  strcpy(info.mmb_name, "unclean"), strcpy(info.mmz_name, "anonymous");
  asks(client, command, &info);
  note(client, (long long)info.phys_addr);
  return info.phys_addr;
}
static int asks_of(struct client *client, unsigned long command, unsigned long physical) {
  struct mmb_info info = blank(client);
  info.phys_addr = physical;
  return asks(client, command, &info);
}
static void looks(struct client *client, unsigned long physical) {
  struct mmb_info info = blank(client);
  info.phys_addr = physical;
  asks(client, MMB_ATTR, &info);
  note(client, (long long)info.phys_addr), note(client, (long long)info.mmb_size), note(client, (long long)info.mmb_align);
  note(client, info.mapped != NULL), note(client, (long long)info.w32), note(client, (long long)info.gfp);
  CHECK(strcmp(info.mmb_name, "unclean") == 0 && strcmp(info.mmz_name, "anonymous") == 0);
}
static char *maps(struct client *client, unsigned long command, unsigned long physical) {
  struct mmb_info info = blank(client);
  info.phys_addr = physical;
  info.w32 = (info.w32 & ~0xffffful) | READ_WRITE;
  NEED(asks(client, command, &info) == 0);
  return info.mapped;
}
static void finds(struct client *client, char *address) {
  struct mmb_info info = blank(client);
  info.mapped = address;
  asks(client, MMB_VIRT_GET_PHYS, &info);
  note(client, (long long)info.phys_addr);
}
#if GENERATION == 5
static void flushes(struct client *client, unsigned long command, unsigned long physical, char *address) {
  struct mmb_info info = blank(client);
  info.phys_addr = physical, info.mapped = address, info.mmb_size = PAGE;
  IS(asks(client, command, &info), 0);
}
#endif
static void lives(struct client *client, unsigned long alloc_command, unsigned long remap_command) {
  const unsigned long mine = takes(client, alloc_command, 2 * PAGE + 1);
  looks(client, mine);
  asks_of(client, MMB_USER_UNMAP, mine);
  char *const bytes = maps(client, remap_command, mine);
  memset(bytes, 'u', 3 * PAGE);
  CHECK(maps(client, remap_command, mine) == bytes);
  looks(client, mine);
  finds(client, bytes + PAGE);
  note(client, flush(fd, mine, bytes, 2 * PAGE));
#if GENERATION == 5
  flushes(client, MMB_FLUSH_RANGE, mine + PAGE, bytes + PAGE);
  flushes(client, MMB_CHECK_ADDRESS, mine + PAGE, blank(client).mapped);
#endif
  asks_of(client, MMB_USER_UNMAP, mine);
  asks_of(client, MMB_FREE, mine);
  looks(client, mine);
  asks_of(client, MMB_USER_UNMAP, mine);
  asks_of(client, MMB_ATTR, mine);
  asks_of(client, MMB_FREE, mine);
  const unsigned long next = takes(client, alloc_command, PAGE);
  IS(asks_of(client, MMB_FREE, next), 0);
}
static void is_like_a_clean_one(struct client *client) {
  static struct client clean = {.name = "clean"};
  clean.count = 0;
  fd = open_mmz();
  struct client *const both[] = {&clean, client};
  for (int at = 0; at < 2; ++at) {
    lives(both[at], MMB_ALLOC, MMB_USER_REMAP);
    lives(both[at], MMB_ALLOC, MMB_USER_REMAP_CACHED);
#if GENERATION != 5
    lives(both[at], MMB_ALLOC_V2, MMB_USER_REMAP);
#endif
  }
  close(fd);
  IS(client->count, clean.count);
  for (int at = 0; at < clean.count; ++at) {
    if (client->told[at] != clean.told[at]) SAY("%s: answer %d is %lld, and a clean client's %lld\n", client->name, at, client->told[at], clean.told[at]);
  }
}
static void unclean_clients(void) {
  static struct client clients[] = {{.name = "full of 0xa5", .filling = 0xa5},
                                    {.name = "full of 0xff", .filling = 0xff},
                                    {.name = "longer, full of 0xa5", .filling = 0xa5, .is_longer = 1},
                                    {.name = "longer, full of 0x01", .filling = 0x01, .is_longer = 1}};
  EVENTUALLY(used_kib() == 0);
  for (size_t at = 0; at < sizeof clients / sizeof *clients; ++at) is_like_a_clean_one(&clients[at]);
}

int main(void) {
  alarm(60);
  of_threads();
  child_comes_and_goes();
  child_outlives();
  another_at_that_address();
  killed_child();
  unclean_clients();
  return wrong != 0;
}
