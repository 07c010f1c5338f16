// expects: A heap has a base, a memory or a neighbour, and memory of its zone's backing begins where it likes.
#include <freestone/heap/heaps.hpp>

#include <freestone/backing/os/memory_file.hpp>
#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
using File = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

#ifdef ACCEPT
using OfHeap = Numbers;
#else
using OfHeap = File;
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<OfHeap>, size<64_KiB>, base<0x8000'0000>));
