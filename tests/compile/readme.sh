#!/bin/sh
# readme.sh README EXAMPLE: the program on README's first screen is the first example, to the letter.
awk '/^```cpp$/ { inside = 1; next } /^```$/ { exit } inside' "$1" | diff -u "$2" -
