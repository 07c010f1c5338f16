// What all generations of ION with handles do alike, as tests that programs for each of them run.
#pragma once

#include <pthread.h>
#include <sys/stat.h>

#include "ion_calls.h"

// --- the node ---

static inline void node(int ion) {
  struct stat status;
  CHECK(stat("/dev/ion", &status) == 0 && S_ISCHR(status.st_mode));
  CHECK(fstat(ion, &status) == 0 && S_ISCHR(status.st_mode));
  CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ion, 0) == MAP_FAILED && errno == ENODEV);
  uint64_t words[8] = {0};
  FAILS(ioctl(ion, _IOR('I', 9, uint32_t), words), ENOTTY);  // ABI_VERSION, of later ones
  FAILS(ioctl(ion, _IOWR('I', 3, uint64_t), words), ENOTTY);
  FAILS(ioctl(ion, _IOWR('I', 99, uint32_t), words), ENOTTY);
  FAILS(ioctl(ion, _IOWR('J', 1, struct ion_handle_data), words), ENOTTY);
  FAILS(ioctl(ion, ION_IOC_ALLOC, (void *)8), EFAULT);
  FAILS(ioctl(ion, ION_IOC_FREE, (void *)8), EFAULT);
  FAILS(ioctl(ion, ION_IOC_SHARE, NULL), EFAULT);
  FAILS(ioctl(ion, ION_IOC_IMPORT, (void *)8), EFAULT);
  FAILS(ioctl(ion, ION_IOC_CUSTOM, (void *)8), EFAULT);
  FAILS(give_back(ion, NO_HANDLE), EINVAL);  // by which libraries know that there are handles
}

// Structs in a page that can be read and not written: nothing is left behind.
static inline void not_written(int ion, unsigned int heaps, struct ion_allocation_data *wanted) {
  const int before = room(ion, heaps);
  TAKE(handle, ion, PAGE, heaps);
  char *const page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct ion_allocation_data *const allocation = (struct ion_allocation_data *)page;
  struct ion_fd_data *const sharing = (struct ion_fd_data *)(page + 256);
  *allocation = *wanted;
  sharing->handle = handle;
  NEED(mprotect(page, PAGE, PROT_READ) == 0);
  const int first_free = dup(0);
  for (int turn = 0; turn < 3; ++turn) FAILS(ioctl(ion, ION_IOC_ALLOC, allocation), EFAULT);
  for (int turn = 0; turn < 3; ++turn) FAILS(ioctl(ion, ION_IOC_SHARE, sharing), EFAULT);
  const int next_free = dup(0);
  IS(next_free, first_free + 1);
  close(first_free), close(next_free);
  munmap(page, PAGE);
  IS(give_back(ion, handle), 0);
  IS(room(ion, heaps), before);
}

// --- heaps ---

// `first` is asked before `second`, which has what does not fit there any more.
static inline void asked_in_order(int ion, unsigned int first, unsigned int second) {
  const int of_first = room(ion, first), of_second = room(ion, second);
  CHECK(of_first > 0 && of_second > 1);
  struct pieces taken = {.count = 0};
  while (taken.count < of_first && allocate(ion, MIB, first | second, &taken.handles[taken.count]) == 0) ++taken.count;
  IS(taken.count, of_first);
  IS(room(ion, first), 0);
  IS(room(ion, second), of_second);
  TAKE(more, ion, MIB, first | second);
  IS(room(ion, second), of_second - 1);
  IS(room(ion, first | second), of_second - 1);
  IS(give_back(ion, taken.handles[--taken.count]), 0);
  IS(room(ion, first), 1);  // what came back is there at once
  TAKE(again, ion, MIB, first | second);
  IS(room(ion, first), 0);
  IS(give_back(ion, more), 0);
  IS(give_back(ion, again), 0);
  give_back_all(ion, &taken);
  IS(room(ion, first), of_first);
  IS(room(ion, second), of_second);
}
static inline void no_heap(int ion) {
  ion_user_handle_t handle;
  FAILS(allocate(ion, PAGE, 0, &handle), ENODEV);
  FAILS(allocate(ion, PAGE, 1U << 5 | 1U << 17, &handle), ENODEV);
}
static inline void too_large(int ion, unsigned int heaps) {
  ion_user_handle_t handle;
  const size_t all = (size_t)room(ion, heaps) * MIB;
  FAILS(allocate(ion, all + 1, heaps, &handle), ENOMEM);
  FAILS(allocate(ion, SIZE_MAX - 4095, heaps, &handle), ENOMEM);  // the last that is whole pages
  TAKE(whole, ion, all, heaps);
  FAILS(allocate(ion, 1, heaps, &handle), ENOMEM);
  IS(give_back(ion, whole), 0);
}
// Whoever had it before, and whichever of handle, descriptor and mapping went last.
static inline void zeroed(int ion, unsigned int heaps, size_t length) {
  for (int turn = 0; turn < 3; ++turn) {
    TAKE(handle, ion, length, heaps);
    SHARE(fd, ion, handle);
    MAP(bytes, fd, 0, length);
    CHECK(is_all(bytes, length, 0));
    memset(bytes, 0x5a, length);
    if (turn == 0) IS(give_back(ion, handle), 0);
    IS(munmap(bytes, length), 0);
    if (turn == 1) IS(give_back(ion, handle), 0);
    IS(close(fd), 0);
    if (turn == 2) IS(give_back(ion, handle), 0);
  }
}

// --- handles ---

static inline void unknown_handles(int ion, unsigned int heaps) {
  TAKE(handle, ion, PAGE, heaps);
  const int other = open_ion();
  const ion_user_handle_t bad[] = {NO_HANDLE, (ion_user_handle_t)(intptr_t)-1, (ion_user_handle_t)((intptr_t)handle + 1),
                                   (ion_user_handle_t)((intptr_t)handle + 0x1000)};
  for (size_t place = 0; place < sizeof bad / sizeof *bad; ++place) {
    FAILS(give_back(ion, bad[place]), EINVAL);
    FAILS(share(ion, bad[place]), EINVAL);
    FAILS(shared_by(ion, ION_IOC_MAP, bad[place]), EINVAL);
  }
  FAILS(give_back(other, handle), EINVAL);  // it is not that client's
  FAILS(share(other, handle), EINVAL);
  IS(give_back(ion, handle), 0);
  FAILS(give_back(ion, handle), EINVAL);
  FAILS(share(ion, handle), EINVAL);
  close(other);
}
// The same buffer is the same handle, that goes back as often as it came.
static inline void imported(int ion, unsigned int heaps) {
  const int before = room(ion, heaps), other = open_ion();
  TAKE(handle, ion, MIB, heaps);
  SHARE(fd, ion, handle);
  IMPORT(again, ion, fd);
  IS(again, handle);
  IMPORT(others, other, fd);
  CHECK(others != NO_HANDLE);
  IMPORT(others_again, other, fd);
  IS(others_again, others);
  IS(close(fd), 0);
  IS(give_back(ion, handle), 0);
  SHARE(another, ion, handle);  // it is still one
  IMPORT(third, other, another);
  IS(third, others);
  IS(close(another), 0);
  IS(give_back(ion, handle), 0);
  FAILS(give_back(ion, handle), EINVAL);
  IS(room(ion, heaps), before - 1);
  for (int turn = 0; turn < 3; ++turn) IS(give_back(other, others), 0);
  FAILS(give_back(other, others), EINVAL);
  IS(room(ion, heaps), before);
  close(other);
}
// A client's end is that of all his handles, however often each came; not of what others hold.
static inline void closed_client(int ion, unsigned int heaps) {
  const int before = room(ion, heaps), other = open_ion();
  struct pieces all = fill(other, heaps);
  IS(all.count, before);
  SHARE(fd, other, all.handles[0]);
  IMPORT(again, other, fd);
  IMPORT(ours, ion, fd);
  IS(close(fd), 0);
  IS(close(other), 0);
  EVENTUALLY(room(ion, heaps) == before - 1);
  FAILS(give_back(ion, (ion_user_handle_t)((intptr_t)ours + 1)), EINVAL);
  IS(give_back(ion, ours), 0);
  IS(room(ion, heaps), before);
}

// --- sharing ---

static inline void shared_twice(int ion, unsigned int heaps) {
  TAKE(handle, ion, 3 * PAGE - 5, heaps);
  SHARE(one, ion, handle);
  const int other = shared_by(ion, ION_IOC_MAP, handle);
  CHECK(other >= 0 && other != one);
  CHECK((fcntl(one, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(other, F_GETFD) & FD_CLOEXEC) != 0);
  IS(fcntl(one, F_GETFL) & O_ACCMODE, O_RDWR);
  IS(lseek(one, 0, SEEK_END), 3 * PAGE);
  IS(lseek(one, 0, SEEK_SET), 0);
  IS(lseek(other, 0, SEEK_END), 3 * PAGE);
  MAP(all, one, 0, 3 * PAGE);
  MAP(last, other, 2 * PAGE, PAGE);
  MAP(middle, other, PAGE, PAGE);
  all[0] = 'a', all[PAGE] = 'b', all[3 * PAGE - 1] = 'c';
  CHECK(middle[0] == 'b' && last[PAGE - 1] == 'c');
  last[0] = 'd';
  CHECK(all[2 * PAGE] == 'd');
  FAILS(can_map(one, 0, 3 * PAGE + 1), EINVAL);
  FAILS(can_map(one, 0, 4 * PAGE), EINVAL);
  FAILS(can_map(one, PAGE, 3 * PAGE), EINVAL);
  FAILS(can_map(one, 3 * PAGE, PAGE), EINVAL);
  FAILS(can_map(one, 100 * PAGE, PAGE), EINVAL);
  CHECK(munmap(all, 3 * PAGE) == 0 && munmap(last, PAGE) == 0 && munmap(middle, PAGE) == 0);
  CHECK(close(one) == 0 && close(other) == 0);
  IS(give_back(ion, handle), 0);
}
// FREE, close of the node, close of the descriptor: each leaves what others hold.
static inline void outlived(int ion, unsigned int heaps) {
  const int before = room(ion, heaps), other = open_ion();
  TAKE(handle, other, MIB, heaps);
  SHARE(fd, other, handle);
  MAP(bytes, fd, 0, MIB);
  bytes[0] = 'k';
  IS(give_back(other, handle), 0);
  IS(close(other), 0);
  MAP(more, fd, 0, PAGE);
  CHECK(more[0] == 'k');
  IS(munmap(more, PAGE), 0);
  IMPORT(ours, ion, fd);
  IS(close(fd), 0);
  IS(give_back(ion, ours), 0);
  bytes[MIB - 1] = bytes[0];
  CHECK(bytes[MIB - 1] == 'k');
  IS(room(ion, heaps), before - 1);
  IS(munmap(bytes, MIB), 0);
  IS(room(ion, heaps), before);
}

// --- other processes ---

static int the_ion;
static unsigned int the_heaps;

// One that gets a descriptor, and has its own client.
static inline void receiver(int socket) {
  const int fd = receive_fd(socket), ion = open_ion();
  IS(lseek(fd, 0, SEEK_END), 2 * PAGE);
  IMPORT(handle, ion, fd);
  CHECK(handle != NO_HANDLE);
  IS(close(fd), 0);
  SHARE(own, ion, handle);
  MAP(bytes, own, PAGE, PAGE);
  CHECK(bytes[0] == 's');
  bytes[1] = 'r';
  IS(give_back(ion, handle), 0);
  FAILS(give_back(ion, handle), EINVAL);
  pass(socket), await(socket);
  CHECK(bytes[2] == 't');
  TAKE(left_behind, ion, MIB, the_heaps);
  CHECK(left_behind != NO_HANDLE);
}
static inline void sent(int ion, unsigned int heaps) {
  the_heaps = heaps;
  const int before = room(ion, heaps);
  struct child child = start(receiver);
  TAKE(handle, ion, 2 * PAGE, heaps);
  SHARE(fd, ion, handle);
  MAP(bytes, fd, 0, 2 * PAGE);
  bytes[PAGE] = 's';
  send_fd(child.socket, fd);
  CHECK(close(fd) == 0 && give_back(ion, handle) == 0);
  await(child.socket);
  CHECK(bytes[PAGE + 1] == 'r');
  bytes[PAGE + 2] = 't';
  IS(munmap(bytes, 2 * PAGE), 0);
  pass(child.socket);
  wait_for(child);
  EVENTUALLY(room(ion, heaps) == before);
}

// A child of fork has the parent's descriptors and mappings, and the client is the same.
static ion_user_handle_t the_handle;
static int the_fd;
static char *the_bytes;
static inline void forked(int socket) {
  CHECK(the_bytes[0] == 'p');
  the_bytes[1] = 'c';
  IS(lseek(the_fd, 0, SEEK_END), PAGE);
  MAP(bytes, the_fd, 0, PAGE);
  CHECK(bytes[1] == 'c');
  IMPORT(again, the_ion, the_fd);
  IS(again, the_handle);
  IS(give_back(the_ion, again), 0);
  IS(give_back(the_ion, the_handle), 0);
  TAKE(mine, the_ion, PAGE, the_heaps);
  send_bytes(socket, &mine, sizeof mine);
}
static inline void inherited(int ion, unsigned int heaps) {
  const int before = room(ion, heaps);
  TAKE(handle, ion, PAGE, heaps);
  SHARE(fd, ion, handle);
  MAP(bytes, fd, 0, PAGE);
  the_ion = ion, the_heaps = heaps, the_handle = handle, the_fd = fd, the_bytes = bytes;
  bytes[0] = 'p';
  struct child child = start(forked);
  ion_user_handle_t childs = NO_HANDLE;
  receive_bytes(child.socket, &childs, sizeof childs);
  wait_for(child);
  CHECK(bytes[1] == 'c');
  if (childs != handle) FAILS(give_back(ion, handle), EINVAL);
  SHARE(childs_fd, ion, childs);  // his end was not the client's
  IS(give_back(ion, childs), 0);
  FAILS(give_back(ion, childs), EINVAL);
  CHECK(close(childs_fd) == 0 && close(fd) == 0 && munmap(bytes, PAGE) == 0);
  EVENTUALLY(room(ion, heaps) == before);  // what the dead child mapped is the server's when it learns of his end
}

// --- races ---

enum { rounds = 200 };
static pthread_barrier_t at_once;
static inline int answer_of(int result) { return result >= 0 ? result : -errno; }
static inline void *frees(void *answer) {
  pthread_barrier_wait(&at_once);
  *(int *)answer = answer_of(give_back(the_ion, the_handle));
  return NULL;
}
// The answer of a FREE that another thread calls while this one does `act`.
static inline int beside_a_free(void (*act)(void)) {
  pthread_t thread;
  int answer = 1;
  NEED(pthread_create(&thread, NULL, frees, &answer) == 0);
  pthread_barrier_wait(&at_once);
  act();
  pthread_join(thread, NULL);
  return answer;
}
static int own_answer;
static inline void free_too(void) { own_answer = answer_of(give_back(the_ion, the_handle)); }
static inline void share_meanwhile(void) {
  own_answer = answer_of(share(the_ion, the_handle));
  if (own_answer < 0) return;
  IS(lseek(own_answer, 0, SEEK_END), PAGE);
  IS(can_map(own_answer, 0, PAGE), 0);
  IS(close(own_answer), 0);
}
static inline void import_meanwhile(void) {
  ion_user_handle_t handle;
  own_answer = answer_of(import(the_ion, the_fd, &handle));
  if (own_answer == 0) IS(give_back(the_ion, handle), 0);
}
static inline void raced_by_threads(int ion, unsigned int heaps) {
  const int before = room(ion, heaps);
  the_ion = ion;
  NEED(pthread_barrier_init(&at_once, NULL, 2) == 0);
  for (int turn = 0; turn < rounds; ++turn) {
    NEED(allocate(ion, PAGE, heaps, &the_handle) == 0);
    const int others = beside_a_free(free_too);
    CHECK((others == 0 && own_answer == -EINVAL) || (others == -EINVAL && own_answer == 0));

    NEED(allocate(ion, PAGE, heaps, &the_handle) == 0);
    IS(beside_a_free(share_meanwhile), 0);
    CHECK(own_answer >= 0 || own_answer == -EINVAL);
    FAILS(give_back(ion, the_handle), EINVAL);

    NEED(allocate(ion, PAGE, heaps, &the_handle) == 0);
    the_fd = share(ion, the_handle);
    IS(beside_a_free(import_meanwhile), 0);
    IS(own_answer, 0);
    IS(close(the_fd), 0);
    FAILS(give_back(ion, the_handle), EINVAL);
  }
  pthread_barrier_destroy(&at_once);
  IS(room(ion, heaps), before);
}

static inline void frees_for_ever(int socket) {
  ion_user_handle_t handle;
  while (read(socket, &handle, sizeof handle) == (ssize_t)sizeof handle) {
    const int answer = answer_of(give_back(the_ion, handle));
    send_bytes(socket, &answer, sizeof answer);
  }
}
static inline void raced_by_processes(int ion, unsigned int heaps) {
  const int before = room(ion, heaps);
  the_ion = ion;
  struct child child = start(frees_for_ever);
  for (int turn = 0; turn < rounds; ++turn) {
    TAKE(handle, ion, PAGE, heaps);
    send_bytes(child.socket, &handle, sizeof handle);
    if (turn % 2 == 0) {
      own_answer = answer_of(give_back(ion, handle));
    } else {
      the_handle = handle, share_meanwhile();
    }
    int others = 1;
    receive_bytes(child.socket, &others, sizeof others);
    if (turn % 2 == 0) CHECK((others == 0 && own_answer == -EINVAL) || (others == -EINVAL && own_answer == 0));
    if (turn % 2 != 0) CHECK(others == 0 && (own_answer >= 0 || own_answer == -EINVAL));
    FAILS(give_back(ion, handle), EINVAL);
  }
  shutdown(child.socket, SHUT_WR);
  wait_for(child);
  EVENTUALLY(room(ion, heaps) == before);
}

// All of these.
static inline void handles_and_sharing(int ion, unsigned int heaps) {
  unknown_handles(ion, heaps);
  imported(ion, heaps);
  closed_client(ion, heaps);
  shared_twice(ion, heaps);
  outlived(ion, heaps);
  sent(ion, heaps);
  inherited(ion, heaps);
  raced_by_threads(ion, heaps);
  raced_by_processes(ion, heaps);
}
