#!/bin/sh
# compile_fail.sh COMPILER INCLUDE FILE.cpp [HEADERS.hpp.gch]: with -DACCEPT the file compiles; without, it does not, and the
# compiler says each of the sentences that the file's `// expects: ...` (of either compiler) and `// expects COMPILER: ...`
# lines hold.
# compile_fail.sh --headers COMPILER INCLUDE HEADERS.hpp HEADERS.hpp.gch DEPFILE: compiles these headers once for them all.
set -u
flags='-std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Werror'
# shellcheck disable=SC2086
[ "$1" != --headers ] || exec "$2" $flags -I "$3" -x c++-header "$4" -o "$5" -MMD -MF "$6"

compiler=$1 include=$2 file=$3 headers=${4-}
command -v "$compiler" >/dev/null || { echo "$compiler is not there"; exit 77; }
output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT

compile() {
  # shellcheck disable=SC2086
  LC_ALL=C "$compiler" $flags -fsyntax-only ${headers:+-include "${headers%.gch}"} -I "$include" "$@" "$file" >"$output" 2>&1
}
complain() {
  echo "$file, $compiler: $1"
  cat "$output"
  exit 1
}

compile -DACCEPT || complain 'does not compile with -DACCEPT'
! compile || complain 'compiles, and should not'
sentences=$(sed -nE "s/^\/\/ expects( $(basename "$compiler" | sed 's/+/\\+/g'))?: //p" "$file")
[ -n "$sentences" ] || complain 'expects nothing'
echo "$sentences" | while read -r sentence; do
  grep -qF -e "$sentence" "$output" || complain "does not say: $sentence"
done
