#pragma once

#include <filesystem>
#include <string>

namespace freestone::bench {

// A report's file, known to be writable before the long work begins; where that fails, there is no new file. The
// constructor throws BadInput.
class Output {
 public:
  Output(const char* option, const std::filesystem::path& path);
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output();

  bool wanted() const { return !path_.empty(); }
  void write(const std::string& text);

 private:
  std::filesystem::path path_;
  bool created_ = false;
  bool written_ = false;
};

}  // namespace freestone::bench
