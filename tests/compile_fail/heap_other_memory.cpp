// expects: Two heaps lie side by side, and should lie in different memories.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
#define OTHER "dram"
#else
#define OTHER "sram"
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>, in<"dram">),
                                    heap<"firmware">(id<21>, zone<Numbers>, size<64_KiB>, beside<"camera">, in<OTHER>));
