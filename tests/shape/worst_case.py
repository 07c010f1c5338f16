"""The most instructions that a call takes are those that the strategy's header says: counts each call under valgrind.

    worst_case.py SOURCE_FOLDER INCLUDE_FOLDER STRATEGY...

The comment of class STRATEGY, or of the alias, has a sentence like: At most 120 instructions a place and 90 a release,
2 times the median (x86-64, g++ 12 -O2, 2^20 granules, 95 % full). Where it says "a place with alignment 1", no other is
tried. No call may take more, and the figures may be a quarter too high but no more.
"""
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

COMPILER = 'g++'
VERSION = '12'
PAIRS = 3000
MARKS = 0x500000000000  # as worst_case.cpp
INSTRUCTION = b'\nI'
MOST_GENEROUS = 1.25
SKIPPED = 77

CLAIM = re.compile(r'[Aa]t most (?P<place>\d+) instructions a place(?P<one> with alignment 1)? and (?P<release>\d+) a '
                   r'release, (?P<ratio>[\d.]+) times the median')
RANDOM = 'one at random goes, another comes'  # of these the median


def definition_of(strategy, include):
    """The header, from include/ on, that defines strategy::STRATEGY as a class or as an alias; its text."""
    folder = os.path.join('freestone', 'strategy')
    for name in sorted(os.listdir(os.path.join(include, folder))):
        if not name.endswith('.hpp'):
            continue
        with open(os.path.join(include, folder, name), encoding='utf-8') as file:
            text = file.read()
        if re.search(rf'(?m)^(class {strategy}\b.*{{|using {strategy} =)', text):
            return os.path.join(folder, name), text
    sys.exit(f'no header defines strategy::{strategy}')


def claim_of(strategy, text):
    """What the comment of the alias STRATEGY says, or else that of its class; None where both are silent."""
    alias = re.search(rf'using {strategy} = (\w+)', text)
    for what in (f'using {strategy} =', f'class {alias.group(1) if alias else strategy}\\b'):
        comment = re.search(r'((?://.*\n)+)(?:template <.*>\n)?' + what, text)
        claim = comment and CLAIM.search(' '.join(re.sub(r'(?m)^//', '', comment.group(1)).split()))
        if claim:
            return claim
    return None


def build(strategy, header, sources, include, folder):
    program = os.path.join(folder, 'worst_case')
    # Static, as the loader's work would be most of the trace.
    subprocess.run([COMPILER, '-std=c++20', '-O2', '-static', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Werror',
                    '-I' + include, '-I' + os.path.dirname(sources), f'-DFREESTONE_HEADER=<{header}>',
                    '-DFREESTONE_TYPE=freestone::strategy::' + strategy, os.path.join(sources, 'worst_case.cpp'),
                    '-o', program], check=True)
    return program


def calls_in(trace):
    """(kind, is it a release, instructions) of each call. A line of lackey's is an instruction, `I  ADDRESS,LENGTH`, or
    what it stores, ` S ADDRESS,LENGTH`. A kind of calls has three words: place begins, release begins, either ends."""
    text = trace.read()
    mark = b'\n S %x' % (MARKS >> 12)
    at = text.find(mark)
    while at != -1:
        kind, word = divmod((int(text[at + 4:text.index(b',', at)], 16) - MARKS) // 8, 3)
        if word == 2:
            yield kind, release, text.count(INSTRUCTION, began, at)
        release, began = word == 1, at
        at = text.find(mark, at + 1)


def measure(program, folder, pairs, alignments):
    """The instructions of each call, less those of a call that does nothing: (what it was, is it a release, count)."""
    maps = os.path.join(folder, 'maps')
    subprocess.run([program, 'make', maps], check=True)
    trace, into = os.pipe()
    process = subprocess.Popen(['valgrind', '--quiet', '--tool=lackey', '--trace-mem=yes', f'--log-fd={into}', program,
                                'use', maps, str(pairs), alignments], stdout=subprocess.PIPE, pass_fds=[into])
    os.close(into)
    with os.fdopen(trace, 'rb') as lines:
        calls = list(calls_in(lines))
    kinds = process.communicate()[0].decode().splitlines()
    if process.returncode != 0:
        sys.exit(f'{program} ended with {process.returncode}')
    nothing = {release: count for kind, release, count in calls if kind == 0}
    return [(kinds[kind], release, count - nothing[release]) for kind, release, count in calls if kind != 0]


def check(strategy, sources, include):
    header, text = definition_of(strategy, include)
    claim = claim_of(strategy, text)
    with tempfile.TemporaryDirectory() as folder:
        program = build(strategy, header, sources, include, folder)
        calls = measure(program, folder, PAIRS, '1' if claim and claim['one'] else 'any')
    good = claim is not None
    for name, is_release in (('place', False), ('release', True)):
        of_these = [call for call in calls if call[1] == is_release]
        kind, _, most = max(of_these, key=lambda call: call[2])
        median = statistics.median(count for kind, _, count in of_these if kind == RANDOM)
        print(f'{strategy}, {name}: {len(of_these)} calls, most {most} instructions ({kind}), median {median:g}')
        if claim is None:
            continue
        claimed = int(claim[name])
        if most > claimed:
            print(f'  more than the {claimed} that its header says')
        elif claimed > MOST_GENEROUS * most:
            print(f'  its header says {claimed}: more than {MOST_GENEROUS} times too high')
        elif most > float(claim['ratio']) * median:
            print(f'  more than {claim["ratio"]} times the median, as its header says')
        else:
            continue
        good = False
    if claim is None:
        print('  its header says nothing like "At most 120 instructions a place and 90 a release, 2 times the median"')
    return good


def missing():
    """Why this cannot be measured here, or nothing."""
    for program in (COMPILER, 'valgrind'):
        if shutil.which(program) is None:
            return 'no ' + program
    version = subprocess.run([COMPILER, '-dumpversion'], check=True, capture_output=True, text=True).stdout.strip()
    if platform.machine() != 'x86_64' or version.split('.')[0] != VERSION:
        return f'the figures are for {COMPILER} {VERSION} on x86_64'
    return ''


def main():
    sources, include, *strategies = sys.argv[1:]
    if missing():
        print(missing())
        return SKIPPED
    return 0 if all([check(strategy, sources, include) for strategy in strategies]) else 1


if __name__ == '__main__':
    sys.exit(main())
