// expects: NamedBlocks over a ZoneRef, or over RuntimeHeaps, which are such, cannot zero what it grants: say Fresh::as_found, and zero it yourself.
#include <freestone/heap/named_blocks.hpp>
#include <freestone/heap/os/runtime_heaps.hpp>

using namespace freestone;

#ifdef ACCEPT
constexpr Fresh fresh = Fresh::as_found;
#else
constexpr Fresh fresh = Fresh::zeroed;
#endif
using Some = RuntimeHeaps<order::Declared, ZoneKinds<>>;

void use(NamedBlocks<Some, lock::None, 4, fresh>& names) { static_cast<void>(names.request("a", 4096)); }
