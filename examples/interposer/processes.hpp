// Programs that this one starts have the same server, whatever environment it makes for them.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

#include "settings.hpp"

namespace freestone::interposer {

// An environment with both variables in it, on its caller's stack: it may be a child that shares its parent's memory,
// or one that was forked while another thread allocated.
class StartEnvironment {
 public:
  explicit StartEnvironment(char* const* given) noexcept : given_(given) {
    if (!is_on() || !settings.preload.is_set()) return;
    const char* const preload = value_in(given, settings.preload.name());
    lacks_server_ = value_in(given, settings.server.name()) == nullptr;
    lacks_preload_ = preload == nullptr || std::strstr(preload, "freestone-interposer") == nullptr;
    if (lacks_preload_ && preload != nullptr) other_preload_ = preload;
  }

  bool is_complete() const noexcept { return !lacks_server_ && !lacks_preload_; }
  // Of the room that complete() takes, in bytes.
  std::size_t size() const noexcept {
    return (count(given_) + 3) * sizeof(char*) + std::strlen(settings.preload.text()) + other_preload_.size() + 2;
  }
  // The environment, in that room.
  char** complete(void* room) const noexcept {
    auto** const made = static_cast<char**>(room);
    std::size_t at = 0;
    for (char* const* one = given_; one != nullptr && *one != nullptr; ++one) {
      if (!lacks_preload_ || std::strncmp(*one, "LD_PRELOAD=", 11) != 0) made[at++] = *one;
    }
    if (lacks_server_) made[at++] = settings.server.text();
    if (lacks_preload_) made[at++] = preload_text(reinterpret_cast<char*>(made + count(given_) + 3));
    made[at] = nullptr;
    return made;
  }

  static std::size_t count(char* const* list) noexcept {
    std::size_t count = 0;
    while (list != nullptr && list[count] != nullptr) ++count;
    return count;
  }

 private:
  // Ours, and then what the program wants.
  char* preload_text(char* to) const noexcept {
    if (other_preload_.empty()) return settings.preload.text();
    const std::size_t length = std::strlen(settings.preload.text());
    std::memcpy(to, settings.preload.text(), length);
    to[length] = ':';
    std::memcpy(to + length + 1, other_preload_.data(), other_preload_.size());
    to[length + 1 + other_preload_.size()] = '\0';
    return to;
  }

  char* const* given_;
  std::string_view other_preload_;
  bool lacks_server_ = false;
  bool lacks_preload_ = false;
};

// Calls start(environment).
template <class Start>
__attribute__((noinline)) int start_with(char* const* environment, Start start) noexcept {
  const StartEnvironment made(environment);
  if (made.is_complete()) return start(environment);
  return start(made.complete(__builtin_alloca(made.size())));
}

}  // namespace freestone::interposer
