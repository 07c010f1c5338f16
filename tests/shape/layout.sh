#!/bin/sh
# layout.sh LAYOUT-OF-HEADER LAYOUT-OF-TEXT SOURCE-ROOT: a board prints the same from its header and from its TOML, and
# what is printed is taken by those that it is for: ld, dtc and the C compiler. Each shipped board can be laid out.
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

# Each shipped text, by each system that it has tables of; of MMZ's the line alone.
for board in "$root"/examples/boards/*.toml; do
  mmz=$(sed -nE 's/^system = "(mmz-g[1-5])".*/\1/p' "$board")
  if [ -n "$mmz" ]; then
    sed -nE 's/^line = "(.*)".*/\1/p' "$board" >line
    "$of_toml" line --system "$mmz" >"$(basename "$board").$mmz" 2>said
    grep -q '^anonymous ' "$(basename "$board").$mmz"
    [ ! -s said ]
    continue
  fi
  systems=$(sed -nE 's/^\[\[(heap|pmem|ion)\]\].*/\1/p' "$board" | sort -u)
  [ -n "$systems" ]
  for system in $systems; do
    "$of_toml" "$board" --system "$system" >"$(basename "$board").$system" 2>said
    [ ! -s said ]
  done
done
grep -q '^pmem_audio  *2  *0x23100000 ' msm8x25.toml.pmem
grep -q '^sf  *24  *0x25500000 ' msm8x25.toml.ion
grep -q '^vmalloc  *30  *-  *-  *64M ' msm8x25.toml.ion  # the system's own memory, wherever that is
grep -q '^mm_fw  *29  *0x80020000  *0x8021ffff ' msm8960.toml.ion  # one reservation with mm, aligned as it says
grep -q '^mm  *8  *0x80220000  *0x81a1ffff ' msm8960.toml.ion
if "$of_toml" "$root/examples/boards/msm8x25.toml" 2>said; then exit 1; fi
grep -q 'msm8x25.toml: --system: it must be said: .pmem, ion' said

# MMZ's line, of which some zones have a place.
printf 'quiet mmz=ddr,0,0,160M:low,0,292M,1G:none,0,1G,0\n' >line
"$of_toml" line --system mmz-set_top >zones 2>said
grep -q '^low  *1  *0x12400000  *0x523fffff  *1G ' zones
grep -q '^ddr  *0  *-  *-  *160M ' zones
grep -q "left out: line 1, column .*: heap 'none': size: it has no bytes" said

# A file takes no addresses: what lies behind it in the list begins where the program's heaps do.
cat >file.toml <<'END'
[[memory]]
name = "m"
base = 0x1000_0000
size = "1M"
[[heap]]
name = "a"
id = 1
size = "64K"
[[heap]]
name = "f"
id = 4
size = "2M"
backing = "memory_file"
[[heap]]
name = "b"
id = 2
size = "8K"
END
"$of_toml" file.toml --format ld >file.ld
grep -q '__heap_b_start = 0x10010000;' file.ld
if grep -q heap_f file.ld; then exit 1; fi

# What is wrong is named, and the exit status says that it is.
printf '[[memory]]\nname = "dram"\nbase = 0x80000000\nsize = "4K"\n[[heap]]\nname = "large"\nid = 1\nsize = "8K"\n' >bad.toml
if "$of_toml" bad.toml 2>said; then exit 1; fi
grep -q "bad: heap 'large': it fits in no memory of the board" said
if "$of_toml" nowhere.toml 2>said; then exit 1; fi
grep -q 'nowhere.toml' said
printf '[[heap]\n' >bad.toml
if "$of_toml" bad.toml 2>said; then exit 1; fi
grep -q 'bad.toml: line 1, column 8: this is not how such a text is written' said
printf '\n' >bad.toml
if "$of_toml" bad.toml 2>said; then exit 1; fi
grep -q 'bad.toml: line 1, column 1: heap: it must be said' said
{ cat file.toml; printf '[[memory]]\nname = "n"\nbase = 0x100f_0000\nsize = "1M"\n'; } >bad.toml
if "$of_toml" bad.toml 2>said; then exit 1; fi
grep -q "line 18: memory: it overlaps another memory ('m'): 'n'" said
