// expects: Magazines: the Backing is shared, and its other users cannot tell a block in a magazine from a live one.
#include <freestone/zone/layers/os/magazines.hpp>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = backing::Anonymous;
#else
using Mine = backing::MemoryFile;
#endif

using Plain = Zone<Mine, strategy::Bitmap, lock::Spin, cache::Coherent>;

static_assert(sizeof(layers::Magazines<Plain>) > sizeof(Plain));
