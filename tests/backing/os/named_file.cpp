#include <freestone/backing/os/named_file.hpp>

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

using namespace freestone;
using namespace freestone::literals;
using backing::Path;

namespace {

// Whoever derives from it.
struct Named : backing::NamedFile {
  static constexpr const char* node = "a named file";
  static Result<Named> unnamed(const std::string& folder) {
    auto made = make_unnamed(request, Path(folder.c_str(), ""), node);
    return made ? Result<Named>(Named(*std::move(made))) : made.error();
  }
  static Result<Named> found(const std::string& path) {
    auto taken = find(request, Path(path.c_str(), ""), node, 0);
    return taken ? Result<Named>(Named(*std::move(taken))) : taken.error();
  }
  explicit Named(NamedFile file) : NamedFile(std::move(file)) {}
  Result<void> appear_as(const std::string& path) { return appear(Path(path.c_str(), "")); }

  static constexpr BackingRequest request{.name = "zone", .size = 64_KiB, .granule = 4_KiB, .notes_words = 8};
};

struct Folder {
  Folder() { REQUIRE(mkdtemp(path) != nullptr); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    unlink(file().c_str());
    rmdir(path);
  }
  std::string file() const { return std::string(path) + "/zone"; }
  char path[40] = "/tmp/freestone-named-file-XXXXXX";
};

}  // namespace

TEST_CASE("a path is its two parts, and says where they are too long") {
  CHECK(std::strcmp(Path("/dev/shm/", "zone").text(), "/dev/shm/zone") == 0);
  const std::string most(PATH_MAX - 1, 'x');
  CHECK(Path(most.c_str(), "").fits());
  CHECK(Path("", most.c_str()).text() == most);
  CHECK(!Path(most.c_str(), "y").fits());
  CHECK(!Path("yy", most.c_str()).fits());
  CHECK(!Path((most + "z").c_str(), "").fits());
}

TEST_CASE("the folder that the last name is in") {
  const auto folder = [](const char* path) { return std::string(Path(path, "").folder().text()); };
  CHECK(folder("/a/b/c") == "/a/b");
  CHECK(folder("/a") == "/");
  CHECK(folder("a/b") == "a");
  CHECK(folder("a") == ".");
}

TEST_CASE("a new file has no name until it appears, and then it is there as it was made") {
  const Folder folder;
  auto file = Named::unnamed(folder.path);
  REQUIRE(file);
  CHECK(!file->published());
  CHECK(Named::found(folder.file()).error().os_error == ENOENT);
  file->notes()[0] = 42;
  REQUIRE(file->appear_as(folder.file()));
  CHECK(file->published());
  const auto other = Named::found(folder.file());
  REQUIRE(other);
  CHECK(other->published());
  CHECK(Named(*std::move(Named::found(folder.file()))).notes()[0] == 42);
  struct stat status {};
  REQUIRE(stat(folder.file().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("of two that make the same one the first has the name; the second is told, and leaves nothing") {
  const Folder folder;
  {
    auto first = Named::unnamed(folder.path), second = Named::unnamed(folder.path);
    REQUIRE((first && second));
    second->notes()[0] = 2;
    CHECK(first->appear_as(folder.file()));
    CHECK(second->appear_as(folder.file()).error().code == ErrorCode::exists);
    CHECK(!second->published());
  }
  CHECK(Named(*std::move(Named::found(folder.file()))).notes()[0] == 0);
}

TEST_CASE("where there is no such folder the error names the node") {
  const auto none = Named::unnamed("/nowhere/at all");
  REQUIRE(!none);
  CHECK(none.error().os_error == ENOENT);
}
