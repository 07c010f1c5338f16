#!/bin/sh
# isolation.sh ROOT: the campaign F19 under the memory sanitizer, which also sees bytes that nobody wrote. clang++ has it.
set -u
root=$1
command -v clang++ >/dev/null || { echo 'no clang++ (Debian: apt install clang)'; exit 77; }
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
clang++ -std=c++20 -O0 -g1 -fsanitize=memory -fno-sanitize-recover=all -I "$root/include" -I "$root/tests" \
  "$root/tests/faults/isolation.cpp" -o "$scratch/isolation" || exit 1
"$scratch/isolation"
