// A function for each thing that a cache policy does on this target; cache_instructions.py looks at its instructions.
#include <freestone/cache/uncached.hpp>
#include <freestone/cache/write_back.hpp>
#include <freestone/cache/write_combine.hpp>

using freestone::CacheView;
using namespace freestone::cache;

#define DO(policy, what) \
  extern "C" bool policy##_##what(const CacheView& view) { return bool(policy().what(view)); }

DO(Uncached, clean)
DO(Uncached, invalidate)
DO(WriteCombine, clean)
DO(WriteCombine, invalidate)
#if !defined(__arm__)
DO(WriteBack, clean)
DO(WriteBack, invalidate)
DO(WriteBack, clean_and_invalidate)
#endif
