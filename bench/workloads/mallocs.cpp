#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "child.hpp"
#include "peers.hpp"
#include "report.hpp"

namespace freestone::bench::workloads {

namespace {

struct Malloc {
  std::string_view name;
  std::string_view library;  // that replaces malloc when it is loaded first; empty: the host's own
  std::string_view symbol;   // that no other has
  std::string_view package;
};

constexpr std::array mallocs = {
    Malloc{"peer::glibc_malloc", "", "gnu_get_libc_version", "libc6"},
    Malloc{"peer::jemalloc", "libjemalloc.so.2", "mallctl", "libjemalloc2"},
    Malloc{"peer::mimalloc", "libmimalloc.so.2", "mi_malloc", "libmimalloc2.0"},
    Malloc{"peer::tbbmalloc", "libtbbmalloc_proxy.so.2", "scalable_malloc", "libtbbmalloc2"},
};

// Nobody touches the bytes.
class MallocTarget {
 public:
  using Handle = void*;
  static constexpr Handle none = nullptr;

  explicit MallocTarget(std::uint64_t) {}

  Handle allocate(const Request& request) {
    const auto size = static_cast<std::size_t>(request.size.value());
    if (request.align == 0) return std::malloc(size);
    void* block = nullptr;
    return posix_memalign(&block, static_cast<std::size_t>(request.align.value()), size) == 0 ? block : nullptr;
  }
  void deallocate(Handle block) { std::free(block); }
};

struct MallocFamily {
  template <class>
  using Target = MallocTarget;
  static constexpr bool shares_itself = true;
  static constexpr bool bounded = false;

  static std::optional<std::string> obstacle(const Setting&) { return std::nullopt; }
};

using OwnMalloc = SubjectOf<MallocFamily>;

// What the child finds.
class ChildSubject final : public OwnMalloc {
 public:
  ChildSubject(const Malloc& one, bool quick)
      : OwnMalloc(std::string(one.name), std::string(one.name)), malloc_(one), quick_(quick) {}

  std::vector<Row> round(const Setting& setting, std::uint64_t, const Timer&) const override {
    const auto found = answer(setting.name);
    if (!found || found->empty())
      throw std::runtime_error(fmt::format("{}: the child that measures it failed", name()));
    return rows_from_json(*found);
  }

  // Whether a child has that malloc.
  bool is_there() const {
    const auto found = answer("W1");
    return found && !found->empty();
  }

 private:
  std::optional<std::string> answer(std::string_view workload) const {
    std::vector<std::string> command = {own_path(), "--round", name(), "--only", std::string(workload)};
    if (quick_) command.push_back("--quick");
    return output_of(command, malloc_.library.empty() ? "" : fmt::format("LD_PRELOAD={}", malloc_.library));
  }

  const Malloc& malloc_;
  bool quick_;
};

}  // namespace

Subjects malloc_subjects(bool quick, std::vector<std::string>& notes) {
  Subjects subjects;
  for (const Malloc& one : mallocs) {
    auto subject = std::make_unique<ChildSubject>(one, quick);
    if (subject->is_there()) {
      subjects.push_back(std::move(subject));
    } else {
      notes.push_back(fmt::format("{}: left out, {} is not there: apt-get install {}", one.name,
                                  one.library.empty() ? "glibc" : one.library, one.package));
    }
  }
  return subjects;
}

std::unique_ptr<Subject> own_malloc(const std::string& name) {
  const auto found = std::find_if(mallocs.begin(), mallocs.end(), [&](const Malloc& one) { return one.name == name; });
  if (found == mallocs.end() || dlsym(RTLD_DEFAULT, std::string(found->symbol).c_str()) == nullptr) return nullptr;
  return std::make_unique<OwnMalloc>(name, name);
}

}  // namespace freestone::bench::workloads
