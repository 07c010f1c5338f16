// What the environment said when the program began.
#pragma once

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <string_view>

#include <freestone/platform/linux_user/protocol.hpp>

#include "system.hpp"

namespace freestone::interposer {

// The value of a variable; null where there is none.
inline const char* value_in(char* const* environment, std::string_view name) noexcept {
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    if (std::strncmp(*environment, name.data(), name.size()) == 0 && (*environment)[name.size()] == '=') {
      return *environment + name.size() + 1;
    }
  }
  return nullptr;
}

// "NAME=value", which stays as it was whatever the program does with its environment. Empty where it was not set, or is
// too long.
class KeptVariable {
 public:
  constexpr explicit KeptVariable(std::string_view name) noexcept : name_(name) {}

  void take(char* const* environment) noexcept {
    const char* const value = value_in(environment, name_);
    if (value == nullptr || *value == '\0') return;
    const std::size_t length = std::strlen(value);
    if (name_.size() + length + 2 > text_.size()) return;
    std::memcpy(text_.data(), name_.data(), name_.size());
    text_[name_.size()] = '=';
    std::memcpy(text_.data() + name_.size() + 1, value, length + 1);
  }
  std::string_view name() const noexcept { return name_; }
  bool is_set() const noexcept { return text_[0] != '\0'; }
  char* text() noexcept { return text_.data(); }
  const char* value() const noexcept { return text_.data() + name_.size() + 1; }

 private:
  std::string_view name_;
  std::array<char, 4096> text_ = {};
};

struct Settings {
  KeptVariable server{linux_user::server_variable};
  KeptVariable preload{"LD_PRELOAD"};
  std::atomic<int> state = 0;  // 0: nobody has looked yet; 1: there is no server; 2: there is
};
inline constinit Settings settings;

// Whether this program has a server. Where not, every hook is the next function and nothing else.
inline bool is_on() noexcept {
  const int state = settings.state.load(std::memory_order_acquire);
  if (state != 0) return state == 2;
  if (environ == nullptr) return false;  // so early
  settings.server.take(environ);
  settings.preload.take(environ);
  settings.state.store(settings.server.is_set() ? 2 : 1, std::memory_order_release);
  return settings.server.is_set();
}

}  // namespace freestone::interposer
