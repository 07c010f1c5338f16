#include "serve.hpp"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <utility>

#include <freestone/core/os/describe.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/size_words.hpp>
#include <freestone/share/keyed_tag.hpp>

#include "device_board.hpp"

namespace freestone::linux_user {

namespace {

class LoadedBoard final : public ServedBoard {
 public:
  explicit LoadedBoard(std::unique_ptr<DeviceBoard> board) noexcept : board_(std::move(board)) {}

  const Tree& tree() const noexcept override { return board_->tree(); }
  void look_after(OpenFiles& files) override { board_->look_after(files); }

 private:
  std::unique_ptr<DeviceBoard> board_;
};

}  // namespace

std::unique_ptr<ServedBoard> load_board(const std::string& path, std::span<const char* const> sizes, std::string& why) {
  const auto words = read_size_words(sizes);
  if (!words) return why = describe(words.error()), nullptr;
  std::ifstream file(path);
  if (!file) return why = path + ": cannot be read; a board (.toml) was expected", nullptr;
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto board = DeviceBoard::create(text, chance<TagKey>(), *words);
  if (!board) return why = path + ": " + describe(board.error()), nullptr;
  for (const TextError& one : (*board)->left_out()) {
    std::fprintf(stderr, "freestone: %s: left out: %s\n", path.c_str(), describe(one).c_str());
  }
  return std::make_unique<LoadedBoard>(*std::move(board));
}

}  // namespace freestone::linux_user
