#include <freestone/zone/zone_tag.hpp>

#include <doctest/doctest.h>

#include <set>

TEST_CASE("tags of zones over the same words differ, and none is 0") {
  const std::uint64_t words[1] = {};
  std::set<std::uint32_t> tags;
  for (int i = 0; i < 1000; ++i) tags.insert(freestone::detail::new_zone_tag(words, ""));
  CHECK(tags.size() >= 999);  // one chance in 8,000 that two of them meet
  CHECK_FALSE(tags.contains(0));
}
