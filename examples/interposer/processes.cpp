// Hooks: programs that start others, and that end.
#include <spawn.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>

#include "connection.hpp"
#include "next.hpp"
#include "processes.hpp"

using namespace freestone::interposer;

namespace {
FREESTONE_NEXT(execve, int(const char*, char* const*, char* const*));
FREESTONE_NEXT(execvpe, int(const char*, char* const*, char* const*));
FREESTONE_NEXT(execveat, int(int, const char*, char* const*, char* const*, int));
FREESTONE_NEXT(fexecve, int(int, char* const*, char* const*));
using Spawn = int(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*, char* const*,
                  char* const*);
FREESTONE_NEXT(posix_spawn, Spawn);
FREESTONE_NEXT(posix_spawnp, Spawn);
FREESTONE_NEXT(_exit, void(int));
FREESTONE_NEXT(quick_exit, void(int));
}  // namespace

FREESTONE_HOOK(int, execve, const char* path, char* const* arguments, char* const* environment) {
  return start_with(environment, [&](char* const* whole) { return next_execve(path, arguments, whole); });
}
FREESTONE_HOOK(int, execv, const char* path, char* const* arguments) { return hook_execve(path, arguments, environ); }
FREESTONE_HOOK(int, execvpe, const char* name, char* const* arguments, char* const* environment) {
  return start_with(environment, [&](char* const* whole) { return next_execvpe(name, arguments, whole); });
}
FREESTONE_HOOK(int, execvp, const char* name, char* const* arguments) { return hook_execvpe(name, arguments, environ); }
FREESTONE_HOOK(int, execveat, int directory, const char* path, char* const* arguments, char* const* environment,
               int flags) {
  return start_with(environment,
                    [&](char* const* whole) { return next_execveat(directory, path, arguments, whole, flags); });
}
FREESTONE_HOOK(int, fexecve, int fd, char* const* arguments, char* const* environment) {
  return start_with(environment, [&](char* const* whole) { return next_fexecve(fd, arguments, whole); });
}

// Those that take their arguments one by one, up to a null; `execle` has the environment behind it.
#define FREESTONE_LIST_HOOK(name, start, last_argument)                                          \
  FREESTONE_HOOK(int, name, const char* path, const char* first, ...) {                          \
    std::va_list list, again;                                                                    \
    va_start(list, first);                                                                       \
    va_copy(again, list);                                                                        \
    std::size_t count = 1;                                                                       \
    for (const char* one = first; one != nullptr; ++count) one = va_arg(again, const char*);     \
    va_end(again);                                                                               \
    auto** const arguments = static_cast<char**>(__builtin_alloca((count + 1) * sizeof(char*))); \
    arguments[0] = const_cast<char*>(first);                                                     \
    for (std::size_t at = 1; at < count; ++at) arguments[at] = va_arg(list, char*);              \
    char* const* const environment = last_argument;                                              \
    va_end(list);                                                                                \
    return start(path, arguments, environment);                                                  \
  }
FREESTONE_LIST_HOOK(execl, hook_execve, environ)
FREESTONE_LIST_HOOK(execlp, hook_execvpe, environ)
FREESTONE_LIST_HOOK(execle, hook_execve, va_arg(list, char**))

#define FREESTONE_SPAWN_HOOK(name)                                                                                 \
  FREESTONE_HOOK(int, name, pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,               \
                 const posix_spawnattr_t* how, char* const* arguments, char* const* environment) {                 \
    return start_with(environment,                                                                                 \
                      [&](char* const* whole) { return next_##name(pid, path, actions, how, arguments, whole); }); \
  }
FREESTONE_SPAWN_HOOK(posix_spawn)
FREESTONE_SPAWN_HOOK(posix_spawnp)

FREESTONE_HOOK(void, _exit, int status) {
  if (is_on()) say_that_we_leave();
  next__exit(status);
  __builtin_trap();
}
FREESTONE_SAME_HOOK(void, _Exit, _exit, int status);
FREESTONE_HOOK(void, quick_exit, int status) {
  if (is_on()) say_that_we_leave();
  next_quick_exit(status);
  __builtin_trap();
}
