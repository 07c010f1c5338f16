#!/bin/sh
# run.sh PROGRAM [--long | --planted]: a target of libFuzzer's for FREESTONE_FUZZ_SECONDS (60); --long: for
# FREESTONE_LONG_MINUTES; --planted: until it has found each defect that is planted in it. FREESTONE_SEED says where chance
# begins. What is found is told with the command that does it again; the last line is the sum.
set -u
program=$1 mode=${2-}
case $program in /*) ;; *) program=$PWD/$program ;; esac
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
cd "$scratch" || exit 1
# With the sanitizer's own 256 MiB of freed memory that it keeps a run takes four times as long, most of it for fresh pages.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=16:allow_addr2line=1"

# fuzz LIMIT: fails where something is found; then found.log says what, and `input` is the input in hex.
fuzz() {
  rm -f ./*-*
  "$program" "$1" -seed="${FREESTONE_SEED:-20080923}" -max_len=641 -len_control=0 -timeout=20 >found.log 2>&1 && return
  input=$(sed -n 's/^seed //p' found.log | tail -n 1)  # it may be one that it began with
  for file in crash-* leak-* timeout-* oom-*; do
    [ ! -f "$file" ] || input=$(od -An -v -tx1 "$file" | tr -d ' \n')
  done
  return 1
}
runs() { sed -nE 's/^#([0-9]+)\t.* cov: ([0-9]+) .*/runs=\1 coverage=\2/p' found.log | tail -n 1; }
# run SECONDS
run() {
  began=$(date +%s) findings=0
  if ! fuzz "-max_total_time=$1"; then
    findings=1
    grep -avE '^(#|seed |INFO|[[:space:]]NEW_FUNC)' found.log | head -n 80 | cut -c1-300
    echo "again: $program --replay $input"
  fi
  grep -a 'seeds reach' found.log
  echo "$(runs) seconds=$(($(date +%s) - began)) findings=$findings"
  [ "$findings" -eq 0 ]
}

# planted DEFECT MESSAGE: it is found, said so, and found again by the input that is told.
planted() {
  export FREESTONE_FUZZ_PLANTED="$1"
  fuzz -runs=200000 && { echo "$1: not found"; return 1; }
  grep -aqF "$2" found.log || { tail -n 40 found.log; echo "$1: something else is found than: $2"; return 1; }
  "$program" --replay "$input" >again.log 2>&1 && { echo "$1: not found again by $input"; return 1; }
  echo "$1: found, $(runs)"
}

case $mode in
  '') run "${FREESTONE_FUZZ_SECONDS:-60}" ;;
  --long)
    [ -n "${FREESTONE_LONG_MINUTES-}" ] || { echo 'FREESTONE_LONG_MINUTES is not set'; exit 77; }
    run $((FREESTONE_LONG_MINUTES * 60)) ;;
  --planted)
    handles='a client has the handles that he was told of'
    planted refusal 'a heap with room gives it' && planted overrun heap-buffer-overflow &&
      planted overflow 'signed integer overflow' && planted leak 'detected memory leaks' &&
      planted foreign_handle 'a handle that is none of his it is EINVAL' && planted untold_handle "$handles" &&
      planted uncounted_reference "$handles" && planted second_handle 'a buffer has one handle in a client' &&
      planted wild_range 'finding: cache: ' && planted lost_flags 'memory is changed as promised' &&
      planted wild_sum 'beyond the allocation it is EINVAL' &&
      planted blanked_overlap 'a sub sees what it was granted' ;;
esac
