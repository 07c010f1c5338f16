// expects: A shared Backing needs a Strategy that places: addresses of one process mean nothing in another.
#include <freestone/freestone.hpp>
#include <freestone/backing/os/memory_file.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = strategy::AllOrNothing;
#else
using Mine = strategy::System;
#endif

std::size_t words = Zone<backing::MemoryFile, Mine, lock::None, cache::Coherent>::notes_words(1_MiB, 4_KiB);
