#!/bin/sh
# fetch_kernel.sh NAME METAPACKAGE CACHE: prints where the kernel is that Debian's METAPACKAGE stands for now. It is
# downloaded and unpacked in CACHE/NAME, the first time and when there is a newer one; nothing is installed.
set -u
metapackage=$2 cache=$3/$1
note() { echo "vm: $1" >&2; }
die() { note "$1"; exit 1; }

current() { apt-cache depends "$metapackage" 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'; }

# Whole, or not there at all: it is made beside its place.
fetch() {
  package=$1 scratch=$cache/.$1.$$
  mkdir -p "$scratch" || die "$cache: cannot be written"
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 1' INT TERM
  note "downloading $package, about 100 MB, into $cache; later runs find it there"
  (cd "$scratch" && apt-get download -o APT::Sandbox::User=root "$package" >&2) || die "$package cannot be downloaded (apt-get update?)"
  note 'unpacking its kernel'
  dpkg-deb --fsys-tarfile "$scratch"/*.deb | tar -x -C "$scratch" --wildcards './boot/vmlinuz-*' './boot/config-*' ||
    die "$package holds no kernel as was expected"
  find "$cache" -mindepth 1 -maxdepth 1 ! -name '.*' -exec rm -rf {} +  # the one before
  mv "$scratch" "$cache/$package"
}

command -v apt-get >/dev/null || die "kernels come from Debian's packages, and there is no apt-get here"
package=$(current)
if [ -z "$package" ] && [ "$(id -u)" -eq 0 ]; then
  note 'looking for it: apt-get update'
  apt-get update -q >/dev/null 2>&1
  package=$(current)
fi
if [ -z "$package" ]; then
  package=$(ls "$cache" 2>/dev/null)
  [ -n "$package" ] || die "apt knows no $metapackage; as root, run: apt-get update (Debian 12 with its security updates has it)"
fi
[ -d "$cache/$package" ] || fetch "$package"
ls "$cache/$package"/boot/vmlinuz-*
