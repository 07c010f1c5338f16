#!/bin/sh
# subproject.sh SOURCE MESON: a stranger's Meson project that has Freestone in its subprojects/ configures, builds and runs,
# and gets nothing of Freestone's own tests and benches.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$1 meson=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir -p "$scratch/subprojects/freestone"
cp -r "$source/meson.build" "$source/include" "$scratch/subprojects/freestone"
cp "$here/consumer.cpp" "$scratch"
cp "$here/project.build" "$scratch/meson.build"
$meson setup "$scratch/build" "$scratch" --wrap-mode=nodownload
$meson test -C "$scratch/build"
[ "$("$scratch/build/consumer")" = '1024 bytes at 0' ]
