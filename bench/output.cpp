#include "output.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "failure.hpp"

namespace freestone::bench {

Output::Output(const char* option, const std::filesystem::path& path) : path_(path) {
  if (path.empty()) return;
  created_ = !std::filesystem::exists(path);
  errno = 0;
  if (std::ofstream(path, std::ios::app)) return;
  throw BadInput(std::string(option) + ": cannot write " + path.string() + " (" + std::strerror(errno) +
                 "), expected a file that can be written");
}

Output::~Output() {
  std::error_code error;
  if (!written_ && created_) std::filesystem::remove(path_, error);
}

void Output::write(const std::string& text) {
  std::ofstream file(path_, std::ios::trunc | std::ios::binary);
  file << text << std::flush;
  if (!file) throw std::runtime_error("writing " + path_.string() + " failed");
  written_ = true;
}

}  // namespace freestone::bench
