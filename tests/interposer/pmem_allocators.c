// PMEM's four allocators, as programs see them: what ALLOCATE returns, and what is left. google: with Google's numbering. It knows
// nothing of Freestone, says what is wrong on stderr, and ends with 0 where all held.
#include "pmem_calls.h"

#define PMEM_CACHE_FLUSH _IOW('p', 8, unsigned int)  // Google's

enum { most = 128 };

static int allocate(int fd, size_t length) { return ioctl(fd, PMEM_ALLOCATE, length); }
static int allocate_aligned(int fd, size_t size, unsigned align) {
  struct pmem_allocation wanted = {size, align};
  return ioctl(fd, PMEM_ALLOCATE_ALIGNED, &wanted);
}
#define LEFT(name, total_quanta, largest_quanta) left(__LINE__, name, total_quanta, largest_quanta)
static void left(int line, const char *name, size_t total_quanta, size_t largest_quanta) {
  const int fd = open_region(name);
  const struct pmem_freespace room = room_of(fd);
  if (room.total != total_quanta * PAGE || room.largest != largest_quanta * PAGE) {
    SAY("line %d: %zu and %zu pages of %s are left, and not %zu and %zu\n", line, (size_t)room.total / PAGE,
        (size_t)room.largest / PAGE, name, total_quanta, largest_quanta);
  }
  close(fd);
}

// A file with an allocation of so many pages, which must be at that place.
#define TAKE(name, quanta, index) take(__LINE__, name, quanta, index)
static int take(int line, const char *name, size_t quanta, int index) {
  const int fd = open_region(name), got = allocate(fd, quanta * PAGE);
  if (got != index) SAY("line %d: %zu pages of %s are at %d, and not at %d\n", line, quanta, name, got, index);
  return fd;
}
// There is no room for that, and it takes none.
static void refused(const char *name, size_t length) {
  const int fd = open_region(name);
  FAILS(allocate(fd, length), ENOMEM);
  IS(size_of(fd), 0);
  IS(region_of(fd, PMEM_GET_PHYS).offset, 0);
  close(fd);
}

// What all allocators have in common.
static void one_at_a_time(const char *name) {
  const int fd = open_region(name), other = open_region(name);
  const struct pmem_freespace room = room_of(fd);
  const size_t total = region_of(fd, PMEM_GET_TOTAL_SIZE).len;
  IS(room.total, total);
  for (size_t more = 1; more < (size_t)1 << 20; more *= 16) FAILS(allocate(fd, total + more), ENOMEM);
  FAILS(allocate(fd, ~(size_t)0), ENOMEM);
  FAILS(allocate(fd, ~(size_t)0 / 2 + 1), ENOMEM);
  FAILS(map(fd, total + PAGE) == MAP_FAILED ? -1 : 0, ENOMEM);
  IS(room_of(other).total, total);
  CHECK(allocate(fd, PAGE) >= 0);  // the file is as good as before
  FAILS(allocate(fd, PAGE), EINVAL);
  FAILS(allocate_aligned(fd, PAGE, 4096), EINVAL);
  CHECK(size_of(fd) >= PAGE && room_of(other).total < total);
  close(fd);
  IS(room_of(other).total, total);
  IS(room_of(other).largest, room.largest);
  close(other);
}
// Written, unmapped, mapped, closed; the next has zeros.
static void mapped(const char *name) {
  for (int turn = 0; turn < 3; ++turn) {
    const int fd = open_region(name);
    char *const bytes = map(fd, 3 * PAGE);
    CHECK(bytes != MAP_FAILED && is_all(bytes, 3 * PAGE, 0));
    CHECK(size_of(fd) >= 3 * PAGE);
    memset(bytes, 'o', 3 * PAGE);
    CHECK(munmap(bytes, 3 * PAGE) == 0);
    char *const again = map(fd, 2 * PAGE);
    CHECK(again != MAP_FAILED && is_all(again, 2 * PAGE, 'o'));
    CHECK(munmap(again, 2 * PAGE) == 0);
    close(fd);
  }
}

// --- alignments ---

static void alignments(const char *name, int is_bitmap) {
  const int fd = open_region(name);
  const unsigned none[] = {0, 1, 2, 3, 2048, 4095, 4097, 6144, 3 << 12, 2 << 20, 1 << 30, 1U << 31, ~0U};
  for (size_t at = 0; at < sizeof none / sizeof *none; ++at) FAILS(allocate_aligned(fd, PAGE, none[at]), EINVAL);
  FAILS(ioctl(fd, PMEM_ALLOCATE_ALIGNED, (void *)8), EFAULT);
  for (unsigned align = 8192; !is_bitmap && align <= 1 << 20; align *= 2) FAILS(allocate_aligned(fd, PAGE, align), EINVAL);
  IS(size_of(fd), 0);
  CHECK(allocate_aligned(fd, PAGE, 4096) >= 0);
  CHECK(size_of(fd) >= PAGE);
  close(fd);
}
// Physical addresses are aligned: the region begins at 0x2000_3000, or behind others in the same memory.
static void aligned_addresses(void) {
  for (unsigned align = 4096; align <= 1 << 18; align *= 2) {
    const int fd = open_region("pmem_low"), index = allocate_aligned(fd, PAGE, align);
    IS(index, align <= 4096 ? 0 : (align - 0x3000 % align) % align / PAGE);
    close(fd);
  }
  int fds[most];
  int count = 0;
  for (;; ++count) {
    fds[count] = open_region("pmem_low");
    const int index = allocate_aligned(fds[count], 4 * PAGE, 0x4000);
    if (index < 0) break;
    IS(index, 1 + 4 * count);
  }
  IS(count, 15);
  LEFT("pmem_low", 4, 3);
  while (count >= 0) close(fds[count--]);
  const int large = open_region("pmem_large");
  CHECK(allocate_aligned(large, PAGE, 1 << 20) >= 0);
  close(large);
}

// --- bitmap ---

static void bitmap(void) {
  LEFT("pmem_bits", 100, 100);
  int a = TAKE("pmem_bits", 10, 0), b = TAKE("pmem_bits", 20, 10);
  close(a);
  int c = TAKE("pmem_bits", 15, 30);
  LEFT("pmem_bits", 65, 55);
  close(b), close(c);
  a = TAKE("pmem_bits", 30, 0), b = TAKE("pmem_bits", 5, 30);
  close(a);
  c = TAKE("pmem_bits", 60, 35);
  LEFT("pmem_bits", 35, 30);
  refused("pmem_bits", 31 * PAGE);
  close(b), close(c);
  refused("pmem_bits", 0);
  int fds[most];
  for (int at = 0; at < 100; ++at) fds[at] = TAKE("pmem_bits", 1, at);
  for (int turn = 0; turn < 6; ++turn) refused("pmem_bits", 1);
  LEFT("pmem_bits", 0, 0);
  for (int at = 0; at < 100; at += 2) close(fds[at]);
  LEFT("pmem_bits", 50, 1);
  refused("pmem_bits", PAGE + 1);
  for (int at = 1; at < 100; at += 2) close(fds[at]);
  LEFT("pmem_bits", 100, 100);
}
static void quanta(void) {
  const size_t lengths[] = {1, 0xffff, 0x10000, 0x10001, 0x20000}, granted[] = {0x10000, 0x10000, 0x10000, 0x20000, 0x20000};
  int fds[5];
  int index = 0;
  for (int at = 0; at < 5; ++at) {
    fds[at] = open_region("pmem_quanta");
    IS(allocate(fds[at], lengths[at]), index);
    IS(size_of(fds[at]), granted[at]);
    char *const bytes = map(fds[at], granted[at]);
    CHECK(bytes != MAP_FAILED && is_all(bytes, granted[at], 0) && munmap(bytes, granted[at]) == 0);
    index += (int)(granted[at] >> 16);
  }
  LEFT("pmem_quanta", (16 - 7) * 16, (16 - 7) * 16);
  for (int at = 0; at < 5; ++at) close(fds[at]);
  LEFT("pmem_quanta", 256, 256);
}
// Numbers of quanta beyond 15 and 16 bits.
static void large(void) {
  enum { all = 272 * 256 };
  const size_t lengths[] = {32768, 1, 32766, 1, 1, 3}, starts[] = {0, 32768, 32769, 65535, 65536, 65537};
  int fds[6];
  for (int at = 0; at < 6; ++at) fds[at] = TAKE("pmem_large", lengths[at], (int)starts[at]);
  for (int at = 0; at < 6; ++at) IS(size_of(fds[at]), lengths[at] * PAGE);
  LEFT("pmem_large", all - 65540, all - 65540);
  char *const bytes = map(fds[5], 3 * PAGE);
  CHECK(bytes != MAP_FAILED && is_all(bytes, 3 * PAGE, 0) && munmap(bytes, 3 * PAGE) == 0);
  close(fds[1]), close(fds[3]);
  fds[1] = TAKE("pmem_large", 1, 32768), fds[3] = TAKE("pmem_large", 1, 65535);
  for (int at = 0; at < 6; ++at) close(fds[at]);
  const int whole = TAKE("pmem_large", all, 0);
  IS(size_of(whole), (size_t)all * PAGE);
  close(whole);
  LEFT("pmem_large", all, all);
}

// --- buddy ---

static void buddy_of_13(void) {
  LEFT("pmem_13", 13, 8);
  const int a = TAKE("pmem_13", 2, 8), b = TAKE("pmem_13", 1, 12), c = TAKE("pmem_13", 1, 10), d = TAKE("pmem_13", 3, 0);
  IS(size_of(d), 4 * PAGE);
  LEFT("pmem_13", 5, 4);
  close(c);
  LEFT("pmem_13", 6, 4);
  close(a);
  LEFT("pmem_13", 8, 4);
  close(b), close(d);
  LEFT("pmem_13", 13, 8);
  refused("pmem_13", 9 * PAGE);
  refused("pmem_13", 0);
  close(TAKE("pmem_13", 8, 0));
  const size_t lengths[] = {1, 4096, 4097, 8193, 12289, 16385}, granted[] = {1, 1, 2, 4, 4, 8};
  for (int at = 0; at < 6; ++at) {
    const int fd = open_region("pmem_13");
    CHECK(allocate(fd, lengths[at]) >= 0);
    IS(size_of(fd), granted[at] * PAGE);
    close(fd);
  }
}
static void buddy_of_6(void) {
  const int places[] = {4, 5, 0, 1, 2, 3};
  int fds[6];
  for (int turn = 0; turn < 6; ++turn) {
    for (int at = 0; at < 6; ++at) fds[at] = TAKE("pmem_6", 1, places[at]);
    refused("pmem_6", PAGE);
    for (int at = 0; at < 6; ++at) close(fds[(at * (turn % 2 == 0 ? 1 : 5) + turn) % 6]);
    LEFT("pmem_6", 6, 4);
  }
  const int four = TAKE("pmem_6", 4, 0), two = TAKE("pmem_6", 2, 4);
  LEFT("pmem_6", 0, 0);
  close(four), close(two);
}

// --- all or nothing, and the system's ---

static void whole(void) {
  const char *const name = "pmem_whole";
  LEFT(name, 256, 256);
  const int fd = open_region(name), other = open_region(name);
  IS(allocate(fd, 5000), 5000);
  IS(size_of(fd), 5000);
  LEFT(name, 0, 0);
  FAILS(map(other, PAGE) == MAP_FAILED ? -1 : 0, ENOMEM);
  FAILS(allocate(other, 1), ENOMEM);
  FAILS(map(fd, 2 * PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  char *const bytes = map(fd, PAGE);
  CHECK(bytes != MAP_FAILED && munmap(bytes, PAGE) == 0);
  close(fd);
  LEFT(name, 256, 256);
  refused(name, 0);  // nothing is not all
  IS(allocate(other, 1 << 20), 1 << 20);
  close(other);
  LEFT(name, 256, 256);
}
static void system_s(void) {
  const char *const name = "pmem_system";
  int fds[most];
  for (int at = 0; at < 63; ++at) fds[at] = TAKE(name, 1, 0);
  LEFT(name, 1, 1);
  refused(name, 2 * PAGE);
  fds[63] = open_region(name);
  IS(allocate(fds[63], 0), 0);
  IS(size_of(fds[63]), PAGE);
  refused(name, 1);
  LEFT(name, 0, 0);
  for (int at = 0; at < 64; at += 3) close(fds[at]);
  LEFT(name, 22, 22);
  close(TAKE(name, 22, 0));  // they need not lie side by side
  for (int at = 0; at < 64; ++at) {
    if (at % 3 != 0) close(fds[at]);
  }
  LEFT(name, 64, 64);
}

// --- random steps, beside models that look at each quantum ---

// Of each quantum: the block that it is of, from 1 on; 0: free. A buddy's free blocks are in `orders`, by their first.
struct model {
  const char *name;
  int count, is_buddy;
  int owner[most];
  int orders[most];  // buddy: of the block that begins here; -1: none does
};
static int order_of(int quanta) {
  int order = 0;
  while (1 << order < quanta) ++order;
  return order;
}
static void begin_model(struct model *model) {
  memset(model->owner, 0, sizeof model->owner);
  for (int at = 0; at < most; ++at) model->orders[at] = -1;
  for (int at = 0, bit = 6; bit >= 0; --bit) {
    if ((model->count >> bit & 1) != 0) model->orders[at] = bit, at += 1 << bit;
  }
}
static int find_bits(const struct model *model, int quanta) {
  for (int at = 0, run = 0; at < model->count; ++at) {
    run = model->owner[at] == 0 ? run + 1 : 0;
    if (run == quanta) return at + 1 - quanta;
  }
  return -1;
}
static int find_buddy(struct model *model, int quanta) {
  const int wanted = order_of(quanta);
  int best = -1;
  for (int at = 0; at < model->count; ++at) {
    if (model->orders[at] < wanted || model->owner[at] != 0) continue;
    if (best < 0 || model->orders[at] < model->orders[best]) best = at;
  }
  while (best >= 0 && model->orders[best] > wanted) {
    --model->orders[best];
    model->orders[best + (1 << model->orders[best])] = model->orders[best];
  }
  return best;
}
static int granted_quanta(const struct model *model, int quanta) { return model->is_buddy ? 1 << order_of(quanta) : quanta; }
static int take_in(struct model *model, int quanta, int owner) {
  const int at = model->is_buddy ? find_buddy(model, quanta) : find_bits(model, quanta);
  for (int one = 0; at >= 0 && one < granted_quanta(model, quanta); ++one) model->owner[at + one] = owner;
  return at;
}
static void free_in(struct model *model, int owner) {
  int at = 0;
  while (model->owner[at] != owner) ++at;
  for (int one = at; one < model->count; ++one) model->owner[one] = model->owner[one] == owner ? 0 : model->owner[one];
  while (model->is_buddy) {
    const int order = model->orders[at], buddy = at ^ 1 << order;
    if (buddy >= model->count || model->owner[buddy] != 0 || model->orders[buddy] != order) return;
    const int first = at < buddy ? at : buddy;
    model->orders[at < buddy ? buddy : at] = -1;
    model->orders[first] = order + 1;
    at = first;
  }
}
static void compare(const struct model *model) {
  int total = 0, largest = 0, run = 0;
  for (int at = 0; at < model->count; ++at) {
    total += model->owner[at] == 0;
    run = model->owner[at] == 0 ? run + 1 : 0;
    const int here = model->is_buddy ? (model->owner[at] == 0 && model->orders[at] >= 0 ? 1 << model->orders[at] : 0) : run;
    if (here > largest) largest = here;
  }
  LEFT(model->name, (size_t)total, (size_t)largest);
}
static void random_steps(struct model *model) {
  begin_model(model);
  int fds[most], count = 0, owners[most];
  unsigned random = 7;
  for (int step = 1; step <= 300 && wrong < 20; ++step) {
    random = random * 1103515245 + 12345;
    const unsigned drawn = random >> 12;
    if (count != 0 && drawn % 100 < 45) {
      const int which = (int)(drawn / 100) % count;
      close(fds[which]);
      free_in(model, owners[which]);
      --count;
      fds[which] = fds[count], owners[which] = owners[count];
    } else {
      const int quanta = 1 + (int)(drawn / 100) % (drawn % 3 == 0 ? model->count / 2 : 4), fd = open_region(model->name);
      const int wanted = take_in(model, quanta, step), got = allocate(fd, (size_t)quanta * PAGE - drawn % 4096);
      if (got != wanted) SAY("step %d: %d pages of %s are at %d, and not at %d\n", step, quanta, model->name, got, wanted);
      if (got >= 0) fds[count] = fd, owners[count++] = step;
      else close(fd);
    }
    compare(model);
  }
  while (count > 0) close(fds[--count]);
}

// --- Google's ---

// An ALLOCATE says nothing; where the memory lies says GET_PHYS.
#define FIND(name, quanta, index, start) find(__LINE__, name, quanta, index, start)
static int find(int line, const char *name, size_t quanta, size_t index, size_t start) {
  const int fd = open_region(name);
  IS(allocate(fd, quanta * PAGE), 0);
  const size_t offset = region_of(fd, PMEM_GET_PHYS).offset, got = (offset >= start ? offset - start : offset) / PAGE;
  if (got != index) SAY("line %d: %zu pages of %s are at %zu, and not at %zu\n", line, quanta, name, got, index);
  return fd;
}
static void no_room_in(const char *name, size_t length) {
  const int fd = open_region(name);
  IS(allocate(fd, length), 0);  // as if
  IS(size_of(fd), 0);
  FAILS(map(fd, (length + PAGE - 1) / PAGE * PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  close(fd);
}
static void google_s_numbers(void) {
  const int fd = open_region("pmem_13"), other = open_region("pmem_13");
  struct pmem_freespace room;
  struct pmem_region range = {0, PAGE};
  FAILS(ioctl(fd, PMEM_GET_FREE_SPACE, &room), EINVAL);
  FAILS(allocate_aligned(fd, PAGE, 4096), EINVAL);
  for (unsigned number = 9; number < 20; ++number) FAILS(ioctl(fd, _IOW('p', number, unsigned int), &range), EINVAL);
  CHECK(ioctl(fd, PMEM_CACHE_FLUSH, &range) == 0);
  FAILS(ioctl(fd, PMEM_CONNECT, -1), EINVAL);
  FAILS(ioctl(fd, PMEM_CONNECT, 12345), EINVAL);
  FAILS(ioctl(fd, PMEM_CONNECT, fd), EINVAL);
  FAILS(ioctl(fd, PMEM_CONNECT, other), EINVAL);
  IS(region_of(fd, PMEM_GET_TOTAL_SIZE).len, 13 * PAGE);
  char *const bytes = map(fd, 3 * PAGE);
  CHECK(bytes != MAP_FAILED && is_all(bytes, 3 * PAGE, 0));
  memset(bytes, 'g', 3 * PAGE);
  IS(size_of(fd), 4 * PAGE);
  FAILS(map(fd, PAGE) == MAP_FAILED ? -1 : 0, EINVAL);  // once
  CHECK(ioctl(fd, PMEM_CACHE_FLUSH, &range) == 0);
  CHECK(ioctl(other, PMEM_CONNECT, fd) == 0 && grant(other, PMEM_MAP, PAGE, PAGE) == 0);
  CHECK(ioctl(other, PMEM_CACHE_FLUSH, &range) == 0);
  char *const seen = map(other, 3 * PAGE);
  CHECK(is_all(seen, PAGE, 0) && is_all(seen + PAGE, PAGE, 'g') && is_all(seen + 2 * PAGE, PAGE, 0));
  CHECK(munmap(seen, 3 * PAGE) == 0 && munmap(bytes, 3 * PAGE) == 0);
  FAILS(map(fd, PAGE) == MAP_FAILED ? -1 : 0, EINVAL);  // in its life
  close(fd), close(other);
}
static void google_s_regions(void) {
  const size_t start = 0x20000000, start_of_6 = 0x20100000, places[] = {4, 5, 0, 1, 2, 3};
  const int a = FIND("pmem_13", 2, 8, start), b = FIND("pmem_13", 1, 12, start), c = FIND("pmem_13", 1, 10, start),
            d = FIND("pmem_13", 3, 0, start);
  IS(size_of(d), 4 * PAGE);
  close(a), close(b), close(c), close(d);
  no_room_in("pmem_13", 9 * PAGE);
  close(FIND("pmem_13", 8, 0, start));
  int fds[6];
  for (int at = 0; at < 6; ++at) fds[at] = FIND("pmem_6", 1, places[at], start_of_6);
  no_room_in("pmem_6", PAGE);
  for (int at = 0; at < 6; ++at) close(fds[at]);
  const int one = open_region("pmem_whole");
  IS(allocate(one, 5000), 0);
  IS(size_of(one), 5000);
  no_room_in("pmem_whole", 1);
  close(one);
  close(FIND("pmem_whole", 256, 0, 0x20200000));
}

int main(int argc, char **argv) {
  alarm(110);
  if (argc == 2 && strcmp(argv[1], "google") == 0) {
    google_s_numbers();
    google_s_regions();
    if (wrong == 0) puts("pmem_allocators, google: all well");
    return wrong != 0;
  }
  const char *const names[] = {"pmem_low", "pmem_bits", "pmem_quanta", "pmem_large", "pmem_13", "pmem_6", "pmem_whole", "pmem_system"};
  for (int at = 0; at < 8; ++at) one_at_a_time(names[at]), mapped(names[at]), alignments(names[at], at < 4);
  aligned_addresses();
  bitmap();
  quanta();
  large();
  buddy_of_13();
  buddy_of_6();
  whole();
  system_s();
  struct model models[] = {{.name = "pmem_bits", .count = 100}, {.name = "pmem_13", .count = 13, .is_buddy = 1},
                           {.name = "pmem_6", .count = 6, .is_buddy = 1}};
  for (int at = 0; at < 3; ++at) random_steps(&models[at]);
  if (wrong == 0) puts("pmem_allocators: all well");
  return wrong != 0;
}
