// expects: A board has 1 to 64 heaps.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

template <unsigned n>
inline constexpr char name_of[3] = {'a' + n / 26, 'a' + n % 26, 0};
template <unsigned... ids>
consteval auto board_of(std::integer_sequence<unsigned, ids...>) {
  return heaps(heap<Text(name_of<ids>)>(id<ids>, zone<Numbers>, size<64_KiB>)...);
}

#ifdef ACCEPT
inline constexpr auto board = board_of(std::make_integer_sequence<unsigned, 64>());
#else
inline constexpr auto board = board_of(std::make_integer_sequence<unsigned, 65>());
#endif
