// expects: A Backing with gaps needs a Strategy that can take any extent out of use: reserve, or a place_at that says any_extent.
#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = strategy::Bitmap;
#else
using Mine = strategy::AllOrNothing;
#endif

using Ranges = backing::Scattered<backing::Reserved, 2>;
std::size_t words = Zone<Ranges, Mine, lock::None, cache::Coherent>::notes_words(1_MiB, 4_KiB);
