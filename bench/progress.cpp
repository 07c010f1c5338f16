#include "progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>

namespace freestone::bench {

Progress::Progress(std::size_t parts) : shown_(isatty(STDERR_FILENO) == 1), parts_(parts) {}

void Progress::begin(const std::string& part, const std::string& what) {
  ++begun_;
  part_ = part;
  step(what);
}

void Progress::step(const std::string& what) {
  if (!shown_) return;
  static constexpr std::array spinner = {'|', '/', '-', '\\'};
  const std::size_t width = 24;
  const std::size_t done = width * (begun_ - 1) / parts_;
  fmt::print(stderr, "\r\033[K[{:#<{}}{:.<{}}] {} {}/{} {}: {}", "", done, "", width - done,
             spinner[steps_++ % spinner.size()], begun_, parts_, part_, what);
  std::fflush(stderr);
}

void Progress::clear() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

}  // namespace freestone::bench
