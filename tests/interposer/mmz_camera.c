// A camera of three processes: a sensor fills raw frames, an image processor makes pictures of them, and an encoder compresses these.
// They have one descriptor, and tell each other of frames by physical addresses. It says what is wrong on stderr, and ends with 0
// where all held.
#include "mmz_calls.h"

#include "processes.h"

enum { frames = 24, raw_frames = 3, raw_size = 32 << 10, step = 16, still_size = 5 * 4096 };

struct frame {
  int number;
  unsigned long physical;
};
struct line {
  int from, to;
};
static struct line empty, raws, pictures, stills;

static struct line open_line(void) {
  int ends[2];
  NEED(pipe(ends) == 0);
  return (struct line){ends[0], ends[1]};
}
static void put(struct line line, struct frame frame) { send_bytes(line.to, &frame, sizeof frame); }
static struct frame take(struct line line) {
  struct frame frame = {0};
  receive_bytes(line.from, &frame, sizeof frame);
  return frame;
}

// What a frame's bytes are, raw; each stage makes something of them.
static char raw_byte(int number, size_t at) { return (char)((size_t)number * 31 + at * 7 + (at >> 8)); }
static char picture_byte(char raw) { return (char)(raw + 1); }

// Seen by this process alone while it works on it: REMAP is told once where a block is mapped.
static char *see(unsigned long command, struct frame frame, unsigned long expected_bit) {
  char *const bytes = remap_as(mpi_fd(), command, frame.physical, READ_WRITE);
  unsigned long physical = 0;
  int is_cached = -1;
  NEED(bytes != NULL);
  CHECK(mpi_where(bytes + 4 * PAGE + 20, &physical, &is_cached) == 0);
  IS(physical, frame.physical + 4 * PAGE + 20);
  IS(is_cached, expected_bit);
  return bytes;
}
static void unsee(struct frame frame) { IS(of(mpi_fd(), MMB_USER_UNMAP, frame.physical), 0); }

static void sensor(int socket) {
  (void)socket;
  for (int number = 0; number < frames; ++number) {
    struct frame frame = take(empty);
    frame.number = number;
    char *const bytes = see(MMB_USER_REMAP, frame, 0);
    for (size_t at = 0; at < raw_size; ++at) bytes[at] = raw_byte(number, at);
    unsee(frame);
    put(raws, frame);
  }
}

static void processor(int socket) {
  (void)socket;
  for (int number = 0; number < frames; ++number) {
    const struct frame raw = take(raws);
    IS(raw.number, number);
    struct frame picture = {.number = number};
    char *to = NULL;
    NEED(mpi_alloc_cached(&picture.physical, &to, "picture", NULL, raw_size) == 0);
    CHECK(is_all(to, raw_size, 0));
    const char *const from = see(MMB_USER_REMAP_CACHED, raw, 1);
    for (size_t at = 0; at < raw_size; ++at) to[at] = picture_byte(from[at]);
    IS(mpi_flush_cache(picture.physical, to, raw_size), 0);
    IS(mpi_flush_cache(picture.physical + 100, to + 100, 1), 0);
    unsee(raw), unsee(picture);
    put(empty, raw), put(pictures, picture);
  }
}

// Its picture, which goes when it is seen no more. From the third generation on that may be said at once.
static char *see_last(struct frame picture) {
#if GENERATION < 3
  return see(MMB_USER_REMAP, picture, 0);
#else
  char *const bytes = mmap(NULL, raw_size, PROT_READ, MAP_SHARED, mpi_fd(), (off_t)picture.physical);
  NEED(bytes != MAP_FAILED);
  IS(physical_of(mpi_fd(), bytes), picture.physical);
  IS(of(mpi_fd(), MMB_FREE, picture.physical), 0);
  FAILS(of(mpi_fd(), MMB_FREE, picture.physical), EPERM);
  return bytes;
#endif
}
static void unsee_last(struct frame picture, char *bytes) {
#if GENERATION < 3
  CHECK(bytes != NULL && mpi_free(picture.physical, bytes) == 0);
#else
  (void)picture;
  CHECK(munmap(bytes, raw_size) == 0);
#endif
}
static void encoder(int socket) {
  (void)socket;
  for (int number = 0; number < frames; ++number) {
    const struct frame picture = take(pictures);
    IS(picture.number, number);
    struct frame still = {.number = number};
    char *to = NULL;
    NEED(mpi_alloc(&still.physical, &to, "still", "jpeg", still_size) == 0);
    char *const from = see_last(picture);
    for (size_t at = 0; at < raw_size / step; ++at) to[at] = from[at * step];
    unsee_last(picture, from);
    unsee(still);
    put(stills, still);
  }
}

// A slab's lengths are powers of two; it is one where ALLOC_V2 is there to ask for it.
static void check_zones(void) {
  unsigned long physical = 0;
  char *bytes = NULL;
  CHECK(mpi_alloc(&physical, &bytes, "slab", "jpeg", still_size) == 0);
  CHECK(strstr(media_mem(), GENERATION == 5 ? "length=20KB,    name=\"slab\"" : "length=32KB,    name=\"slab\"") != NULL);
  IS(mpi_free(physical, bytes), 0);
  CHECK(mpi_alloc(&physical, &bytes, "none", "window", PAGE) != 0 && errno == ENOMEM);
  FAILS(mpi_flush_cache(physical, bytes, PAGE), EFAULT);  // of what was freed
}

static void check_still(struct frame still) {
  char *const bytes = see(MMB_USER_REMAP, still, 0);
  int wrong_bytes = 0;
  for (size_t at = 0; at < raw_size / step; ++at) wrong_bytes += bytes[at] != picture_byte(raw_byte(still.number, at * step));
  IS(wrong_bytes, 0);
  CHECK(is_all(bytes + raw_size / step, still_size - raw_size / step, 0));
  IS(mpi_free(still.physical, bytes), 0);
}

int main(void) {
  alarm(60);
  IS(used_kib(), 0);
  check_zones();
  empty = open_line(), raws = open_line(), pictures = open_line(), stills = open_line();
  unsigned long raw[raw_frames];
  for (int at = 0; at < raw_frames; ++at) {
    raw[at] = allocate(mpi_fd(), raw_size, "vb");
    put(empty, (struct frame){-1, raw[at]});
  }
  IS(raw[1], raw[0] + raw_size);
  const struct child children[] = {start(sensor), start(processor), start(encoder)};
  for (int number = 0; number < frames; ++number) {
    const struct frame still = take(stills);
    IS(still.number, number);
    check_still(still);
  }
  for (size_t at = 0; at < sizeof children / sizeof *children; ++at) wait_for(children[at]);
  EVENTUALLY(used_kib() == raw_frames * (raw_size >> 10));  // the stages had them, and have ended
  for (int at = 0; at < raw_frames; ++at) IS(of(mpi_fd(), MMB_FREE, raw[at]), 0);
  IS(used_kib(), 0);
  return wrong != 0;
}
