// expects: This Backing cannot map its memory the way this CachePolicy assumes.
#include <freestone/freestone.hpp>
#include <freestone/backing/os/anonymous.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = cache::Coherent;
#else
using Mine = cache::Uncached;
#endif

std::size_t words = Zone<backing::Anonymous, strategy::Bitmap, lock::None, Mine>::notes_words(1_MiB, 4_KiB);
