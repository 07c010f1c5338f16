#include <freestone/backing/os/mapping.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <utility>

using namespace freestone;
using backing::Mapping;
using backing::PageLayout;

TEST_CASE("notes lie on pages of their own behind the data") {
  const std::uint64_t page = backing::page_size();
  const PageLayout layout = PageLayout::of({.size = page + 1, .notes_words = 3});
  CHECK(layout.notes_offset == 2 * page);
  CHECK(layout.bytes == 3 * page);
  CHECK(PageLayout::of({.size = ~std::uint64_t{0}, .notes_words = 1}).bytes == 0);
  CHECK(PageLayout::of({.size = 1, .notes_words = SIZE_MAX}).bytes == 0);
}

TEST_CASE("pages come zeroed and aligned, and go with their owner") {
  void* at = nullptr;
  {
    auto pages = Mapping::map(3 * backing::page_size(), 1U << 20, -1, "");
    REQUIRE(pages);
    at = pages->data();
    CHECK(reinterpret_cast<std::uintptr_t>(at) % (1U << 20) == 0);
    CHECK(pages->data()[12'000 % (3 * backing::page_size())] == std::byte{0});
    const Mapping moved = *std::move(pages);
    CHECK(moved.data() == at);
    CHECK(pages->data() == nullptr);
  }
  CHECK(msync(at, static_cast<std::size_t>(backing::page_size()), MS_ASYNC) == -1);  // ENOMEM: nothing is mapped there any more
}

TEST_CASE("what cannot be mapped is an error with errno") {
  const auto none = Mapping::map(0, 0, -1, "zone");
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ErrorCode::out_of_memory);
  const auto no_file = Mapping::map(4096, 0, 9999, "zone");
  REQUIRE_FALSE(no_file);
  CHECK(no_file.error().code == ErrorCode::os_failure);
  CHECK(no_file.error().os_error == EBADF);
}
