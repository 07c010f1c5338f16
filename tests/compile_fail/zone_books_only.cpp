// expects: This Strategy keeps books only, so the Backing must give memory block by block: obtain, give_back, obtained.
#include <freestone/freestone.hpp>
#include <freestone/backing/os/anonymous.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = backing::Anonymous;
#else
using Mine = backing::Borrowed;
#endif

std::size_t words = Zone<Mine, strategy::System, lock::None, cache::Coherent>::notes_words(1_MiB, 4_KiB);
