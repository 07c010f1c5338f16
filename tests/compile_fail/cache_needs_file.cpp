// expects: This CachePolicy asks the kernel about a file, so the Backing must be one: fd, file_offset.
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/os/dma_buf_sync.hpp>
#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = backing::MemoryFile;
#else
using Mine = backing::Anonymous;
#endif

std::size_t words = Zone<Mine, strategy::Bitmap, lock::Spin, cache::DmaBufSync>::notes_words(1_MiB, 4_KiB);
