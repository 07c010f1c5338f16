// A program for /dev/window (windows.cpp), whose mappings change while they are mapped. It says what went wrong on stderr,
// and ends with the number of such lines.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct window {
  uint64_t offset, length;
};
#define ALLOCATE _IOW('W', 0, struct window)
#define CONNECT _IOW('W', 1, struct window)
#define GRANT _IOW('W', 2, struct window)
#define REVOKE _IOW('W', 3, struct window)
#define VIEWS _IO('W', 4)
#define PAGE ((size_t)4096)
enum { pages = 8 };

static int wrong;
#define CHECK(what)                                                                                              \
  do {                                                                                                           \
    if (!(what)) {                                                                                               \
      fprintf(stderr, "views.c:%d: %s is not so (errno %d, %s)\n", __LINE__, #what, errno, strerror(errno)); \
      ++wrong;                                                                                                   \
    }                                                                                                            \
  } while (0)

static int ask(int fd, unsigned long command, uint64_t offset, uint64_t length) {
  struct window window = {offset, length};
  return ioctl(fd, command, &window);
}
static char *map(int fd, int protection) {
  void *const at = mmap(NULL, pages * PAGE, protection, MAP_SHARED, fd, 0);
  CHECK(at != MAP_FAILED);
  return at == MAP_FAILED ? NULL : at;
}
// What each page begins with: '.' nothing, or the owner's letter of that page.
static const char *seen(const volatile char *at) {
  static char text[pages + 1];
  for (int page = 0; page < pages; ++page) text[page] = at[page * PAGE] == 0 ? '.' : at[page * PAGE];
  return text;
}
#define SHOWS(at, letters)                                                                        \
  do {                                                                                            \
    const char *const now = seen(at);                                                             \
    if (strcmp(now, letters) != 0) {                                                              \
      fprintf(stderr, "views.c:%d: %s is seen, and not %s\n", __LINE__, now, letters);            \
      ++wrong;                                                                                    \
    }                                                                                             \
  } while (0)

struct pair {
  int owner, sub;
  char *memory;
};
static struct pair open_pair(void) {
  struct pair pair = {open("/dev/window", O_RDWR | O_CLOEXEC), open("/dev/window", O_RDWR), NULL};
  CHECK(pair.owner >= 0 && pair.sub >= 0);
  CHECK(ask(pair.owner, ALLOCATE, 0, pages * PAGE) == 0);
  pair.memory = map(pair.owner, PROT_READ | PROT_WRITE);
  for (int page = 0; page < pages; ++page) pair.memory[page * PAGE] = (char)('a' + page);
  CHECK(ask(pair.sub, CONNECT, (uint64_t)pair.owner, 0) == 0);
  return pair;
}
static void close_pair(struct pair *pair) {
  CHECK(munmap(pair->memory, pages * PAGE) == 0);
  CHECK(close(pair->owner) == 0);
  CHECK(close(pair->sub) == 0);
}
static int views(int fd) { return ioctl(fd, VIEWS); }
// Within ten seconds: those of a process that ended end when the server learns of it.
static int are_views_soon(int fd, int count) {
  for (int turn = 0; turn < 1000 && views(fd) != count; ++turn) usleep(10000);
  return views(fd) == count;
}
// As soon, to him who looks often.
static int shows_soon(const volatile char *at, const char *letters) {
  for (int turn = 0; turn < 100000 && strcmp(seen(at), letters) != 0; ++turn) usleep(100);
  return strcmp(seen(at), letters) == 0;
}
static void wait_for(pid_t pid) {
  int status = -1;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
static void pass(int socket) { CHECK(write(socket, "", 1) == 1); }
static void await(int socket) {
  char byte;
  CHECK(read(socket, &byte, 1) == 1);
}

static void granted_and_revoked(void) {
  struct pair pair = open_pair();
  CHECK(ask(pair.sub, GRANT, 5 * PAGE, PAGE) == 0);  // before it is mapped
  char *const at = map(pair.sub, PROT_READ | PROT_WRITE);
  SHOWS(at, ".....f..");
  CHECK(ask(pair.sub, GRANT, PAGE, 2 * PAGE) == 0);
  SHOWS(at, ".bc..f..");
  at[PAGE] = 'B';
  at[0] = 'x';  // what nobody granted is one's own
  SHOWS(pair.memory, "aBcdefgh");
  CHECK(ask(pair.sub, REVOKE, 2 * PAGE, 4 * PAGE) == 0);
  CHECK(at[PAGE] == 'B' && at[2 * PAGE] == 0 && at[5 * PAGE] == 0);
  at[2 * PAGE] = 'y';
  SHOWS(pair.memory, "aBcdefgh");
  CHECK(ask(pair.sub, GRANT, 0, pages * PAGE) == 0);
  SHOWS(at, "aBcdefgh");
  CHECK(views(pair.sub) == 2);
  CHECK(munmap(at, pages * PAGE) == 0);
  CHECK(views(pair.sub) == 1);
  close_pair(&pair);
}

static void many_windows(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, PROT_READ);
  for (uint64_t page = 0; page < pages; page += 2) CHECK(ask(pair.sub, GRANT, page * PAGE, PAGE) == 0);
  SHOWS(at, "a.c.e.g.");
  for (uint64_t page = 1; page < pages; page += 2) CHECK(ask(pair.sub, GRANT, page * PAGE, PAGE) == 0);
  char *const more = map(pair.sub, PROT_READ);
  SHOWS(more, "abcdefgh");
  CHECK(mmap(NULL, (pages + 1) * PAGE, PROT_READ, MAP_SHARED, pair.sub, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, pair.sub, 100) == MAP_FAILED && errno == EINVAL);
  char *const last = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, pair.sub, 7 * PAGE);
  CHECK(last != MAP_FAILED && *last == 'h');
  CHECK(ask(pair.sub, REVOKE, 7 * PAGE, PAGE) == 0);
  CHECK(*last == 0);
  CHECK(munmap(last, PAGE) == 0 && munmap(more, pages * PAGE) == 0 && munmap(at, pages * PAGE) == 0);
  close_pair(&pair);
}

// The owner's end, which is that of his last descriptor and mapping, in whatever process.
static void owner_ends(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, PROT_READ);
  CHECK(ask(pair.sub, GRANT, 0, pages * PAGE) == 0);
  CHECK(close(pair.owner) == 0);
  SHOWS(at, "abcdefgh");
  CHECK(munmap(pair.memory + PAGE, (pages - 1) * PAGE) == 0);
  SHOWS(at, "abcdefgh");
  CHECK(munmap(pair.memory, PAGE) == 0);
  CHECK(views(pair.sub) == 1);  // a call later
  SHOWS(at, "........");
  CHECK(munmap(at, pages * PAGE) == 0);
  CHECK(close(pair.sub) == 0);
}

static void in_pieces(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, PROT_READ);
  // A hole, in which is something else.
  CHECK(munmap(at + 2 * PAGE, 2 * PAGE) == 0);
  char *const other = mmap(at + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(other == at + 3 * PAGE);
  other[0] = 'O';
  // One is covered, one moved, one may not be touched.
  CHECK(mmap(at + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at + 5 * PAGE);
  char *const place = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(mremap(at + 7 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
  CHECK(mprotect(at + 6 * PAGE, PAGE, PROT_NONE) == 0);
  CHECK(ask(pair.sub, GRANT, 0, pages * PAGE) == 0);
  CHECK(at[0] == 'a' && at[PAGE] == 'b' && at[4 * PAGE] == 'e' && at[5 * PAGE] == 0 && place[0] == 'h');
  CHECK(other[0] == 'O');
  CHECK(msync(at + 2 * PAGE, PAGE, MS_ASYNC) == -1 && errno == ENOMEM);
  CHECK(msync(at + 7 * PAGE, PAGE, MS_ASYNC) == -1 && errno == ENOMEM);
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK(write(ends[1], at + 6 * PAGE, 1) == -1 && errno == EFAULT);
  CHECK(mprotect(at + 6 * PAGE, PAGE, PROT_READ) == 0);
  CHECK(at[6 * PAGE] == 'g');
  CHECK(mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
  CHECK(ask(pair.sub, REVOKE, 0, pages * PAGE) == 0);
  CHECK(at[0] == 0 && at[4 * PAGE] == 0 && at[6 * PAGE] == 0 && place[0] == 0 && other[0] == 'O');
  CHECK(views(pair.sub) == 2);
  CHECK(munmap(at, pages * PAGE) == 0);
  CHECK(views(pair.sub) == 2);
  CHECK(munmap(place, PAGE) == 0);
  CHECK(views(pair.sub) == 1);
  close(ends[0]), close(ends[1]);
  close_pair(&pair);
}

static void in_a_child(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, PROT_READ);
  char *const ours = map(pair.sub, PROT_READ);
  CHECK(madvise(ours, pages * PAGE, MADV_DONTFORK) == 0);
  CHECK(ask(pair.sub, GRANT, 0, 4 * PAGE) == 0);
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    wrong = 0;
    SHOWS(at, "abcd....");
    CHECK(msync(ours, PAGE, MS_ASYNC) == -1 && errno == ENOMEM);
    pass(ends[0]), await(ends[0]);
    SHOWS(at, "a.......");
    CHECK(ask(pair.sub, GRANT, 2 * PAGE, PAGE) == 0);
    pass(ends[0]), await(ends[0]);
    SHOWS(at, "a.c.....");  // the parent has closed the owner, which is this child's too
    close_pair(&(struct pair){pair.owner, dup(pair.sub), pair.memory});
    CHECK(views(pair.sub) > 0);
    SHOWS(at, "........");
    CHECK(msync(ours, PAGE, MS_ASYNC) == -1 && errno == ENOMEM);
    _exit(wrong);
  }
  await(ends[1]);
  CHECK(ask(pair.sub, REVOKE, PAGE, 7 * PAGE) == 0);
  SHOWS(at, "a.......");
  pass(ends[1]), await(ends[1]);
  SHOWS(at, "a.c.....");
  SHOWS(ours, "a.c.....");
  CHECK(munmap(at, pages * PAGE) == 0 && munmap(ours, pages * PAGE) == 0);
  close_pair(&pair);
  pass(ends[1]);
  wait_for(child);
  close(ends[0]), close(ends[1]);
}

// Whoever does not answer holds nobody up for ever; when he wakes up he has what there is.
static void stopped(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, PROT_READ);
  CHECK(ask(pair.sub, GRANT, 0, pages * PAGE) == 0);
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    pass(ends[0]), await(ends[0]);
    _exit(!shows_soon(at, "........"));
  }
  await(ends[1]);
  CHECK(kill(child, SIGSTOP) == 0);
  CHECK(waitpid(child, NULL, WUNTRACED) == child);
  CHECK(ask(pair.sub, REVOKE, 0, pages * PAGE) == 0);
  SHOWS(at, "........");
  CHECK(kill(child, SIGCONT) == 0);
  pass(ends[1]);
  wait_for(child);
  CHECK(munmap(at, pages * PAGE) == 0);
  close(ends[0]), close(ends[1]);
  close_pair(&pair);
}

// Children that fork on, are killed, and end while others' views change.
static void many_processes(void) {
  struct pair pair = open_pair();
  char *const at = map(pair.sub, PROT_READ);
  pid_t children[12];
  for (int place = 0; place < 12; ++place) {
    children[place] = fork();
    if (children[place] != 0) continue;
    if (place % 3 == 0) {
      const pid_t more = fork();
      if (more == 0) _exit(0);
      waitpid(more, NULL, 0);
    }
    for (;;) {
      char *const mine = place % 2 == 0 ? mmap(NULL, PAGE, PROT_READ, MAP_SHARED, pair.sub, 0) : MAP_FAILED;
      if (mine != MAP_FAILED) munmap(mine, PAGE);
      usleep(200);
    }
  }
  for (int turn = 0; turn < 60; ++turn) {
    CHECK(ask(pair.sub, turn % 2 == 0 ? GRANT : REVOKE, 0, pages * PAGE) == 0);
    SHOWS(at, turn % 2 == 0 ? "abcdefgh" : "........");
    if (turn % 5 == 4) kill(children[turn / 5], SIGKILL);
  }
  for (int place = 0; place < 12; ++place) waitpid(children[place], NULL, 0);
  CHECK(munmap(at, pages * PAGE) == 0);
  CHECK(are_views_soon(pair.sub, 1));
  close_pair(&pair);
}

// Threads that map and unmap while windows come and go.
static int shared_sub;
static void *map_and_unmap(void *unused) {
  for (int turn = 0; turn < 100; ++turn) {
    char *const at = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, shared_sub, 0);
    if (at == MAP_FAILED) return NULL;
    const char first = at[0], last = at[7 * PAGE];
    if ((first != 0 && first != 'a') || (last != 0 && last != 'h')) return NULL;
    munmap(at + PAGE, 3 * PAGE);
    munmap(at, PAGE);
    munmap(at + 4 * PAGE, 4 * PAGE);
  }
  return unused;
}
static void many_threads(void) {
  struct pair pair = open_pair();
  shared_sub = pair.sub;
  pthread_t threads[3];
  for (int place = 0; place < 3; ++place) CHECK(pthread_create(&threads[place], NULL, map_and_unmap, &pair) == 0);
  for (int turn = 0; turn < 50; ++turn) CHECK(ask(pair.sub, turn % 2 == 0 ? GRANT : REVOKE, 0, pages * PAGE) == 0);
  for (int place = 0; place < 3; ++place) {
    void *result = NULL;
    CHECK(pthread_join(threads[place], &result) == 0 && result == &pair);
  }
  CHECK(views(pair.sub) == 1);
  close_pair(&pair);
}

// What lies beside a view is not the view's, wherever it moves.
static void neighbours(void) {
  struct pair pair = open_pair();
  char *const room = mmap(NULL, (pages + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *const at = mmap(room + PAGE, pages * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, pair.sub, 0);
  CHECK(at == room + PAGE);
  char *const moved = mremap(room, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  moved[PAGE] = moved[2 * PAGE] = 'X';
  CHECK(ask(pair.sub, GRANT, 0, pages * PAGE) == 0);
  SHOWS(at, "abcdefgh");
  CHECK(moved[PAGE] == 'X' && moved[2 * PAGE] == 'X');
  CHECK(munmap(moved, 3 * PAGE) == 0 && munmap(at, pages * PAGE) == 0);
  close_pair(&pair);
}

// So many pieces that no more can be kept track of: then what needs none goes on.
static void too_many_pieces(void) {
  enum { many = 20000 };
  const int fd = open("/dev/window", O_RDWR);
  CHECK(ask(fd, ALLOCATE, 0, many * PAGE) == 0);
  char *const at = mmap(NULL, many * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(at != MAP_FAILED);
  for (size_t page = 0; page < many; ++page) CHECK(mprotect(at + page * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
  int is_refused = 0;
  for (size_t page = 0; page < many && !is_refused; page += 2) is_refused = mprotect(at + page * PAGE, PAGE, PROT_READ) != 0;
  CHECK(is_refused && errno == ENOMEM);
  char *const other = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(munmap(other, PAGE) == 0);
  CHECK(mprotect(at, many * PAGE, PROT_READ) == 0);
  CHECK(munmap(at + PAGE, PAGE) == 0);
  CHECK(munmap(at, many * PAGE) == 0);
  CHECK(views(fd) == 0);
  close(fd);
}

// Who was stopped has what there is as soon as he goes on, also where nobody else has his view.
static void stopped_alone(void) {
  struct pair pair = open_pair();
  CHECK(ask(pair.sub, GRANT, 0, 4 * PAGE) == 0);
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    wrong = 0;
    char *const at = map(pair.sub, PROT_READ);
    SHOWS(at, "abcd....");
    pass(ends[0]), await(ends[0]);
    CHECK(shows_soon(at, "abc....."));
    CHECK(ask(pair.sub, GRANT, 5 * PAGE, PAGE) == 0);
    SHOWS(at, "abc..f..");
    _exit(wrong);
  }
  await(ends[1]);
  CHECK(kill(child, SIGSTOP) == 0);
  CHECK(waitpid(child, NULL, WUNTRACED) == child);
  CHECK(ask(pair.sub, REVOKE, 3 * PAGE, PAGE) == 0);
  CHECK(kill(child, SIGCONT) == 0);
  pass(ends[1]);
  wait_for(child);
  close(ends[0]), close(ends[1]);
  close_pair(&pair);
}

// What is private stays so in a child; what is not for children leaves nothing there.
static void private_in_a_child(void) {
  struct pair pair = open_pair();
  CHECK(ask(pair.sub, GRANT, 0, PAGE) == 0);
  char *const at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, pair.sub, 0);
  char *const shared = map(pair.sub, PROT_READ | PROT_WRITE);
  at[0] = 'P', at[3 * PAGE] = 'Q', shared[5 * PAGE] = 'R';
  const pid_t child = fork();
  if (child == 0) _exit(at[0] != 'P' || at[3 * PAGE] != 'Q' || shared[5 * PAGE] != 'R');
  wait_for(child);
  CHECK(pair.memory[0] == 'a');
  CHECK(munmap(at, pages * PAGE) == 0);
  CHECK(madvise(shared, pages * PAGE, MADV_DONTFORK) == 0 && madvise(pair.memory, pages * PAGE, MADV_DONTFORK) == 0);
  const pid_t other = fork();
  if (other == 0) {
    char line[512];
    int found = 0;
    FILE *const maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) found += strstr(line, "memfd:window") != NULL;
    _exit(maps == NULL || found != 0);
  }
  wait_for(other);
  CHECK(munmap(shared, pages * PAGE) == 0);
  close_pair(&pair);
}

static void only_read(void) {
  struct pair pair = open_pair();
  const int fd = open("/dev/window", O_RDONLY);
  CHECK(ask(fd, CONNECT, (uint64_t)pair.owner, 0) == 0);
  CHECK(ask(fd, GRANT, 0, PAGE) == 0);
  char *const at = map(fd, PROT_READ);
  SHOWS(at, "a.......");
  for (size_t page = 0; page < 2; ++page) CHECK(mprotect(at + page * PAGE, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
  CHECK(mprotect(at, pages * PAGE, PROT_NONE) == 0 && mprotect(at, pages * PAGE, PROT_READ) == 0);
  SHOWS(at, "a.......");
  CHECK(munmap(at, pages * PAGE) == 0 && close(fd) == 0);
  close_pair(&pair);
}

// Without room for a descriptor there is no mapping; it is not one of something else.
static void no_descriptor(void) {
  struct pair pair = open_pair();
  CHECK(ask(pair.sub, GRANT, 0, pages * PAGE) == 0);
  char *const before = map(pair.sub, PROT_READ);
  const pid_t child = fork();
  if (child == 0) {
    wrong = 0;
    while (dup(0) >= 0) {
    }
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, pair.sub, 0) == MAP_FAILED && (errno == ENOMEM || errno == EMFILE));
    close(0);
    char *const at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, pair.sub, 0);
    CHECK(at != MAP_FAILED && *at == 'a');
    _exit(wrong);
  }
  wait_for(child);
  CHECK(munmap(before, pages * PAGE) == 0);
  close_pair(&pair);
}

// Forks while other threads map and fork.
static void *fork_too(void *unused) {
  for (int turn = 0; turn < 20; ++turn) {
    const pid_t child = fork();
    if (child == 0) usleep(100000), _exit(0);
    if (child < 0 || waitpid(child, NULL, 0) != child) return NULL;
  }
  return unused;
}
static void forks_beside(void) {
  struct pair pair = open_pair();
  shared_sub = pair.sub;
  pthread_t mapping, forking;
  CHECK(pthread_create(&mapping, NULL, map_and_unmap, &pair) == 0);
  CHECK(pthread_create(&forking, NULL, fork_too, &pair) == 0);
  for (int turn = 0; turn < 40; ++turn) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      char *const at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, pair.sub, 0);
      _exit(at == MAP_FAILED || munmap(at, PAGE) != 0);
    }
    wait_for(child);
  }
  void *mapped = NULL, *forked = NULL;
  CHECK(pthread_join(mapping, &mapped) == 0 && mapped == &pair);
  CHECK(pthread_join(forking, &forked) == 0 && forked == &pair);
  CHECK(are_views_soon(pair.sub, 1));
  close_pair(&pair);
}

// A program that ends with its last thread's pthread_exit ends.
static void last_thread(void) {
  const pid_t child = fork();
  if (child == 0) {
    struct pair pair = open_pair();
    (void)pair;
    pthread_exit(NULL);
  }
  wait_for(child);
  const int fd = open("/dev/window", O_RDWR);
  CHECK(are_views_soon(fd, 0));
  close(fd);
}

static void refused(void) {
  struct pair pair = open_pair();
  const int only_read = open("/dev/window", O_RDONLY), only_write = open("/dev/window", O_WRONLY);
  CHECK(ask(only_read, CONNECT, (uint64_t)pair.owner, 0) == 0);
  CHECK(ask(only_write, CONNECT, (uint64_t)pair.owner, 0) == 0);
  CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, only_read, 0) == MAP_FAILED && errno == EACCES);
  CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, only_write, 0) == MAP_FAILED && errno == EACCES);
  CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, only_read, 0) == MAP_FAILED && errno == EINVAL);
  for (int fd = -1; fd < 3; ++fd) CHECK(ask(pair.sub, CONNECT, (uint64_t)fd, 0) == -1 && errno == EBADF);
  CHECK(ask(pair.sub, CONNECT, 12345, 0) == -1 && errno == EBADF);
  CHECK(views(pair.sub) == 1);
  CHECK(close(only_read) == 0 && close(only_write) == 0);
  close_pair(&pair);
}

int main(void) {
  granted_and_revoked();
  many_windows();
  owner_ends();
  in_pieces();
  in_a_child();
  stopped();
  many_processes();
  many_threads();
  neighbours();
  too_many_pieces();
  stopped_alone();
  private_in_a_child();
  only_read();
  no_descriptor();
  forks_beside();
  last_thread();
  refused();
  return wrong;
}
