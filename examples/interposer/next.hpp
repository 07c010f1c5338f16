// The functions that a program would call if this library were not there: the next of that name (dlsym).
#pragma once

#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <type_traits>

namespace freestone::interposer {

struct NextFunction {
  const char* name;
  std::atomic<void*> address;

  void* find() noexcept {
    void* found = address.load(std::memory_order_relaxed);
    if (found != nullptr) return found;
    const int saved = errno;
    found = ::dlsym(RTLD_NEXT, name);
    errno = saved;
    address.store(found, std::memory_order_relaxed);
    return found;
  }
};

// A call of a function that there is not.
template <class R>
R none() noexcept {
  errno = ENOSYS;
  if constexpr (std::is_pointer_v<R>) return nullptr;
  if constexpr (std::is_integral_v<R>) return static_cast<R>(-1);
}

// Called as F is. Where nobody has the function, it fails with ENOSYS.
template <class F>
struct Next;
template <class R, class... A>
struct Next<R(A...)> : NextFunction {
  R operator()(A... arguments) noexcept {
    void* const found = find();
    if (found != nullptr) return reinterpret_cast<R (*)(A...)>(found)(arguments...);
    return none<R>();
  }
};
template <class R, class... A>
struct Next<R(A..., ...)> : NextFunction {
  template <class... More>
  R operator()(A... arguments, More... more) noexcept {
    void* const found = find();
    if (found != nullptr) return reinterpret_cast<R (*)(A..., ...)>(found)(arguments..., more...);
    return none<R>();
  }
};

extern "C" {
extern NextFunction __start_freestone_next[] __attribute__((visibility("hidden")));
extern NextFunction __stop_freestone_next[] __attribute__((visibility("hidden")));
}
// All at once: a child must not ask dlsym, whose lock another thread may have held when it was forked.
inline void find_all_next() noexcept {
  static constinit std::atomic<bool> are_found = false;
  if (are_found.exchange(true)) return;
  for (NextFunction* one = __start_freestone_next; one != __stop_freestone_next; ++one) static_cast<void>(one->find());
}

// next_NAME, of that type.
#define FREESTONE_NEXT(name, ...)                                                                              \
  __attribute__((section("freestone_next"), used)) static constinit ::freestone::interposer::Next<__VA_ARGS__> \
      next_##name {                                                                                            \
    { #name, nullptr }                                                                                         \
  }

// A hook: a function of this library that programs call by a name of libc's. It has a name of its own here, so that
// libc's declarations, which differ between its versions, may be there too.
#define FREESTONE_HOOK(result, name, ...)                                                       \
  extern "C" __attribute__((visibility("default"))) result hook_##name(__VA_ARGS__) asm(#name); \
  extern "C" result hook_##name(__VA_ARGS__)
// One more name of a hook in the same file.
#define FREESTONE_SAME_HOOK(result, other, name, ...) \
  extern "C" __attribute__((visibility("default"), alias(#name))) result hook_##other(__VA_ARGS__) asm(#other)

}  // namespace freestone::interposer
