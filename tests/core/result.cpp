#include <freestone/core/result.hpp>

#include <memory>
#include <type_traits>
#include <utility>

#include <doctest/doctest.h>

#include <freestone/core/block.hpp>
#include "support/child.hpp"

using namespace freestone;
using freestone::tests::ends_the_program;

static_assert(sizeof(Result<Block>) == sizeof(Error) + alignof(Error));  // the larger of the two, and a flag
static_assert(std::is_trivially_copyable_v<Result<Block>>);
static_assert(!std::is_copy_constructible_v<Result<std::unique_ptr<int>>>);
static_assert(std::is_nothrow_move_constructible_v<Result<std::unique_ptr<int>>>);

namespace {

constexpr Result<int> half_of(int n) {
  if (n % 2 != 0) return Error{.code = ErrorCode::zone_not_multiple, .asked = 3};
  return n / 2;
}
static_assert(half_of(4) && *half_of(4) == 2);
static_assert(!half_of(3) && half_of(3).error().asked == 3);

Result<std::unique_ptr<int>> own(int n) {
  if (n < 0) return ErrorCode::out_of_memory;
  return std::make_unique<int>(n);
}

}  // namespace

TEST_CASE("a value, or why there is none") {
  Result<int> result = half_of(10);
  REQUIRE(result);
  CHECK(*result == 5);
  *result = 6;
  CHECK(*std::as_const(result) == 6);
  CHECK(half_of(1).error().code == ErrorCode::zone_not_multiple);
  CHECK(Result<int>(ErrorCode::no_space).error() == Error{.code = ErrorCode::no_space});
}

TEST_CASE("the arrow reaches into the value") {
  Result<Block> result = Block(1, 2, 3);
  CHECK(result->size() == 2);
  CHECK(std::as_const(result)->offset() == 1);
}

TEST_CASE("what can only be moved is moved, and destroyed once") {
  auto result = own(7);
  REQUIRE(result);
  const std::unique_ptr<int> mine = *std::move(result);
  CHECK(*mine == 7);
  CHECK(own(-1).error().code == ErrorCode::out_of_memory);
  const auto counted = std::make_shared<int>(1);
  {
    Result<std::shared_ptr<int>> first = counted;
    const Result<std::shared_ptr<int>> second = std::move(first);
    CHECK(counted.use_count() == 2);
  }
  CHECK(counted.use_count() == 1);
}

TEST_CASE("nothing can fail too") {
  CHECK(Result<void>());
  const Result<void> failed = Error{.code = ErrorCode::double_release, .asked = 4096};
  CHECK(!failed);
  CHECK(failed.error().asked == 4096);
  CHECK(Result<void>(ErrorCode::no_space).error().code == ErrorCode::no_space);
  CHECK(Result<void>().error().code == ErrorCode::none);
}

TEST_CASE("asking without looking ends the program") {
  CHECK(ends_the_program([] { return *Result<int>(ErrorCode::no_space); }));
  CHECK(ends_the_program([] { return *own(-1) == nullptr; }));
  CHECK(ends_the_program([] { return Result<int>(1).error().asked; }));
  CHECK(!ends_the_program([] { return *Result<int>(1); }));
}
