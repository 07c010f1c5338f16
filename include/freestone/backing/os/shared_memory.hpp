#pragma once

#include <limits.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include <freestone/backing/os/named_file.hpp>

namespace freestone::backing {

// Memory with a name that every process of the machine may find (shm_open's names, without the slash). It stays until
// somebody removes the name and the last one lets go of it; a reboot ends it. A new zone appears under its name when it
// is whole. Offsets count from 0 in every process; up to 2 MiB a pointer is aligned as its offset is. The bytes can be
// committed and decommitted; none that was committed is missing when the machine has no memory left. Nothing keeps another holder from cutting it short: see check_length, or take a MemoryFile.
class SharedMemory : public NamedFile {
 public:
  // nullptr: the zone's own name. It must outlive the backing, and the errors that name it.
  struct Settings {
    const char* name = nullptr;
  };
  using Source = Settings;

  // bad_name; exists (from publish); no_access, limit_reached, out_of_memory, node_failure.
  static Result<SharedMemory> create(const BackingRequest& request) noexcept { return create(request, Settings{}); }
  static Result<SharedMemory> create(const BackingRequest& request, const Settings& settings) noexcept {
    const char* name = settings.name == nullptr ? request.name : settings.name;
    if (!is_name(name)) return Error::of_node(ErrorCode::bad_name, name, request.name);
    auto made = make_unnamed(request, Path(folder, ""), name);
    if (!made) return made.error();
    return SharedMemory(*std::move(made), name);
  }
  // bad_name, no_device where there is none of that name, no_access, and what SharedFile::take_up says.
  static Result<SharedMemory> attach(const BackingRequest& request, const Source& source) noexcept {
    const char* name = source.name == nullptr ? request.name : source.name;
    if (!is_name(name)) return Error::of_node(ErrorCode::bad_name, name, request.name);
    auto found = find(request, Path(folder, name), name, O_NOFOLLOW);
    if (!found) return found.error();
    return SharedMemory(*std::move(found), name);
  }

  // Who holds it keeps it. bad_name, no_device, no_access.
  static Result<void> remove(const char* name) noexcept {
    if (!is_name(name)) return Error::of_node(ErrorCode::bad_name, name, "");
    if (unlink(Path(folder, name).text()) != 0) return node_error(name, "", 0);
    return {};
  }

  Result<void> publish() noexcept { return appear(Path(folder, name_)); }

 private:
  static constexpr const char* folder = "/dev/shm/";

  SharedMemory(NamedFile file, const char* name) noexcept : NamedFile(std::move(file)), name_(name) {}

  static bool is_name(const char* name) noexcept {
    const std::size_t length = name == nullptr ? 0 : std::strlen(name);
    return length != 0 && length <= NAME_MAX && std::strchr(name, '/') == nullptr && std::strcmp(name, ".") != 0 &&
           std::strcmp(name, "..") != 0;
  }

  const char* name_;
};

}  // namespace freestone::backing
