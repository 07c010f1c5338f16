// expects: A shared Backing needs a Strategy that has place_at: the zone's map is rebuilt with it when a user died.
#include <freestone/backing/os/memory_file.hpp>

#include "parts.hpp"

using namespace freestone;

struct NoPlaceAt : parts::of_strategy::Constants, parts::of_strategy::Footprint, parts::of_strategy::Format<NoPlaceAt>,
                   parts::of_strategy::Place, parts::of_strategy::Release, parts::of_strategy::Tell {};

#ifdef ACCEPT
using Mine = strategy::Bitmap;
#else
using Mine = NoPlaceAt;
#endif

std::size_t words = Zone<backing::MemoryFile, Mine, lock::None, cache::Coherent>::notes_words(1_MiB, 4_KiB);
