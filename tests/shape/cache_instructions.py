"""The cache policies do what they say: looks for the instructions in what the compilers make of them.

    cache_instructions.py SOURCE_FOLDER INCLUDE_FOLDER

For this machine with each compiler there is, and for 64- and 32-bit Arm with a cross compiler where that is there. Nothing
else sees that an instruction is missing: on this machine's coherent memory all tests pass without.
"""
import os
import re
import shutil
import subprocess
import sys

SKIPPED = 77

X86_STORES = [r'\bsfence\b']
X86_ALL = [r'\bmfence\b|\block\b']
ARM_STORES = [r'\bdsb\s+st\b']
ARM_ALL = [r'\bdsb\s+sy\b']
X86 = {
    'Uncached_clean': X86_STORES,
    'Uncached_invalidate': X86_ALL,
    'WriteCombine_clean': X86_STORES,
    'WriteCombine_invalidate': X86_ALL,
    'WriteBack_clean': [r'\bclwb\b', r'\bclflushopt\b', r'\bclflush\b'] + X86_ALL,
    'WriteBack_invalidate': [r'\bclflushopt\b', r'\bclflush\b'] + X86_ALL,
    'WriteBack_clean_and_invalidate': [r'\bclflushopt\b', r'\bclflush\b'] + X86_ALL,
}
ARM = {
    'Uncached_clean': ARM_STORES,
    'Uncached_invalidate': ARM_ALL,
    'WriteCombine_clean': ARM_STORES,
    'WriteCombine_invalidate': ARM_ALL,
}
ARM64 = ARM | {
    'WriteBack_clean': [r'\bdc\s+cvac\b'] + ARM_ALL,
    'WriteBack_invalidate': [r'\bdc\s+civac\b'] + ARM_ALL,
    'WriteBack_clean_and_invalidate': [r'\bdc\s+civac\b'] + ARM_ALL,
}
WANTED = {'x86_64': X86, 'aarch64': ARM64, 'arm': ARM}
# (As in tests/compile/freestanding.sh, so that no library of the target is wanted.)
CROSS = {
    'aarch64-linux-gnu-g++-12': ['-ffreestanding', '-idirafter', '/usr/include'],
    'arm-linux-gnueabihf-g++-12': ['-ffreestanding', '-march=armv7-a', '-marm', '-mfloat-abi=soft', '-D__ARM_PCS_VFP',
                                   '-Wno-psabi'],
}


def text_of(name, functions, seen):
    """The function's instructions, and those of what it calls."""
    if name in seen or name not in functions:
        return ''
    seen.add(name)
    text = functions[name]
    return text + ''.join(text_of(other, functions, seen) for other in re.findall(r'[\w.$]+', text))


def misses(compiler, flags, source, include):
    """Lines that say what is not there; None where it makes programs for none of the targets above."""
    target = subprocess.run([compiler, '-dumpmachine'], check=True, stdout=subprocess.PIPE, text=True).stdout.split('-')[0]
    if target not in WANTED:
        return None
    assembly = subprocess.run([compiler, *flags, '-std=c++20', '-O2', '-S', '-I' + include, source, '-o', '-'],
                              check=True, stdout=subprocess.PIPE, text=True).stdout
    functions = dict(re.findall(r'^([\w.$]+):(.*?)^\s*\.size\s+\1,', assembly, re.M | re.S))
    return [f'{compiler}, {target}: {name} has no {instruction}' for name, wanted in WANTED[target].items()
            for instruction in wanted if not re.search(instruction, text_of(name, functions, set()))]


def main():
    source = os.path.join(sys.argv[1], 'cache_instructions.cpp')
    compilers = {name: flags for name, flags in ({'g++': [], 'clang++': []} | CROSS).items() if shutil.which(name)}
    results = [misses(compiler, flags, source, sys.argv[2]) for compiler, flags in compilers.items()]
    looked_at = [result for result in results if result is not None]
    if not looked_at:
        print('no compiler for a target that this test knows')
        return SKIPPED
    for line in sum(looked_at, []):
        print(line)
    return 1 if any(looked_at) else 0


if __name__ == '__main__':
    sys.exit(main())
