// How C programs say what is wrong.
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static int wrong;
#define SAY(...) (fprintf(stderr, "%s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__), (void)++wrong)
#define CHECK(what)                                                              \
  do {                                                                           \
    if (!(what)) SAY("%s is not so (errno %d, %s)\n", #what, errno, strerror(errno)); \
  } while (0)
#define IS(what, wanted)                                                                                      \
  do {                                                                                                        \
    const long long is_ = (long long)(what), wanted_ = (long long)(wanted);                                   \
    if (is_ != wanted_) SAY("%s is %lld, and not %lld (errno %d)\n", #what, is_, wanted_, errno);             \
  } while (0)
#define FAILS(what, why)                                                                                      \
  do {                                                                                                        \
    errno = 0;                                                                                                \
    const long long is_ = (long long)(what);                                                                  \
    if (is_ != -1 || errno != (why)) SAY("%s is %lld with errno %d, and not %d\n", #what, is_, errno, (why)); \
  } while (0)

static inline int is_all(const volatile char *bytes, size_t length, char what) {
  for (size_t at = 0; at < length; ++at) {
    if (bytes[at] != what) return 0;
  }
  return 1;
}
