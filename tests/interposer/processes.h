// What C programs with several processes have in common. Whoever includes it has said before how `wrong` is counted: SAY, CHECK, IS.
#pragma once

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// Within ten seconds: what another process left behind ends when its end is noticed.
#define EVENTUALLY(what)                                                 \
  do {                                                                   \
    for (int turn = 0; turn < 1000 && !(what); ++turn) usleep(10 * 1000); \
    CHECK(what);                                                         \
  } while (0)
// Without which there is nothing more to see.
#define NEED(what)                                                                               \
  do {                                                                                           \
    if (!(what)) SAY("%s is not so (errno %d, %s)\n", #what, errno, strerror(errno)), _exit(1); \
  } while (0)

static inline void send_bytes(int socket, const void *bytes, size_t length) { NEED(write(socket, bytes, length) == (ssize_t)length); }
static inline void receive_bytes(int socket, void *bytes, size_t length) { NEED(read(socket, bytes, length) == (ssize_t)length); }
static inline void pass(int socket) { send_bytes(socket, "", 1); }
static inline void await(int socket) {
  char byte;
  receive_bytes(socket, &byte, 1);
}
static inline void send_fd(int socket, int fd) {
  char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec io = {&byte, 1};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  NEED(sendmsg(socket, &message, 0) == 1);
}
static inline int receive_fd(int socket) {
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec io = {&byte, 1};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int fd = -1;
  NEED(recvmsg(socket, &message, 0) == 1 && message.msg_controllen != 0);
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

struct child {
  pid_t pid;
  int socket;
};
// A process that does so with its end of a socket, and ends with 0 where all held.
static inline struct child start(void (*act)(int socket)) {
  int ends[2];
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t pid = fork();
  NEED(pid >= 0);
  if (pid == 0) {
    wrong = 0;
    alarm(30);
    close(ends[0]);
    act(ends[1]);
    _exit(wrong != 0);
  }
  close(ends[1]);
  return (struct child){pid, ends[0]};
}
static inline void wait_for(struct child child) {
  int status = -1;
  IS(waitpid(child.pid, &status, 0), child.pid);
  IS(status, 0);
  close(child.socket);
}
