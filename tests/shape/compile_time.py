"""A zone over a bitmap must cost the compiler at most 0.6 of what <memory> costs (user time, medians, interleaved).

    compile_time.py INCLUDE_FOLDER COMPILER...
"""
import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 7
LIMIT = 0.6
ZONE = '#include <freestone/zone/zone.hpp>\n#include <freestone/strategy/bitmap.hpp>\n'
MEMORY = '#include <memory>\n'


def user_seconds(command):
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f'{" ".join(command)} failed')
    return usage.ru_utime


def main():
    include, compiler = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for name, text in (('zone.cpp', ZONE), ('memory.cpp', MEMORY)):
            path = os.path.join(folder, name)
            with open(path, 'w', encoding='utf-8') as source:
                source.write(text)
            commands.append(compiler + ['-std=c++20', '-fsyntax-only', '-I' + include, path])
        rounds = [[user_seconds(command) for command in commands] for _ in range(ROUNDS)]
    zone, memory = (statistics.median(times) for times in zip(*rounds))
    ratio = zone / memory
    print(f'zone.hpp + bitmap.hpp {zone:.3f} s, <memory> {memory:.3f} s: {ratio:.2f} (at most {LIMIT})')
    return 0 if ratio <= LIMIT else 1


if __name__ == '__main__':
    sys.exit(main())
