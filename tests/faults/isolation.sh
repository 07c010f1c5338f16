#!/bin/sh
# isolation.sh ROOT: the campaign F19 under the memory sanitizer, which also sees bytes that nobody wrote. clang++ has it.
set -u
root=$1
command -v clang++ >/dev/null || { echo 'no clang++ (Debian: apt install clang)'; exit 77; }
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
# build OPTIONS...: line numbers take a quarter of the time, so they are there only where something was found.
build() {
  clang++ -std=c++20 -O0 "$@" -fsanitize=memory -fno-sanitize-recover=all -I "$root/include" -I "$root/tests" \
    "$root/tests/faults/isolation.cpp" -o "$scratch/isolation"
}
build || exit 1
"$scratch/isolation" && exit 0
build -g1 && "$scratch/isolation"  # the same once more, with lines; it has failed all the same
exit 1
