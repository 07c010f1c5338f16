#include <sys/mman.h>
#include <unistd.h>

#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/mem_algo/simple_seq_fit.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <memory_resource>
#include <new>

#include "../text.hpp"
#include "peers.hpp"

namespace freestone::bench::workloads {

namespace {

namespace interprocess = boost::interprocess;

class NullTarget {
 public:
  using Handle = std::uint64_t;
  static constexpr Handle none = UINT64_MAX;

  explicit NullTarget(std::uint64_t) {}
  Handle allocate(const Request&) { return 0; }
  void deallocate(Handle) {}
};

// Whoever writes into the memory that he manages gets this. It stays mapped from round to round, and where the machine
// has plenty it is there before the first one, in large pages: what the host needs for that is not his cost.
class Memory {
 public:
  static void* of(std::uint64_t bytes) {
    static Memory memory;
    if (memory.bytes_ != bytes) memory.map(bytes);
    return memory.start_;
  }

  static std::uint64_t of_machine() {
    return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  }

 private:
  Memory() = default;
  ~Memory() { unmap(); }

  void map(std::uint64_t bytes) {
    unmap();
    start_ = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start_ == MAP_FAILED) throw std::bad_alloc();
    bytes_ = bytes;
    const bool plenty = bytes <= of_machine() / 4;
    madvise(start_, static_cast<std::size_t>(bytes), plenty ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (std::uint64_t at = 0; plenty && at < bytes; at += granule) static_cast<volatile char*>(start_)[at] = 0;
  }
  void unmap() {
    if (bytes_ != 0) munmap(start_, static_cast<std::size_t>(bytes_));
    bytes_ = 0;
  }

  void* start_ = nullptr;
  std::uint64_t bytes_ = 0;
};

template <class Algorithm>
class InterprocessTarget {
 public:
  using Handle = void*;
  static constexpr Handle none = nullptr;

  explicit InterprocessTarget(std::uint64_t bytes)
      : buffer_(interprocess::create_only, Memory::of(bytes), static_cast<std::size_t>(bytes)) {}

  Handle allocate(const Request& request) {
    const auto size = static_cast<std::size_t>(request.size.value());
    if (request.align == 0) return buffer_.allocate(size, std::nothrow);
    return buffer_.allocate_aligned(size, static_cast<std::size_t>(request.align.value()), std::nothrow);
  }
  void deallocate(Handle block) { buffer_.deallocate(block); }

 private:
  interprocess::basic_managed_external_buffer<char, Algorithm, interprocess::iset_index> buffer_;
};

// What such a resource wants to be told at deallocation.
struct PoolBlock {
  void* block = nullptr;
  std::size_t size = 0;
  std::size_t align = 0;

  friend bool operator==(const PoolBlock&, const PoolBlock&) = default;
};

class PoolTarget {
 public:
  using Handle = PoolBlock;
  static constexpr Handle none = {};

  explicit PoolTarget(std::uint64_t) {}

  Handle allocate(const Request& request) {
    const auto size = static_cast<std::size_t>(request.size.value());
    const auto align = request.align == 0 ? alignof(std::max_align_t) : static_cast<std::size_t>(request.align.value());
    return {pools_.allocate(size, align), size, align};
  }
  void deallocate(Handle handle) { pools_.deallocate(handle.block, handle.size, handle.align); }

 private:
  std::pmr::unsynchronized_pool_resource pools_;
};

// A peer for one thread, alone or under a lock.
template <class T>
struct PeerFamily {
  template <class L>
  using Target = std::conditional_t<std::is_same_v<L, lock::None>, T, Locked<T, L>>;
  static constexpr bool shares_itself = false;
  static constexpr bool bounded = false;

  static std::optional<std::string> obstacle(const Setting&) { return std::nullopt; }
};

template <class Algorithm>
struct InterprocessFamily : PeerFamily<InterprocessTarget<Algorithm>> {
  static constexpr bool bounded = true;

  // The head of each block is written: that is a page of 4 KiB at least.
  static std::optional<std::string> obstacle(const Setting& setting) {
    const std::uint64_t touched = setting.zone_bytes / setting.smallest;
    if (touched <= Memory::of_machine() / 2) return std::nullopt;
    return "it writes into what it manages, up to " + human_bytes(touched) +
           ", more than half of this machine's memory";
  }
};

template <class Family>
void add(Subjects& subjects, const std::string& name) {
  subjects.push_back(std::make_unique<SubjectOf<Family>>(name, name));
}

}  // namespace

Subjects null_subject() {
  Subjects subjects;
  add<PeerFamily<NullTarget>>(subjects, "peer::null");
  return subjects;
}

Subjects peer_subjects() {
  using Alone = interprocess::null_mutex_family;
  Subjects subjects;
  add<InterprocessFamily<interprocess::rbtree_best_fit<Alone>>>(subjects, "peer::boost_rbtree_best_fit");
  add<InterprocessFamily<interprocess::simple_seq_fit<Alone>>>(subjects, "peer::boost_simple_seq_fit");
  add<PeerFamily<PoolTarget>>(subjects, "peer::pmr_unsynchronized_pool");
  return subjects;
}

}  // namespace freestone::bench::workloads
