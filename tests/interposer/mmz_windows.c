// MMZ's windows of physical addresses, on a board that has two. It knows nothing of Freestone, says what is wrong on stderr, and ends
// with 0 where all held.
#include "mmz_calls.h"

#include "processes.h"

#define NOT_MAPPED(what, why) FAILS((what) == MAP_FAILED ? -1 : 0, why)
#define BOTH (PROT_READ | PROT_WRITE)
static const unsigned long first = 0xe0000000, second = 0xe0010000;  // of 16 pages, and of one right behind them

static void bounds(void) {
  const int fd = open_mmz();
  NOT_MAPPED(map_at(fd, first, 16 * PAGE + 1, BOTH), EPERM);
  NOT_MAPPED(map_at(fd, first + 15 * PAGE, 2 * PAGE, BOTH), EPERM);  // and on, in the second
  NOT_MAPPED(map_at(fd, first - PAGE, 2 * PAGE, BOTH), EPERM);
  NOT_MAPPED(map_at(fd, second + PAGE, PAGE, BOTH), EPERM);
  NOT_MAPPED(map_at(fd, first, PAGE, PROT_READ | PROT_EXEC), EPERM);
  for (unsigned long command = 0; command < 3; ++command) {
    FAILS(of(fd, command == 0 ? MMB_ATTR : command == 1 ? MMB_FREE : MMB_USER_REMAP, first), EPERM);
  }
  close(fd);
}

static void child(int socket) {
  const int fd = open_mmz();
  char *const bytes = map_at(fd, first + 15 * PAGE, PAGE, BOTH);
  NEED(bytes != MAP_FAILED);
  CHECK(is_all(bytes, PAGE, 'w'));
  bytes[0] = 'c';
  pass(socket), await(socket);
}
static void memory(void) {
  int fd = open_mmz();
  char *const bytes = map_at(fd, first, 16 * PAGE, BOTH), *const page = map_at(fd, second, PAGE, BOTH);
  NEED(bytes != MAP_FAILED && page != MAP_FAILED);
  CHECK(is_all(bytes, 16 * PAGE, 0) && is_all(page, PAGE, 0));
  memset(bytes + 15 * PAGE, 'w', PAGE), page[0] = 'p';
  char *const again = map_at(fd, first + 15 * PAGE, PAGE, PROT_READ);
  CHECK(again != MAP_FAILED && is_all(again, PAGE, 'w'));
  FAILS(physical_of(fd, bytes) == 0 ? -1 : 0, EINVAL);  // no block's
  const struct child one = start(child);
  await(one.socket);
  IS(bytes[15 * PAGE], 'c');
  pass(one.socket);
  wait_for(one);
  const unsigned long block = allocate(fd, PAGE, "");
  CHECK(block != 0 && (block < first || block > second));
  munmap(bytes, 16 * PAGE), munmap(again, PAGE), munmap(page, PAGE);
  close(fd);

  fd = open_mmz();  // it stays, though nobody had it
  const char *const later = map_at(fd, first + 15 * PAGE, PAGE, PROT_READ);
  CHECK(later != MAP_FAILED && later[0] == 'c' && later[1] == 'w');
  close(fd);
}

#if GENERATION == 5
static int check(int fd, unsigned long physical, size_t size) {
  struct mmb_info info = {.phys_addr = physical, .mmb_size = size};
  return call(fd, MMB_BASE_CHECK_ADDR, &info);
}
static void told(void) {
  const int fd = open_mmz();
  IS(check(fd, first, 16 * PAGE), 0);
  FAILS(check(fd, first, 16 * PAGE + 1), EPERM);
  FAILS(check(fd, 0x1000, 1), EPERM);
  CHECK(reported(" map_mmz_zone:(0xE0000000, 0xE000FFFF) (0xE0010000, 0xE0010FFF)\n\n") != NULL);
  close(fd);
}
// This board does not isolate processes.
static void foreigner(int socket) {
  unsigned long block;
  receive_bytes(socket, &block, sizeof block);
  const int fd = open_mmz();
  const char *const bytes = map_at(fd, block, 2 * PAGE, PROT_READ);
  CHECK(bytes != MAP_FAILED && is_all(bytes, 2 * PAGE, 'x'));
  NOT_MAPPED(map_at(fd, block + PAGE, 2 * PAGE, PROT_READ), EINVAL);
}
static void open_to_all(void) {
  const struct child one = start(foreigner);
  const int fd = open_mmz();
  const unsigned long block = allocate(fd, 2 * PAGE, "");
  char *const bytes = remap(fd, block);
  NEED(bytes != NULL);
  memset(bytes, 'x', 2 * PAGE);
  CHECK(reported("share_all=1 pid[") != NULL);
  send_bytes(one.socket, &block, sizeof block);
  wait_for(one);
  close(fd);
}
#else
static void told(void) {}
static void open_to_all(void) {}
#endif

int main(void) {
  bounds();
  memory();
  told();
  open_to_all();
  return wrong != 0;
}
