#!/bin/sh
# run.sh KERNEL BUILD EXPECTED: boots KERNEL on an emulated machine with what BUILD holds for it, and runs its tests. The
# last line says how many passed; the status is 0 when none failed and the guest came to its end.
set -u
kernel=$1 build=$2 expected=$3
seconds=600

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
root=$scratch/root log=$scratch/log
mkdir -p "$root/dev" "$root/expected"
cp "$build/tests/vm/freestone-guest-init" "$root/init" && cp "$build/tests/vm/tests.txt" "$root" || exit 1
# shellcheck disable=SC2013  # a word a line
for program in $(awk '{ print $2 }' "$root/tests.txt" | sort -u); do
  cp "$(find "$build/tests/vm" "$build/tests/faults" "$build/examples" -maxdepth 1 -type f -name "${program#/}")" "$root" 2>/dev/null ||
    { echo "vm: $build has no program ${program#/} for the guest" >&2; exit 1; }
done
cp "$expected"/*.txt "$root/expected" || exit 1
(cd "$root" && find . | cpio -o -H newc -R 0:0 2>"$scratch/cpio" | gzip -1) >"$scratch/initrd" || { cat "$scratch/cpio"; exit 1; }

echo "vm: booting $(basename "$kernel") on an emulated machine, for at most $seconds s" >&2
# shellcheck disable=SC2016  # the dollar is memmap's own
timeout --foreground -k 5 "$seconds" qemu-system-x86_64 -accel tcg -cpu max -m 512 -display none -vga none -nic none \
  -monitor none -serial stdio -no-reboot -kernel "$kernel" -initrd "$scratch/initrd" \
  -append 'console=ttyS0 quiet oops=panic panic=-1 memmap=16M$0x10000000' </dev/null | sed -u 's/\r//g' | tee "$log"

count() { grep -c "^guest: $1 " "$log"; }
passed=$(count passed) failed=$(count failed)
all=$(sed -n 's/^guest: ended after \([0-9]*\) tests$/\1/p' "$log")
if [ -z "$all" ]; then
  echo 'FAILED  the guest did not come to its end'
  failed=$((failed + 1))
elif [ "$all" -ne $((passed + failed)) ]; then
  echo "FAILED  the guest ran $all tests, and said of $((passed + failed)) how they ended"
  failed=$((failed + 1))
fi
sed -n 's/^guest: failed /FAILED  /p' "$log"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
