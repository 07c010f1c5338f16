#include "faults/sweep.hpp"

#include <sys/resource.h>
#include <unistd.h>

namespace freestone::tests {

void Row::print() const {
  std::printf("fault=%s seed=%llu runs=%llu unusable=%llu leaked=%llu corrupt=%llu\n", fault,
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(unusable), static_cast<unsigned long long>(leaked),
              static_cast<unsigned long long>(corrupt));
}

void Row::add(const std::string& subject, const Row& more) {
  std::printf("  %s %s: %llu runs", fault, subject.c_str(), static_cast<unsigned long long>(more.runs));
  if (!more.is_good()) {
    std::printf(", UNUSABLE %llu, LEAKED %llu, CORRUPT %llu", static_cast<unsigned long long>(more.unusable),
                static_cast<unsigned long long>(more.leaked), static_cast<unsigned long long>(more.corrupt));
    no_subject_failed = false;
  }
  std::putchar('\n');
  std::fflush(stdout);
  runs += more.runs;
  unusable += more.unusable;
  leaked += more.leaked;
  corrupt += more.corrupt;
}

void complain(const std::string& subject, const std::string& what) {
  static std::string last;
  static int lines = 0;
  if (subject != last) last = subject, lines = 0;
  if (++lines <= 6) std::printf("    %s: %s\n", subject.c_str(), what.c_str());
}

bool tells(const Error& error, std::string_view call, int os_error, const char* zone) {
  if (!error || describe(error).empty() || std::strcmp(error.zone, zone) != 0) return false;
  if (call == "new" || call == "calloc") return error.code == ErrorCode::out_of_memory;
  if (call == "dlopen") return error.code == ErrorCode::node_failure;
  if (call == "driver") return error.code == ErrorCode::node_failure && error.os_error == -999;
  if (error.os_error != os_error) return false;
  if (call == "cache" || call == "ioctl of a dma-buf") return error.code == ErrorCode::node_failure;
  if (call == "mlock" && os_error == ENOMEM && error.code == ErrorCode::limit_reached) return true;
  const bool is_of_pages = call == "mmap" || call == "madvise";
  const bool is_any = error.code == ErrorCode::os_failure || error.code == ErrorCode::node_failure;
  if (is_of_pages && os_error != ENOMEM && is_any) return true;
  switch (os_error) {
    case ENOMEM: return error.code == ErrorCode::out_of_memory;
    case EMFILE: return error.code == ErrorCode::limit_reached;
    case EACCES: return error.code == ErrorCode::no_access;
    default: return error.code == ErrorCode::node_failure;
  }
}

FileLimit::FileLimit(unsigned more) noexcept {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  before_ = limit.rlim_cur;
  const int lowest = dup(STDERR_FILENO);
  close(lowest);
  limit.rlim_cur = static_cast<rlim_t>(lowest) + more;
  setrlimit(RLIMIT_NOFILE, &limit);
}

FileLimit::~FileLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = static_cast<rlim_t>(before_);
  setrlimit(RLIMIT_NOFILE, &limit);
}

namespace {
rlim_t mapped_pages() {
  unsigned long pages = 0;
  std::FILE* const status = std::fopen("/proc/self/statm", "r");
  if (status != nullptr && std::fscanf(status, "%lu", &pages) != 1) pages = 0;
  if (status != nullptr) std::fclose(status);
  return pages;
}
}  // namespace

PageLimit::PageLimit(unsigned more) noexcept {
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  before_ = limit.rlim_cur;
  limit.rlim_cur = (mapped_pages() + more) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
  if (is_kept) setrlimit(RLIMIT_AS, &limit);
}

PageLimit::~PageLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = static_cast<rlim_t>(before_);
  setrlimit(RLIMIT_AS, &limit);
}

}  // namespace freestone::tests
