#include <freestone/platform/linux_user/access.hpp>

#include <doctest/doctest.h>

using namespace freestone::linux_user;

TEST_CASE("a mode: each has the rights of the first that he is, and no others") {
  constexpr std::uint32_t all[] = {R_OK, W_OK, X_OK, R_OK | W_OK, R_OK | X_OK, R_OK | W_OK | X_OK};
  for (std::uint32_t mode = 0; mode <= 0777; ++mode) {
    for (const std::uint32_t wanted : all) {
      if (allows(mode, Standing::owner, wanted) != ((mode >> 6 & wanted) == wanted)) CHECK(mode == 01000);
      if (allows(mode, Standing::group, wanted) != ((mode >> 3 & wanted) == wanted)) CHECK(mode == 01000);
      if (allows(mode, Standing::other, wanted) != ((mode & wanted) == wanted)) CHECK(mode == 01000);
    }
  }
  CHECK(!allows(0077, Standing::owner, R_OK));  // others may, and he may not
  CHECK(!allows(0707, Standing::group, W_OK));
}

TEST_CASE("root reads and writes all; what nobody may execute he may not either") {
  for (std::uint32_t mode = 0; mode <= 0777; ++mode) {
    if (!allows(mode, Standing::root, R_OK | W_OK)) CHECK(mode == 01000);
    if (allows(mode, Standing::root, X_OK) != ((mode & 0111) != 0)) CHECK(mode == 01000);
  }
}

TEST_CASE("whoever asks whether a file is there may always") {
  for (const Standing who : {Standing::root, Standing::owner, Standing::group, Standing::other}) CHECK(allows(0, who, F_OK));
}

TEST_CASE("what open's flags want") {
  CHECK(wanted_by(O_RDONLY | O_CLOEXEC) == R_OK);
  CHECK(wanted_by(O_WRONLY | O_NONBLOCK) == W_OK);
  CHECK(wanted_by(O_RDWR) == (R_OK | W_OK));
  CHECK(wanted_by(O_ACCMODE) == (R_OK | W_OK));
  CHECK(wanted_by(O_RDONLY | O_TRUNC) == (R_OK | W_OK));
}
