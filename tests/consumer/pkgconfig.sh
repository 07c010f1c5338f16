#!/bin/sh
# pkgconfig.sh SOURCE MESON: `meson install` puts the headers and a pkg-config file where a stranger's compiler finds them,
# and nothing that was compiled.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$1 meson=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir "$scratch/source"
cp -r "$source/meson.build" "$source/include" "$scratch/source"
for folder in $(sed -nE "s/^ *subdir\('(.*)'\)/\1/p" "$source/meson.build"); do
  mkdir -p "$scratch/source/$folder"
  touch "$scratch/source/$folder/meson.build"
done
$meson setup "$scratch/build" "$scratch/source" --prefix="$scratch/installed"
$meson install -C "$scratch/build"
[ -z "$(find "$scratch/installed" -type f ! -name '*.hpp' ! -name '*.h' ! -name '*.pc' ! -name '*.md')" ]

PKG_CONFIG_PATH=$(dirname "$(find "$scratch/installed" -name freestone.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
c++ -std=c++20 "$here/consumer.cpp" $(pkg-config --cflags --libs freestone) -o "$scratch/consumer"
[ "$("$scratch/consumer")" = '1024 bytes at 0' ]
[ "$(pkg-config --modversion freestone)" = "$(sed -n "s/.*version: '\([0-9.]*\)', license.*/\1/p" "$source/meson.build")" ]
