#pragma once

#include <cstddef>
#include <string>

namespace freestone::bench {

// A bar on stderr while it is a terminal, and nothing where it is not.
class Progress {
 public:
  explicit Progress(std::size_t parts);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  void begin(const std::string& part, const std::string& what);  // the next one, and what is done of it
  void step(const std::string& what);                            // something of it was done
  void clear();

 private:
  bool shown_;
  std::size_t parts_;
  std::size_t begun_ = 0;
  std::size_t steps_ = 0;
  std::string part_;
};

}  // namespace freestone::bench
