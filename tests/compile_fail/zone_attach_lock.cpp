// expects: attach: a shared Backing needs a Lock that orders callers of other processes too (process_shared).
#include <freestone/freestone.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/lock/os/mutex.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = lock::Spin;
#else
using Mine = lock::Mutex;
#endif

using Shared = Zone<backing::MemoryFile, strategy::Buddy, Mine, cache::Coherent>;

Result<Shared> join(int fd) { return Shared::attach({.size = 1_MiB}, backing::MemoryFile::Source{fd}); }
