// Runs what may hang or end the program in a process of its own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>

namespace freestone::tests {

// Does `predicate` return true, in a child, within that many seconds? Dying and hanging are no.
template <class Predicate>
bool holds_in_child(Predicate&& predicate, unsigned seconds = 10) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (const int null = open("/dev/null", O_WRONLY); null >= 0) dup2(null, STDERR_FILENO);
    for (const int number : {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGALRM}) signal(number, SIG_DFL);
    alarm(seconds);
    _exit(predicate() ? 0 : 1);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Does it end the process, rather than return?
template <class Action>
bool ends_the_program(Action&& action) {
  return !holds_in_child([&] { return action(), true; });
}

}  // namespace freestone::tests
