// expects: This CachePolicy must see all the bytes first, so the Backing must have them in one piece where the CPU sees them: cpu_pointer, and no gaps.
#include <freestone/cache/os/modelled.hpp>
#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = backing::Borrowed;
#else
using Mine = backing::OffsetSpace;
#endif

std::size_t words = Zone<Mine, strategy::Bitmap, lock::None, cache::Modelled>::notes_words(1_MiB, 4_KiB);
