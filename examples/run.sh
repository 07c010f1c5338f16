#!/bin/sh
# run.sh PROGRAM EXPECTED: the program ends with 0 and prints what the file EXPECTED holds. With 77 it says what the
# machine lacks.
set -u
output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT
"$1" >"$output"
status=$?
case $status in
  0) diff -u "$2" "$output" ;;
  77) cat "$output"; exit 77 ;;
  *) echo "$1 ended with status $status"; exit 1 ;;
esac
