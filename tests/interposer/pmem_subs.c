// PMEM's subs, in programs of two processes and more: what is granted is seen, and nothing else, whatever either side does, and in
// which order. It knows nothing of Freestone, says what is wrong on stderr, and ends with 0 where all held.
#include "pmem_calls.h"
#include "processes.h"

#include <signal.h>

enum { pages = 4 };
static const char *const region = "pmem_audio";
static size_t total;  // that the region has

// What is in a page: '.' zeros, a letter where all of it is that letter, '?' where only some is, as while it becomes zeros, '!' anything
// else.
static char seen_page(const volatile char *at) {
  char letter = 0;
  size_t zeros = 0;
  for (size_t byte = 0; byte < PAGE; ++byte) {
    const char one = at[byte];
    if (one != 0 && letter != 0 && one != letter) return '!';
    one == 0 ? (void)++zeros : (void)(letter = one);
  }
  return zeros == PAGE ? '.' : zeros == 0 ? letter : '?';
}
static const char *seen_pages(const volatile char *at, int count) {
  static char text[256];
  for (int page = 0; page < count; ++page) text[page] = seen_page(at + page * PAGE);
  text[count] = 0;
  return text;
}
#define SHOWS(at, letters)                                                                               \
  do {                                                                                                   \
    const char *const now = seen_pages(at, (int)strlen(letters));                                        \
    if (strcmp(now, letters) != 0) SAY("%s is seen, and not %s\n", now, letters);                        \
  } while (0)
#define SOON_SHOWS(at, letters) EVENTUALLY(strcmp(seen_pages(at, (int)strlen(letters)), letters) == 0)
static int grants(int sub, size_t first, size_t count) { return grant(sub, PMEM_MAP, first * PAGE, count * PAGE); }
static int withdraws(int sub, size_t first, size_t count) { return grant(sub, PMEM_UNMAP, first * PAGE, count * PAGE); }

// A mapped master, whose page 0 has an 'a' in each byte, 1 a 'b', ...; and a sub of it.
struct pair {
  int master, sub;
  char *memory;
};
static char *map_letters(int fd, int count) {
  char *const memory = map(fd, (size_t)count * PAGE);
  NEED(memory != MAP_FAILED);
  for (int page = 0; page < count; ++page) memset(memory + page * PAGE, 'a' + page % 26, PAGE);
  return memory;
}
static struct pair open_pair(void) {
  struct pair pair = {open_region(region), open_region(region), NULL};
  pair.memory = map_letters(pair.master, pages);
  NEED(ioctl(pair.sub, PMEM_CONNECT, pair.master) == 0);
  return pair;
}
static void end_master(struct pair *pair) {
  CHECK(munmap(pair->memory, pages * PAGE) == 0);
  CHECK(close(pair->master) == 0);
}
static void close_pair(struct pair *pair) {
  end_master(pair);
  CHECK(close(pair->sub) == 0);
}
// All that was taken is back.
static void is_whole(void) {
  const int fd = open_region(region);
  EVENTUALLY(room_of(fd).total == total);
  IS(room_of(fd).largest, total);
  close(fd);
}

// --- all orders ---

// A client, which does as it is told and says what it sees: letters, "-" where it has nothing mapped, "!" and errno where mmap fails.
static void client(int socket) {
  alarm(100);
  int fd = -1;
  char *at = MAP_FAILED;
  for (;;) {
    char what, text[16] = "-";
    receive_bytes(socket, &what, 1);
    if (what == 'q') return;
    if (what == 'f') fd = receive_fd(socket);
    if (what == 'm' && (at = map(fd, pages * PAGE)) == MAP_FAILED) snprintf(text, sizeof text, "!%d", errno);
    if (what == 'u' && at != MAP_FAILED) {
      CHECK(munmap(at, pages * PAGE) == 0);
      at = MAP_FAILED;
    }
    if (what == 'c') CHECK(close(fd) == 0);
    if (at != MAP_FAILED) snprintf(text, sizeof text, "%s", seen_pages(at, pages));
    send_bytes(socket, text, sizeof text);
  }
}
static const char *tell(int socket, char what) {
  static char text[16];
  send_bytes(socket, &what, 1);
  receive_bytes(socket, text, sizeof text);
  return text;
}

enum event { maps, grants_some, withdraws_some, unmaps, owner_unmaps, owner_closes, closes, events };
struct order {
  struct pair pair;
  int client;
  unsigned done;  // bits of events
  int is_granted, is_refused;
  char text[events + 1];
};
static int has(const struct order *order, enum event event) { return (order->done >> event & 1) != 0; }
static int is_ended(const struct order *order) { return has(order, owner_unmaps) && has(order, owner_closes); }

static void grant_or_withdraw(struct order *order, enum event event) {
  const int is_gone = has(order, unmaps) && !order->is_refused, is_grant = event == grants_some;
  errno = 0;
  const int got = is_grant ? grants(order->pair.sub, 1, 2) : withdraws(order->pair.sub, 1, 2), why = errno;
  const int may = is_gone || (!has(order, owner_closes) && (is_grant || order->is_granted));
  if (got != (may ? 0 : -1) || (!may && why != EINVAL)) SAY("%s: %d with errno %d\n", order->text, got, why);
  if (may && !is_gone) order->is_granted = is_grant;
}
static void act(struct order *order, enum event event) {
  switch (event) {
    case maps: order->is_refused = tell(order->client, 'm')[0] == '!'; break;
    case grants_some:
    case withdraws_some: grant_or_withdraw(order, event); break;
    case unmaps: tell(order->client, 'u'); break;
    case owner_unmaps: CHECK(munmap(order->pair.memory, pages * PAGE) == 0); break;
    case owner_closes: CHECK(close(order->pair.master) == 0); break;
    case closes: tell(order->client, 'c'); break;
    case events: break;
  }
}
// The owner's end is told to others a little later: until then they see zeros or his bytes, and nothing else.
static void look(struct order *order) {
  const int is_mapped = has(order, maps) && !has(order, unmaps) && !order->is_refused;
  const char *const wanted = !is_mapped ? "-" : order->is_granted && !is_ended(order) ? ".bc." : "....";
  const char *now = tell(order->client, 's');
  for (int turn = 0; turn < 1000 && is_ended(order) && strcmp(now, wanted) != 0 && strpbrk(now, "!ad") == NULL; ++turn) {
    usleep(1000);
    now = tell(order->client, 's');
  }
  if (strcmp(now, wanted) != 0) SAY("%s: %s is seen, and not %s\n", order->text, now, wanted);
}
static void run_order(int client, const enum event *all) {
  struct order order = {.pair = open_pair(), .client = client};
  send_bytes(client, "f", 1);
  send_fd(client, order.pair.sub);
  char answer[16];
  receive_bytes(client, answer, sizeof answer);
  for (int at = 0; at < events; ++at) {
    order.text[at] = "mgwuUCc"[all[at]];
    const int was_ended = is_ended(&order);
    act(&order, all[at]);
    order.done |= 1U << all[at];
    if (all[at] == maps && order.is_refused != was_ended) SAY("%s: mmap is%s refused\n", order.text, was_ended ? " not" : "");
    look(&order);
  }
  CHECK(close(order.pair.sub) == 0);
}
// A client maps once, before it unmaps and before it closes.
static int is_possible(const enum event *all) {
  int place[events];
  for (int at = 0; at < events; ++at) place[all[at]] = at;
  return place[maps] < place[unmaps] && place[maps] < place[closes];
}
// All of which the first `count` are as they are. How many there were.
static int run_orders(int client, enum event *all, int count) {
  if (count == events) return is_possible(all) && (run_order(client, all), 1);
  int found = 0;
  for (int at = count; at < events && wrong < 20; ++at) {
    const enum event kept = all[count];
    all[count] = all[at], all[at] = kept;
    found += run_orders(client, all, count + 1);
    all[at] = all[count], all[count] = kept;
  }
  return found;
}
static void all_orders(void) {
  enum event all[events];
  for (int at = 0; at < events; ++at) all[at] = (enum event)at;
  const struct child child = start(client);
  IS(run_orders(child.socket, all, 0), 1680);
  send_bytes(child.socket, "q", 1);
  wait_for(child);
  is_whole();
}

// --- what is granted ---

static void overlapping(void) {
  struct pair pair = open_pair();
  CHECK(grants(pair.sub, 0, 2) == 0);
  char *const at = map(pair.sub, pages * PAGE);
  NEED(at != MAP_FAILED);
  SHOWS(at, "ab..");
  CHECK(grants(pair.sub, 1, 2) == 0 && grants(pair.sub, 1, 2) == 0);
  SHOWS(at, "abc.");
  CHECK(withdraws(pair.sub, 0, 2) == 0);
  SHOWS(at, ".bc.");
  CHECK(grants(pair.sub, 0, 4) == 0);
  SHOWS(at, "abcd");
  CHECK(withdraws(pair.sub, 1, 2) == 0);  // both
  SHOWS(at, "abcd");
  FAILS(withdraws(pair.sub, 1, 2), EINVAL);
  FAILS(withdraws(pair.sub, 0, 3), EINVAL);
  CHECK(withdraws(pair.sub, 0, 4) == 0);
  SHOWS(at, "....");
  // What is written where nothing is granted reaches nobody; what is granted is the owner's own.
  memset(at, 'x', pages * PAGE);
  SHOWS(pair.memory, "abcd");
  CHECK(grants(pair.sub, 1, 1) == 0);
  SHOWS(at, "xbxx");
  memset(at, 'y', pages * PAGE);
  SHOWS(pair.memory, "aycd");
  CHECK(withdraws(pair.sub, 1, 1) == 0);
  SHOWS(at, "y.yy");
  CHECK(munmap(at, pages * PAGE) == 0);
  close_pair(&pair);
}

static void wrong_arguments(void) {
  struct pair pair = open_pair();
  const size_t high = (size_t)0 - PAGE;
  const struct pmem_region refused[] = {{1, PAGE},           {0, PAGE + 1},        {PAGE / 2, PAGE / 2}, {0, 5 * PAGE},  {5 * PAGE, PAGE},
                                        {4 * PAGE, PAGE},    {3 * PAGE, 2 * PAGE}, {high, PAGE},         {PAGE, high},   {high, high},
                                        {high, 2 * PAGE},    {2 * PAGE, high},     {0, high},            {high / 2 + 1, PAGE}};
  for (int is_mapped = 0; is_mapped < 2; ++is_mapped) {
    char *const at = is_mapped ? map(pair.sub, pages * PAGE) : MAP_FAILED;
    for (size_t one = 0; one < sizeof refused / sizeof *refused; ++one) {
      struct pmem_region range = refused[one];
      FAILS(ioctl(pair.sub, PMEM_MAP, &range), EINVAL);
      FAILS(ioctl(pair.sub, PMEM_UNMAP, &range), EINVAL);
      IS(range.offset, refused[one].offset);
    }
    for (size_t offset = 0; offset < 9; ++offset) CHECK(grants(pair.sub, offset, 0) == 0 && withdraws(pair.sub, offset, 0) == 0);
    FAILS(ioctl(pair.sub, PMEM_MAP, (void *)8), EFAULT);
    FAILS(ioctl(pair.sub, PMEM_UNMAP, NULL), EFAULT);
    FAILS(withdraws(pair.sub, 1, 1), EINVAL);
    if (is_mapped) SHOWS(at, "....");
    if (is_mapped) CHECK(munmap(at, pages * PAGE) == 0);
  }
  close_pair(&pair);
}

// Nothing beyond what is mapped is touched.
static void smaller_than_a_grant(void) {
  for (size_t mapped = 1; mapped < pages; ++mapped) {
    struct pair pair = open_pair();
    char *const room = mmap(NULL, (pages + 2) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(room, 'G', (pages + 2) * PAGE);
    if (mapped != 2) CHECK(grants(pair.sub, 0, pages) == 0);  // before, and after
    char *const at = mmap(room + PAGE, mapped * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pair.sub, 0);
    NEED(at == room + PAGE);
    if (mapped == 2) CHECK(grants(pair.sub, 0, pages) == 0);
    SHOWS(room, mapped == 1 ? "GaGGGG" : mapped == 2 ? "GabGGG" : "GabcGG");
    CHECK(grants(pair.sub, mapped, 1) == 0);
    CHECK(withdraws(pair.sub, 0, pages) == 0);
    SHOWS(room, mapped == 1 ? "G.GGGG" : mapped == 2 ? "G..GGG" : "G...GG");
    end_master(&pair);
    SOON_SHOWS(room, mapped == 1 ? "G.GGGG" : mapped == 2 ? "G..GGG" : "G...GG");
    CHECK(munmap(room, (pages + 2) * PAGE) == 0);
    CHECK(close(pair.sub) == 0);
  }
  is_whole();
}

static void mapped_once(void) {
  struct pair pair = open_pair();
  FAILS(map(pair.sub, (pages + 1) * PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  FAILS(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, pair.sub, (off_t)PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  char *const at = map(pair.sub, PAGE);
  NEED(at != MAP_FAILED);
  FAILS(map(pair.sub, PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  CHECK(munmap(at, PAGE) == 0);
  FAILS(map(pair.sub, PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  CHECK(grants(pair.sub, 0, 1) == 0 && grants(pair.sub, 0, 1) == 0 && withdraws(pair.sub, 3, 1) == 0);  // to nobody
  close_pair(&pair);
  is_whole();
}

// --- who may grant ---

static void by_another(int socket) {  // who has the sub alone
  const int sub = receive_fd(socket);
  FAILS(grants(sub, 0, 1), EINVAL);
  FAILS(withdraws(sub, 0, 1), EINVAL);
  CHECK(grants(sub, 0, 0) == 0);
  pass(socket);
  await(socket);
}
static void owners(void) {
  const struct child child = start(by_another);
  struct pair pair = open_pair();
  send_fd(child.socket, pair.sub);
  await(child.socket);
  CHECK(grants(pair.sub, 0, 1) == 0);
  const int elsewhere = fcntl(pair.master, F_DUPFD_CLOEXEC, 100);
  CHECK(close(pair.master) == 0);  // moved
  FAILS(grants(pair.sub, 1, 1), EINVAL);
  FAILS(withdraws(pair.sub, 0, 1), EINVAL);
  CHECK(open_region(region) == pair.master);  // another file under that number
  FAILS(grants(pair.sub, 1, 1), EINVAL);
  CHECK(dup2(open("/dev/null", O_RDWR), pair.master) == pair.master);
  FAILS(grants(pair.sub, 1, 1), EINVAL);
  CHECK(dup2(pair.sub, pair.master) == pair.master);
  FAILS(grants(pair.sub, 1, 1), EINVAL);
  CHECK(dup2(elsewhere, pair.master) == pair.master);
  CHECK(grants(pair.sub, 1, 1) == 0 && withdraws(pair.sub, 0, 1) == 0);
  CHECK(ioctl(pair.sub, PMEM_CONNECT, elsewhere) == 0);  // by this number from here on
  CHECK(close(pair.master) == 0);
  CHECK(withdraws(pair.sub, 1, 1) == 0);
  pair.master = elsewhere;
  CHECK(grants(pair.master, 0, 1) == 0 && withdraws(pair.master, 0, 1) == 0);  // a mapped master is its own
  pass(child.socket);
  wait_for(child);
  close_pair(&pair);
  is_whole();
}

// --- ends ---

static int never_mapped;
static void dies(int socket) {
  const int sub = receive_fd(socket);
  if (!never_mapped) {
    char *const at = map(sub, pages * PAGE);
    SHOWS(at, "a...");
    CHECK(wrong == 0);
  }
  pass(socket);
  for (;;) pause();
}
static void dead_clients(void) {
  for (int turn = 0; turn < 12; ++turn) {
    never_mapped = turn % 3 == 0;
    const struct child child = start(dies);
    struct pair pair = open_pair();
    CHECK(grants(pair.sub, 0, 1) == 0);
    send_fd(child.socket, pair.sub);
    await(child.socket);
    if (turn % 2 == 0) CHECK(grants(pair.sub, 1, 1) == 0);
    CHECK(kill(child.pid, SIGKILL) == 0 && waitpid(child.pid, NULL, 0) == child.pid);
    close(child.socket);
    CHECK(grants(pair.sub, 2, 1) == 0);
    CHECK(withdraws(pair.sub, 2, 1) == 0);
    if (!never_mapped) EVENTUALLY(withdraws(pair.sub, 3, 1) == 0);  // from then on whatever it is
    if (turn % 2 == 0) CHECK(withdraws(pair.sub, 1, 1) == 0);
    close_pair(&pair);
  }
  is_whole();
}

// A child has what its parent had, until nobody is the owner any more.
static void forked_owner(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, pages * PAGE);
  CHECK(grants(pair.sub, 0, 2) == 0);
  int ends[2];
  NEED(pipe(ends) == 0);
  const pid_t owner = fork();
  if (owner == 0) {
    char byte;
    wrong = 0;
    close(ends[1]);
    CHECK(munmap(at, pages * PAGE) == 0);
    CHECK(read(ends[0], &byte, 1) == 1);
    SHOWS(pair.memory, "abcd");
    CHECK(grants(pair.sub, 3, 1) == 0);  // the same file under the same number
    CHECK(read(ends[0], &byte, 1) == 0);
    _exit(wrong != 0);
  }
  close(ends[0]);
  end_master(&pair);
  SHOWS(at, "ab..");
  FAILS(grants(pair.sub, 2, 1), EINVAL);
  CHECK(write(ends[1], "", 1) == 1);
  SOON_SHOWS(at, "ab.d");
  close(ends[1]);
  wait_for((struct child){owner, -1});
  SOON_SHOWS(at, "....");
  CHECK(munmap(at, pages * PAGE) == 0 && close(pair.sub) == 0);
  is_whole();
}
static void forked_client(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, pages * PAGE);
  CHECK(grants(pair.sub, 0, 2) == 0);
  int ends[2];
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t client = fork();
  if (client == 0) {
    wrong = 0;
    close(pair.master), munmap(pair.memory, pages * PAGE);
    const char *const first = seen_pages(at, pages);
    CHECK(strcmp(first, "ab..") == 0 || strcmp(first, "....") == 0);
    pass(ends[0]), await(ends[0]);
    const char *const second = seen_pages(at, pages);
    CHECK(strcmp(second, ".b..") == 0 || strcmp(second, "....") == 0);
    FAILS(grants(pair.sub, 2, 1), EINVAL);
    pass(ends[0]), await(ends[0]);
    SOON_SHOWS(at, "....");
    _exit(wrong != 0);
  }
  await(ends[1]);
  CHECK(grants(pair.sub, 1, 1) == 0 && withdraws(pair.sub, 0, 2) == 0);
  SHOWS(at, ".b..");
  pass(ends[1]), await(ends[1]);
  CHECK(munmap(at, pages * PAGE) == 0);
  end_master(&pair);
  pass(ends[1]);
  wait_for((struct child){client, ends[1]});
  close(ends[0]), close(pair.sub);
  is_whole();
}

// A mapping in pieces, some of them elsewhere.
static void in_pieces(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, pages * PAGE);
  CHECK(munmap(at + PAGE, PAGE) == 0);
  char *const hole = mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  memset(hole, 'H', PAGE);
  char *const place = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(place, 'P', 2 * PAGE);
  CHECK(mremap(at + 3 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
  CHECK(grants(pair.sub, 0, pages) == 0);
  CHECK(is_all(at, PAGE, 'a') && is_all(at + PAGE, PAGE, 'H') && is_all(at + 2 * PAGE, PAGE, 'c'));
  SHOWS(place, "dP");
  CHECK(mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
  CHECK(munmap(at, PAGE) == 0 && munmap(at + 2 * PAGE, PAGE) == 0);
  CHECK(withdraws(pair.sub, 0, pages) == 0);
  SHOWS(place, ".P");
  CHECK(grants(pair.sub, 2, 2) == 0);
  SHOWS(place, "dP");
  CHECK(munmap(place, PAGE) == 0);  // the last of it
  CHECK(withdraws(pair.sub, 1, 1) == 0);
  CHECK(munmap(hole, PAGE) == 0 && munmap(place + PAGE, PAGE) == 0);
  // And a master's.
  char *const other = map(pair.master, pages * PAGE);
  CHECK(munmap(pair.memory + PAGE, PAGE) == 0);
  char *const room = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *const moved = mremap(pair.memory + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
  CHECK(moved == room);
  moved[0] = 'm';
  CHECK(other[2 * PAGE] == 'm' && munmap(other, pages * PAGE) == 0);
  CHECK(munmap(pair.memory, PAGE) == 0 && close(pair.master) == 0 && close(pair.sub) == 0);
  SOON_SHOWS(moved + PAGE, "d");
  CHECK(munmap(moved, 2 * PAGE) == 0);
  is_whole();
}

// The master's end ends all of its subs: mapped, not mapped, a child's, another process'; the next owner has zeros, and they none
// of his.
static void others_sub(int socket) {
  const int sub = receive_fd(socket);
  char *const at = map(sub, pages * PAGE);
  SHOWS(at, "ab..");
  pass(socket), await(socket);
  SOON_SHOWS(at, "....");
  memset(at, 'w', pages * PAGE);
  pass(socket), await(socket);
  SHOWS(at, "wwww");
}
static void revoked(void) {
  const struct child child = start(others_sub);
  struct pair pair = open_pair();
  int subs[3];
  for (int one = 0; one < 3; ++one) {
    subs[one] = open_region(region);
    CHECK(ioctl(subs[one], PMEM_CONNECT, pair.master) == 0 && grants(subs[one], 0, 2) == 0);
  }
  CHECK(grants(pair.sub, 0, 2) == 0);
  send_fd(child.socket, pair.sub);
  await(child.socket);
  char *const at = map(subs[0], pages * PAGE);
  SHOWS(at, "ab..");
  const pid_t fork_of_it = fork();
  if (fork_of_it == 0) {
    close(pair.master), munmap(pair.memory, pages * PAGE);
    for (int turn = 0; turn < 2000 && strcmp(seen_pages(at, pages), "....") != 0; ++turn) usleep(5000);
    _exit(strcmp(seen_pages(at, pages), "....") != 0);
  }
  const struct pmem_region before = region_of(pair.master, PMEM_GET_PHYS);
  end_master(&pair);
  SOON_SHOWS(at, "....");
  wait_for((struct child){fork_of_it, -1});
  pass(child.socket), await(child.socket);
  const int next = open_region(region);
  char *const memory = map(next, pages * PAGE);
  SHOWS(memory, "....");
  IS(region_of(next, PMEM_GET_PHYS).offset, before.offset);
  memset(memory, 'S', pages * PAGE);
  SHOWS(at, "....");
  FAILS(map(subs[1], PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  FAILS(grants(subs[1], 0, 1), EINVAL);
  FAILS(grants(subs[0], 0, 1), EINVAL);
  FAILS(ioctl(subs[2], PMEM_ALLOCATE, PAGE), EINVAL);
  memset(at, 'x', pages * PAGE);
  SHOWS(memory, "SSSS");
  pass(child.socket);
  wait_for(child);
  SHOWS(memory, "SSSS");
  CHECK(munmap(at, pages * PAGE) == 0 && munmap(memory, pages * PAGE) == 0);
  for (int one = 0; one < 3; ++one) close(subs[one]);
  close(next), close(pair.sub);
  is_whole();
}

// --- CONNECT ---

static void connects(void) {
  struct pair pair = open_pair();
  const int fresh = open_region(region), other = open_region("pmem_adsp"), null = open("/dev/null", O_RDWR), empty = open_region(region);
  char *const others = map(other, PAGE);
  int ends[2];
  NEED(pipe(ends) == 0 && others != MAP_FAILED);
  FAILS(ioctl(fresh, PMEM_CONNECT, -1), EBADF);
  FAILS(ioctl(fresh, PMEM_CONNECT, 12345), EBADF);
  FAILS(ioctl(fresh, PMEM_CONNECT, fresh), EINVAL);
  const int same = dup(fresh);
  FAILS(ioctl(fresh, PMEM_CONNECT, same), EINVAL);
  FAILS(ioctl(fresh, PMEM_CONNECT, null), EINVAL);
  FAILS(ioctl(fresh, PMEM_CONNECT, ends[0]), EINVAL);
  FAILS(ioctl(fresh, PMEM_CONNECT, empty), EINVAL);   // which has no allocation
  FAILS(ioctl(fresh, PMEM_CONNECT, other), EINVAL);   // another region's
  FAILS(ioctl(pair.master, PMEM_CONNECT, pair.sub), EINVAL);
  const int own = open_region(region);  // a master may be no sub
  NEED(ioctl(own, PMEM_ALLOCATE, PAGE) >= 0);
  FAILS(ioctl(own, PMEM_CONNECT, pair.master), EINVAL);
  FAILS(ioctl(pair.master, PMEM_CONNECT, own), EINVAL);
  FAILS(ioctl(pair.sub, PMEM_CONNECT, own), EINVAL);
  IS(size_of(fresh), 0);
  // Once more is nothing; a sub's sub is granted by whoever has that sub.
  for (int turn = 0; turn < 3; ++turn) CHECK(ioctl(pair.sub, PMEM_CONNECT, pair.master) == 0);
  FAILS(ioctl(pair.sub, PMEM_ALLOCATE, PAGE), EINVAL);
  IS(size_of(pair.sub), pages * PAGE);
  IS(region_of(pair.sub, PMEM_GET_PHYS).offset, region_of(pair.master, PMEM_GET_PHYS).offset);
  CHECK(ioctl(same, PMEM_CONNECT, pair.sub) == 0);
  CHECK(grants(fresh, 0, 1) == 0);
  char *const at = map(fresh, pages * PAGE);
  SHOWS(at, "a...");
  CHECK(ioctl(fresh, PMEM_CONNECT, pair.sub) == 0);
  CHECK(close(pair.sub) == 0);
  FAILS(grants(fresh, 1, 1), EINVAL);
  SHOWS(at, "a...");
  end_master(&pair);
  SOON_SHOWS(at, "....");
  CHECK(munmap(at, pages * PAGE) == 0 && munmap(others, PAGE) == 0);
  close(fresh), close(same), close(other), close(null), close(empty), close(own), close(ends[0]), close(ends[1]);
  is_whole();
}

// --- as gralloc has it ---

// All of a region through one master, which its owner divides: the smallest part that is enough, the first of these; neighbours that
// are free become one.
struct part {
  size_t first, count;
  int is_free;
};
static struct part parts[256] = {{0, 0, 0}};
static int part_count;

static void insert_part(int at, struct part part) {
  memmove(parts + at + 1, parts + at, (size_t)(part_count++ - at) * sizeof *parts);
  parts[at] = part;
}
static void join_next(int at) {
  if (at < 0 || at + 1 >= part_count || !parts[at].is_free || !parts[at + 1].is_free) return;
  parts[at].count += parts[at + 1].count;
  memmove(parts + at + 1, parts + at + 2, (size_t)(--part_count - at - 1) * sizeof *parts);
}
static int take_part(size_t count, size_t *first) {
  int best = -1;
  for (int at = 0; at < part_count; ++at) {
    if (parts[at].is_free && parts[at].count >= count && (best < 0 || parts[at].count < parts[best].count)) best = at;
  }
  if (best < 0) return -1;
  const size_t rest = parts[best].count - count;
  parts[best].count = count, parts[best].is_free = 0;
  if (rest != 0) insert_part(best + 1, (struct part){parts[best].first + count, rest, 1});
  return *first = parts[best].first, 0;
}
static void give_part(size_t first) {
  for (int at = 0; at < part_count; ++at) {
    if (parts[at].first != first) continue;
    parts[at].is_free = 1;
    join_next(at), join_next(at - 1);
    return;
  }
  SAY("page %zu is nobody's\n", first);
}

enum { surfaces = 6 };
struct surface {
  size_t first, count;
  int sub, letter, place;
  char *at;
};
// Everything of it but its own pages is zeros.
static int shows(const struct surface *surface, size_t all, char letter) {
  const char *const own = surface->at + surface->first * PAGE, *const behind = own + surface->count * PAGE;
  return is_all(surface->at, (size_t)(own - surface->at), 0) && is_all(own, surface->count * PAGE, letter) &&
         is_all(behind, all * PAGE - (size_t)(behind - surface->at), 0);
}
static void draws(int socket) {
  struct surface mine[surfaces] = {{.at = NULL}}, one;
  for (receive_bytes(socket, &one, sizeof one); one.place >= 0; receive_bytes(socket, &one, sizeof one)) {
    struct surface *const kept = &mine[one.place];
    if (kept->at == NULL) {
      *kept = one;
      kept->sub = receive_fd(socket);
      kept->at = map(kept->sub, total);
      NEED(kept->at != MAP_FAILED);
      CHECK(shows(kept, total / PAGE, (char)one.letter));
      memset(kept->at + one.first * PAGE, one.letter + 1, one.count * PAGE);
    } else {
      EVENTUALLY(shows(kept, total / PAGE, 0));
      CHECK(munmap(kept->at, total) == 0 && close(kept->sub) == 0);
      kept->at = NULL;
    }
    pass(socket);
  }
}
static void share_one(struct surface *surface, int master, char *memory, int socket) {
  memset(memory + surface->first * PAGE, surface->letter, surface->count * PAGE);
  surface->sub = open_region(region);
  CHECK(ioctl(surface->sub, PMEM_CONNECT, master) == 0);
  CHECK(grants(surface->sub, surface->first, surface->count) == 0);
  send_bytes(socket, surface, sizeof *surface);
  send_fd(socket, surface->sub);
  await(socket);
  CHECK(is_all(memory + surface->first * PAGE, surface->count * PAGE, (char)(surface->letter + 1)));
}
static void take_back(struct surface *surface, int socket) {
  CHECK(withdraws(surface->sub, surface->first, surface->count) == 0);
  send_bytes(socket, surface, sizeof *surface);
  await(socket);
  CHECK(close(surface->sub) == 0);
  give_part(surface->first);
  surface->count = 0;
}
static void gralloc(void) {
  const struct child child = start(draws);
  const int master = open_region(region);
  char *const memory = map(master, total);
  NEED(memory != MAP_FAILED);
  IS(room_of(master).total, 0);
  parts[0] = (struct part){0, total / PAGE, 1}, part_count = 1;
  struct surface all[surfaces] = {{.count = 0}};
  unsigned random = 1;
  for (int turn = 0; turn < 60; ++turn) {
    random = random * 1103515245 + 12345;
    struct surface *const one = &all[(random >> 16) % surfaces];
    if (one->count != 0) {
      take_back(one, child.socket);
      continue;
    }
    *one = (struct surface){.count = 1 + (random >> 24) % 20, .letter = 'A' + turn % 50, .place = (int)(one - all)};
    if (take_part(one->count, &one->first) == 0) share_one(one, master, memory, child.socket);
    else one->count = 0;
  }
  for (int at = 0; at < surfaces; ++at) {
    if (all[at].count != 0) take_back(&all[at], child.socket);
  }
  IS(part_count, 1);
  send_bytes(child.socket, &(struct surface){.place = -1}, sizeof(struct surface));
  wait_for(child);
  CHECK(munmap(memory, total) == 0 && close(master) == 0);
  is_whole();
}

int main(void) {
  alarm(110);
  const int fd = open_region(region);
  total = room_of(fd).total;
  close(fd);
  overlapping();
  wrong_arguments();
  smaller_than_a_grant();
  mapped_once();
  owners();
  dead_clients();
  forked_owner();
  forked_client();
  in_pieces();
  revoked();
  connects();
  gralloc();
  all_orders();
  if (wrong == 0) puts("pmem_subs: all well");
  return wrong != 0;
}
