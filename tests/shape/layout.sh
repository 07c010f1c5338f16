#!/bin/sh
# layout.sh LAYOUT-OF-HEADER LAYOUT-OF-TOML SOURCE-ROOT: a board prints the same from its header and from its TOML, and
# what is printed is taken by those that it is for: ld, dtc and the C compiler.
set -eu
absolute() { (cd "$(dirname "$1")" && printf '%s/%s' "$PWD" "$(basename "$1")"); }
of_header=$(absolute "$1") of_toml=$(absolute "$2") root=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/header" "$scratch/toml"
"$of_header" "$root/examples/boards/camera_board.hpp" --output "$scratch/header" >/dev/null
"$of_toml" "$root/examples/boards/camera_board.toml" --output "$scratch/toml" >/dev/null
diff -r "$scratch/header" "$scratch/toml"

cd "$scratch/header"
cat >use.c <<'END'
#include "camera_board.h"
extern char __heap_codec_start[], __heap_codec_end[], __heap_firmware_end[];
char firmware_lies_before[HEAP_FIRMWARE_BASE + HEAP_FIRMWARE_SIZE == HEAP_CODEC_BASE ? 1 : -1];
unsigned long size(void) { return __heap_codec_end - __heap_codec_start; }
END
cc -c -Wall -Werror use.c -o use.o
ld -r -T camera_board.ld use.o -o linked.o
nm linked.o | grep -q '84200000 A __heap_codec_start'
nm linked.o | grep -q '84200000 A __heap_firmware_end'
if command -v dtc >/dev/null; then
  dtc -q -I dts -O dtb camera_board.dts -o board.dtb
  dtc -q -I dtb -O dts board.dtb | grep -A1 'heap-codec@84200000' | grep -q 'reg = <0x00 0x84200000 0x00 0x3000000>'
fi
python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse("camera_board.svg")'
grep -q 'memory dram: 256M from 0x80000000, 150M used, 106M free' camera_board.txt

# What is wrong is named, and the exit status says that it is.
printf '[[memory]]\nname = "dram"\nbase = 0x80000000\nsize = "4K"\n[[heap]]\nname = "large"\nid = 1\nsize = "8K"\n' >bad.toml
if "$of_toml" bad.toml 2>said; then exit 1; fi
grep -q "bad: heap 'large': it fits in no memory of the board" said
if "$of_toml" nowhere.toml 2>said; then exit 1; fi
grep -q 'nowhere.toml' said
