#!/bin/sh
# run.sh PROGRAM EXPECTED: the program ends with 0 and prints what the file EXPECTED holds.
set -u
output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT
"$1" >"$output" || { echo "$1 ended with status $?"; exit 1; }
diff -u "$2" "$output"
