#!/bin/sh
# headers_alone.sh COMPILER INCLUDE: each header compiles alone and when it is included twice, with no macro from a build, those for
# C in C; and two units that include them all link (nothing is defined twice).
set -u
compiler=$1 include=$2
strict='-std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Werror'
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
status=0
command -v "$compiler" >/dev/null || { echo "$compiler is not there"; exit 77; }

headers=$(cd "$include" && find freestone -name '*.hpp' | LC_ALL=C sort)
[ -n "$headers" ] || { echo "no headers under $include"; exit 1; }
for header in $headers; do
  case $header in */adaptor/*) bare='' ;; *) bare='-fno-exceptions -fno-rtti' ;; esac
  printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$scratch/one.cpp"
  # shellcheck disable=SC2086
  "$compiler" $strict $bare -I "$include" -fsyntax-only "$scratch/one.cpp" || {
    echo "does not compile alone: $header"
    status=1
  }
done

for header in $(cd "$include" && find freestone -name '*.h'); do
  printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$scratch/one.c"
  "$compiler" -x c -std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror -I "$include" -fsyntax-only "$scratch/one.c" || {
    echo "does not compile alone: $header"
    status=1
  }
done

# One object and its copy are two units of the same text.
for header in $headers; do echo "#include <$header>"; done >"$scratch/all.cpp"
echo 'int main() {}' >"$scratch/main.cpp"
# shellcheck disable=SC2086
{
  "$compiler" $strict -I "$include" -c "$scratch/all.cpp" -o "$scratch/first.o" &&
    cp "$scratch/first.o" "$scratch/second.o" &&
    "$compiler" $strict "$scratch/main.cpp" "$scratch/first.o" "$scratch/second.o" -o "$scratch/both"
} || {
  echo 'two units that include every header do not link'
  status=1
}
exit "$status"
