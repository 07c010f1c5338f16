#!/bin/sh
# freestanding.sh TARGET INCLUDE: with the flags that a kernel compiles with, everything outside os/, adaptor/ and platform/
# compiles, and its object asks for no symbol that freestanding_symbols.txt does not list. TARGET: x86_64, aarch64 or arm.
set -u
here=$(cd "$(dirname "$0")" && pwd)
target=$1 include=$2

x86_64='-fno-stack-protector -mno-red-zone -mcmodel=kernel -mno-sse -mno-mmx -mno-sse2 -mno-3dnow -mno-avx
  -fcf-protection=none -mindirect-branch=thunk-extern -mindirect-branch-register -mfunction-return=thunk-extern
  -fno-jump-tables'
aarch64='-mgeneral-regs-only -mno-outline-atomics -mbranch-protection=none -idirafter /usr/include'
arm='-march=armv7-a -marm -mfloat-abi=soft -D__ARM_PCS_VFP -Wno-psabi'
case $target in
  x86_64) compiler=x86_64-linux-gnu-g++-12 nm=x86_64-linux-gnu-nm flags=$x86_64 ;;
  aarch64) compiler=aarch64-linux-gnu-g++-12 nm=aarch64-linux-gnu-nm flags=$aarch64 ;;
  arm) compiler=arm-linux-gnueabihf-g++-12 nm=arm-linux-gnueabihf-nm flags=$arm ;;
  *) echo "$target: no such target"; exit 2 ;;
esac
command -v "$compiler" >/dev/null || { echo "$compiler is not there"; exit 77; }

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
(cd "$include" && find freestone -name '*.hpp') | grep -v -E '/(os|adaptor|platform)/' | LC_ALL=C sort |
  sed 's/.*/#include <&>/' >"$scratch/all_headers.hpp"
# shellcheck disable=SC2086
"$compiler" -std=c++20 -O2 -Wall -Wextra -Wpedantic -Wconversion -Werror -ffreestanding -fno-exceptions -fno-rtti \
  -fno-threadsafe-statics -fno-asynchronous-unwind-tables -fno-pic $flags -I "$include" -I "$scratch" \
  -c "$here/freestanding.cpp" -o "$scratch/object.o" || exit 1

status=0
for symbol in $("$nm" -u "$scratch/object.o" | awk '{print $NF}'); do
  allowed=no
  while read -r pattern; do
    # shellcheck disable=SC2254
    case $symbol in $pattern) allowed=yes ;; esac
  done <"$here/freestanding_symbols.txt"
  [ "$allowed" = yes ] || { echo "$target: needs $symbol from outside, which freestanding_symbols.txt does not allow"; status=1; }
done
exit "$status"
