#include <freestone/heap/name_table.hpp>

#include <doctest/doctest.h>

#include <string>

#include <freestone/heap/block_name.hpp>

using namespace freestone;

namespace {

using Name = BlockName<>;
using Table = detail::KeptTable<Name, 3>;

Block block_at(std::uint64_t offset) { return Block(offset, 4096, 7); }

std::string text_of(const Table& table) {
  std::string text;
  table.for_each([&](const KeptBlock<Name>& kept) { text += std::string(kept.name.c_str()) + ","; });
  return text;
}

}  // namespace

TEST_CASE("blocks in the order in which they came, and those that are being made are nobody's") {
  Table table;
  table.add({.name = "a", .block = block_at(0), .length = 100});
  CHECK(table.find(Name("a")) == nullptr);
  CHECK(table.find(block_at(0)) == nullptr);
  CHECK(table.find_containing(7, 0) == nullptr);
  CHECK(text_of(table).empty());
  table.find_unready("a")->is_ready = true;
  CHECK(table.find_unready("a") == nullptr);
  table.add({.name = "b", .block = block_at(4096), .length = 4096});
  table.find_unready("b")->is_ready = true;
  CHECK(!table.is_full());
  table.add({.name = "a", .block = block_at(8192), .length = 1});  // while another of that name is ready
  CHECK(table.is_full());
  CHECK(table.find(Name("a"))->kept.block == block_at(0));
  CHECK(table.find_unready("a")->kept.block == block_at(8192));
  CHECK(text_of(table) == "b,a,");
  table.erase(*table.find(Name("a")));
  table.find_unready("a")->is_ready = true;
  CHECK(text_of(table) == "a,b,");
  CHECK(table.find(block_at(8192))->kept.name == Name("a"));
  CHECK(table.find(block_at(0)) == nullptr);
}

TEST_CASE("a byte is found as far as it was asked for, and the empty name never") {
  Table table;
  table.add({.block = block_at(4096), .length = 100});
  CHECK(table.find_unready(Name()) == nullptr);
  table.add({.name = "a", .block = block_at(8192), .length = 4096});
  table.find_unready("a")->is_ready = true;
  CHECK(table.find(Name()) == nullptr);
  CHECK(table.find_containing(7, 8192) != nullptr);
  CHECK(table.find_containing(7, 12287) != nullptr);
  CHECK(table.find_containing(7, 12288) == nullptr);
  CHECK(table.find_containing(7, 8191) == nullptr);
  CHECK(table.find_containing(8, 8192) == nullptr);
}

TEST_CASE("some of them at once go out, and each is asked about once") {
  Table table;
  for (std::uint64_t i = 0; i < 3; ++i) table.add({.block = block_at(4096 * i), .length = 1});
  std::string asked;
  table.erase_if([&](const Table::Entry& entry) {
    asked += std::to_string(entry.kept.block.offset().value() / 4096);
    return entry.kept.block != block_at(4096);
  });
  CHECK(asked == "012");
  CHECK(!table.is_full());
  unsigned left = 0;
  table.erase_if([&](const Table::Entry& entry) {
    CHECK(entry.kept.block == block_at(4096));
    return ++left == 0;
  });
  CHECK(left == 1);
}

TEST_CASE("names that are pinned: each once, newest first") {
  detail::PinnedNames<Name, 2> pins;
  CHECK(pins.add("a"));
  CHECK(pins.add("b"));
  CHECK(pins.add("a"));
  CHECK(!pins.add("c"));
  std::string text;
  pins.for_each([&](const Name& name) { text += name.c_str(); });
  CHECK(text == "ba");
  CHECK(!pins.erase("c"));
  CHECK(pins.erase("a"));
  CHECK(!pins.contains("a"));
  CHECK(pins.contains("b"));
  CHECK(pins.add("c"));
}
