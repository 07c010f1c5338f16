#!/bin/sh
# share_model.sh MODEL: SPIN looks at every state of the sharing layer's protocol with clients that die. The right ones,
# each of them, have no error; each of the planted ones has one. Then F18's line: how many right ones were looked at.
set -u
model=$1
for tool in spin gcc; do
  command -v "$tool" >/dev/null || { echo "no $tool (Debian: apt install spin gcc)"; exit 77; }
done
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
runs=0 corrupt=0

# look SETTINGS: prints the errors found; the states go to the terminal
look() {
  # shellcheck disable=SC2086
  spin -a $1 "$model" >spin.log 2>&1 && gcc -O2 -DSAFETY -DNOFAIR -DCOLLAPSE -o pan pan.c >>spin.log 2>&1 || { cat spin.log >&2; exit 1; }
  ./pan -m100000 -w24 >pan.log 2>&1
  echo "  $1: $(sed -nE 's/^ *([0-9.e+]+) states, stored$/\1/p' pan.log) states, $(sed -nE 's/.*(errors: [0-9]+)$/\1/p' pan.log)" >&2
  ! grep -qE 'max search depth too small|out of memory' pan.log || { cat pan.log >&2; exit 1; }
  sed -nE 's/.*errors: ([0-9]+)$/\1/p' pan.log
}

for settings in '-DCLIENTS=2 -DBUFFERS=2 -DSTEPS=3' '-DCLIENTS=3 -DBUFFERS=1 -DSTEPS=3' '-DCLIENTS=3 -DBUFFERS=2 -DSTEPS=2'; do
  [ "$(look "$settings")" = 0 ] || corrupt=$((corrupt + 1))
  runs=$((runs + 1))
done
for planted in 1 2 3; do
  [ "$(look "-DPLANTED=$planted")" = 1 ] || { echo "  planted $planted is not found" >&2; corrupt=$((corrupt + 1)); }
done
echo "fault=F18 seed=0 runs=$runs unusable=0 leaked=0 corrupt=$corrupt"
[ "$corrupt" -eq 0 ]
