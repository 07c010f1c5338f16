"""What headers cost the compiler: user time, medians, interleaved.

A zone over a bitmap costs at most 0.6 of what <memory> costs, and a board of 16 heaps at most 0.5 s more than the
umbrella with one zone.

    compile_time.py INCLUDE_FOLDER COMPILER...
"""
import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 7
ZONE_LIMIT = 0.6
HEAPS_LIMIT = 0.5

SOURCES = {
    'memory': '#include <memory>\n',
    'zone': '#include <freestone/zone/zone.hpp>\n#include <freestone/strategy/bitmap.hpp>\n',
    'umbrella': """#include <freestone/freestone.hpp>
using namespace freestone;
using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
bool use() {
  auto zone = Numbers::create({.size = 64_KiB});
  const auto block = zone->allocate(4096);
  return block && zone->deallocate(*block);
}
""",
    'heaps': """#include <freestone/freestone.hpp>
#include <freestone/heap/heaps.hpp>
using namespace freestone;
using namespace freestone::declare;
using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
constexpr auto board = heaps(%s);
bool use() {
  auto all = board.create();
  const auto block = all->allocate({.size = 4096});
  return block && all->deallocate(*block) && !all->find(PhysicalAddress(5));
}
""" % ', '.join(f'heap<"heap{i}">(id<{i}>, zone<Numbers>, size<64_KiB>, base<0x{i << 16:x}>)' for i in range(16)),
}


def user_seconds(command):
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f'{" ".join(command)} failed')
    return usage.ru_utime


def medians(include, compiler):
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for name, text in SOURCES.items():
            path = os.path.join(folder, name + '.cpp')
            with open(path, 'w', encoding='utf-8') as source:
                source.write(text)
            commands.append(compiler + ['-std=c++20', '-fsyntax-only', '-I' + include, path])
        rounds = [[user_seconds(command) for command in commands] for _ in range(ROUNDS)]
    return dict(zip(SOURCES, (statistics.median(times) for times in zip(*rounds))))


def main():
    cost = medians(sys.argv[1], sys.argv[2:])
    ratio = cost['zone'] / cost['memory']
    more = cost['heaps'] - cost['umbrella']
    print(f'zone.hpp + bitmap.hpp {cost["zone"]:.3f} s, <memory> {cost["memory"]:.3f} s: {ratio:.2f} (at most {ZONE_LIMIT})')
    print(f'16 heaps {cost["heaps"]:.3f} s, the umbrella with a zone {cost["umbrella"]:.3f} s: {more:.3f} s more '
          f'(at most {HEAPS_LIMIT})')
    return 0 if ratio <= ZONE_LIMIT and more <= HEAPS_LIMIT else 1


if __name__ == '__main__':
    sys.exit(main())
