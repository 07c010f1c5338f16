"""The bare zone costs what a hand-written function costs: counts the instructions of both under callgrind.

    bare_zone.py SOURCE_FOLDER INCLUDE_FOLDER

For each compiler there is, at -O2 with NDEBUG: allocate and deallocate, success paths, all that they call included; and
a write in a bracket, beside one without. All of the zone's again where all layers are included: not one instruction differs.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

CALLS = 100
MOST_MORE = {'allocate': 2, 'deallocate': 2, 'write': 0}
SKIPPED = 77


def build(compiler, sources, include, folder, *more):
    program = os.path.join(folder, 'bare_zone')
    paths = [os.path.join(sources, name) for name in ('bare_zone.cpp', 'bare_zone_stub.cpp')]
    subprocess.run([compiler, '-std=c++20', '-O2', '-DNDEBUG', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Werror',
                    '-I' + include, *more, *paths, '-o', program], check=True)
    return program


def count_instructions(program, folder):
    """Instructions a call, by function: its own and those of what it calls."""
    out = os.path.join(folder, 'callgrind.out')
    subprocess.run(['valgrind', '--quiet', '--tool=callgrind', '--compress-strings=no', '--callgrind-out-file=' + out,
                    program, str(CALLS)], check=True)
    totals, function = {}, None
    with open(out, encoding='utf-8') as lines:
        for line in lines:
            if line.startswith('fn='):
                function = line[3:].split('(')[0].strip()
            elif re.match(r'[+\-*0-9]', line) and function is not None:
                totals[function] = totals.get(function, 0) + int(line.split()[1])
    return {name: total / CALLS for name, total in totals.items()}


def compare(compiler, sources, include):
    with tempfile.TemporaryDirectory() as folder:
        program = build(compiler, sources, include, folder)
        subprocess.run([program], check=True)
        counts = count_instructions(program, folder)
        # With every layer there is in sight.
        layers = [f'-include{path}' for path in sorted(glob.glob(os.path.join(include, 'freestone/zone/layers/**/*.hpp'), recursive=True))]
        beside_layers = count_instructions(build(compiler, sources, include, folder, *layers), folder)
    good = bool(layers)
    for call, most_more in MOST_MORE.items():
        zone, hand = counts['zone_' + call], counts['hand_' + call]
        print(f'{compiler} {call}: zone {zone:g}, by hand {hand:g} instructions')
        good &= zone <= hand + most_more
        if zone != beside_layers['zone_' + call]:
            print(f'{compiler} {call}: {beside_layers["zone_" + call]:g} where layers are included')
            good = False
    return good


def main():
    compilers = [name for name in ('g++', 'clang++') if shutil.which(name)]
    if shutil.which('valgrind') is None or not compilers:
        print('no valgrind or no compiler')
        return SKIPPED
    return 0 if all([compare(compiler, *sys.argv[1:]) for compiler in compilers]) else 1


if __name__ == '__main__':
    sys.exit(main())
