// Where this process has no more memory that is an answer, not its end.
#pragma once

#include <new>
#include <utility>

namespace freestone::linux_user {

// Calls act(). False where it had no memory: what it had begun ends as its objects do. (Where a program is compiled without
// exceptions operator new ends it instead.)
template <class Act>
bool has_memory(Act&& act) noexcept {
#ifdef __cpp_exceptions
  try {
    std::forward<Act>(act)();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
#else
  std::forward<Act>(act)();
  return true;
#endif
}

}  // namespace freestone::linux_user
