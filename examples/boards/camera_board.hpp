// A camera's board: 256 MiB of memory, of which five heaps have 150, and a little memory on the chip.
#pragma once

#include <freestone/freestone.hpp>
#include <freestone/heap/heaps.hpp>

namespace camera_board {

using namespace freestone;
using namespace freestone::declare;

template <class Strategy>
using CarveOut = Zone<backing::OffsetSpace, Strategy, lock::Spin, cache::WriteBack>;

inline constexpr auto board = heaps(  //
    heap<"sensor">(id<20>, zone<CarveOut<strategy::Buddy>>, size<64_MiB>, align<2_MiB>, in<"dram">),
    heap<"codec">(id<8>, zone<CarveOut<strategy::BestFit>>, size<48_MiB>, in<"dram">, reserve<8_MiB>),
    heap<"firmware">(id<29>, zone<CarveOut<strategy::AllOrNothing>>, size<2_MiB>, align<128_KiB>, beside<"codec">),
    heap<"display">(id<12>, zone<CarveOut<strategy::Bitmap>>, size<36_MiB>, base<0x8800'0000>),
    heap<"scratch">(id<3>, zone<CarveOut<strategy::Bitmap>>, size<192_KiB>, granule<1_KiB>, in<"sram">));

inline constexpr Memory memories[] = {{.name = "dram", .base = 0x8000'0000, .size = 256_MiB},
                                      {.name = "sram", .base = 0x2000'0000, .size = 256_KiB}};

}  // namespace camera_board

using camera_board::board;     // what ./dev layout prints
using camera_board::memories;
