#!/bin/sh
# annotated.sh INCLUDE FAULTS.cpp: what touches bytes that are no live block's is reported by ASan, MSan and Valgrind, and
# what does not is not; a build without a tool has the zone itself. What is not there is left out; 77 where nothing is.
set -u
include=$1 faults=$2
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
status=0 ran=0

# tried TOOL WORDS COMMAND LAYERS FAULT...: the faults are reported with these words, the sound run is not.
tried() {
  tool=$1 words=$2 command=$3 layers=$4
  shift 4
  ran=$((ran + 1))
  # shellcheck disable=SC2086
  $command sound $layers >"$scratch/out" 2>&1 || { cat "$scratch/out"; echo "$tool reports: sound $layers"; status=1; }
  for fault in "$@"; do
    # shellcheck disable=SC2086
    if $command "$fault" $layers >"$scratch/out" 2>&1 || ! grep -q "$words" "$scratch/out"; then
      cat "$scratch/out"
      echo "$tool does not report: $fault $layers"
      status=1
    fi
  done
}
built() { rm -f "$scratch/faults"; "$@" -std=c++20 -g1 -I "$include" "$faults" -o "$scratch/faults" 2>"$scratch/log"; }

faults_found='read_dead write_dead behind_into_free'
if command -v clang++ >/dev/null; then
  if built clang++ -fsanitize=address; then
    # shellcheck disable=SC2086
    tried ASan use-after-poison "$scratch/faults" '' $faults_found
    # shellcheck disable=SC2086
    tried ASan use-after-poison "$scratch/faults" all $faults_found behind
  fi
  if built clang++ -fsanitize=memory; then
    tried MSan use-of-uninitialized-value "$scratch/faults" '' read_dead
    tried MSan use-of-uninitialized-value "$scratch/faults" all
  fi
fi
if command -v g++ >/dev/null; then
  if command -v valgrind >/dev/null && echo '#include <valgrind/memcheck.h>' | g++ -E -x c++ - >/dev/null 2>&1; then
    built g++ || { cat "$scratch/log"; exit 1; }
    "$scratch/faults" sound || { echo 'a sound program fails'; status=1; }
    # shellcheck disable=SC2086
    tried Valgrind Invalid "valgrind -q --error-exitcode=9 $scratch/faults" '' $faults_found
    # shellcheck disable=SC2086
    tried Valgrind Invalid "valgrind -q --error-exitcode=9 $scratch/faults" all $faults_found behind
  fi
  built g++ -DNVALGRIND || { cat "$scratch/log"; status=1; }
fi
[ "$ran" -gt 0 ] || [ "$status" -ne 0 ] || { echo 'neither ASan, MSan nor Valgrind is there'; exit 77; }
exit "$status"
