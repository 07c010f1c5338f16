#!/bin/sh
# serve.sh ROOT SERVER FS INTERPOSER PROGRAM: ./dev serve, and examples/interposer/serve.sh behind it: what it prints makes
# a shell's programs find the devices, and nothing is left when it has ended. PROGRAM is run_program.c.
# shellcheck disable=SC2016  # for the shells that are run
set -u
root=$1 server=$2 fs=$3 interposer=$4 program=$5
serve=$root/examples/interposer/serve.sh board=$root/examples/boards/ion-g4.toml
scratch=$(mktemp -d) || exit 1
place=$scratch/place status=0 serve_pid=''
mkdir "$place" "$scratch/tmp"
unset FREESTONE_SERVER LD_PRELOAD

# shellcheck disable=SC2317  # called by the trap
ended() {
  [ -z "$serve_pid" ] || { kill "$serve_pid" && wait "$serve_pid"; } 2>/dev/null
  is_mounted && { umount -l "$place" || fusermount3 -u -z "$place"; }
  rm -rf "$scratch"
}
trap ended EXIT
trap 'exit 1' INT TERM HUP
is_mounted() { grep -q "^freestone $place fuse" /proc/mounts; }
wrong() { echo "serve.sh: $1" >&2; status=1; }
# is WHAT WANTED GOT
is() { [ "$3" = "$2" ] || wrong "$1 is '$3', not '$2'"; }
# refused WORDS COMMAND...: with 2, and these words.
refused() {
  words=$1
  shift
  timeout 20 "$@" >"$scratch/said" 2>&1
  is "the status of $*" 2 $?
  grep -qF -e "$words" "$scratch/said" || wrong "$*: says '$(cat "$scratch/said")', not '$words'"
}
# soon COMMAND...: within 10 s.
soon() {
  turns=0
  until "$@"; do
    turns=$((turns + 1))
    [ "$turns" -lt 200 ] || return 1
    sleep 0.05
  done
}
# What starts in the background has SIGINT ignored, unless it is told otherwise.
begin() {  # ARGS...
  rm -f "$scratch/out"
  TMPDIR=$scratch/tmp env --default-signal=INT "$serve" "$server" "$fs" "$interposer" "$board" "$@" >"$scratch/out" 2>"$scratch/err" &
  serve_pid=$!
  soon grep -qs Ctrl-C "$scratch/out" || { cat "$scratch/err" >&2; exit 1; }
}
# told COMMAND...: in a shell that was told what it prints.
told() { timeout 20 sh -c '. "$1" && shift && "$@"' sh "$scratch/out" "$@"; }
# gone STATUS WHY: it has ended, and nothing of it is left.
gone() {
  wait "$serve_pid"
  is "its status ($2)" "$1" $?
  serve_pid=''
  is "what is left ($2)" '' "$(find "$scratch/tmp" "$place" -mindepth 1)"
  is_mounted && wrong "still mounted ($2)"
  told "$program" close >"$scratch/said" 2>&1 && wrong "the server is still there ($2)"
}

# What it will not take.
"$root/dev" serve --help | grep -q -- '--mount DIR' || wrong 'no help'
refused 'ion-g4 ' "$root/dev" serve no-such-board
refused 'no such board' "$root/dev" serve no-such-board
for arguments in 'a=1' 'a=1 --' 'a=1 b -- true' '-- ' 'true'; do
  # shellcheck disable=SC2086
  refused 'run-with BOARD: then sizes' "$root/dev" run-with ion-g4 $arguments
done
refused 'a value was expected' "$serve" "$server" "$fs" "$interposer" "$board" --mount
refused 'not expected' "$serve" "$server" "$fs" "$interposer" "$board" --nothing
refused 'cannot be read' "$serve" "$server" "$fs" "$interposer" "$scratch/none.toml"
refused 'mkdir' "$serve" "$server" "$fs" "$interposer" "$board" --mount "$scratch/nothing"

# A shell's programs, one after the other and at once; and all its ends.
begin
told "$program" close || wrong 'a program does not find /dev/ion'
told sh -c '"$1" leak 2 4096 & "$1" close && wait $!' sh "$program" || wrong 'two programs at once do not'
is 'what is left of one that leaks' 0 "$(told cat /sys/kernel/debug/ion/system/num_of_buffers)"
kill -INT "$serve_pid"
gone 0 'interrupted'
begin --socket "$scratch/socket"
grep -qF "'$scratch/socket'" "$scratch/out" || wrong 'the name of the socket is not told'
told "$program" close || wrong 'a program does not find /dev/ion by a path'
refused 'holding it' "$serve" "$server" "$fs" "$interposer" "$board" --socket "$scratch/socket"
[ -S "$scratch/socket" ] || wrong 'a second one took the socket away'
kill -TERM "$serve_pid"
gone 0 'told to end'
[ -e "$scratch/socket" ] && wrong 'the socket is left'
begin
kill -KILL "$(ps -o pid= --ppid "$serve_pid")"
gone 137 'its server killed'
grep -q 'the server has ended' "$scratch/err" || wrong "of a server that was killed it says '$(cat "$scratch/err")'"

# Sizes from the command line.
refused "pmem_mdp_size: no heap of the board has its size from there: '24M'" "$serve" "$server" "$fs" "$interposer" "$board" pmem_mdp_size=24M
board=$root/examples/boards/qualcomm-8x25.toml
refused "pmem_mdp_size: no number: '24X'" "$serve" "$server" "$fs" "$interposer" "$board" pmem_mdp_size=24X
begin pmem_mdp_size=24M --socket "$scratch/socket" pmem_adsp_size=0x100000
is 'sizes from the command line' '25165824(0x1800000) 1048576(0x100000)' \
  "$(told cat /sys/kernel/pmem_regions/pmem/size /sys/kernel/pmem_regions/pmem_adsp/size | xargs)"
kill -TERM "$serve_pid"
gone 0 'told to end, with sizes'
board=$root/examples/boards/ion-g4.toml

# The reports as files, where FUSE can be had.
timeout 20 "$serve" "$server" "$fs" "$interposer" "$board" --mount "$place" >"$scratch/out" 2>"$scratch/err" 3>&- &
serve_pid=$!
fuse_is_there() { grep -qs Ctrl-C "$scratch/out" || ! kill -0 "$serve_pid" 2>/dev/null; }
soon fuse_is_there
if ! grep -qs Ctrl-C "$scratch/out"; then
  wait "$serve_pid"
  case $? in
    3) serve_pid='' && echo "serve.sh: without --mount only: $(cat "$scratch/err")"; exit "$status" ;;
    *) cat "$scratch/err" >&2; exit 1 ;;
  esac
fi
kill -TERM "$serve_pid"
gone 0 'mounted, told to end'
begin --mount "$place"
grep -qF "find '$place' -type f" "$scratch/out" || wrong 'where the reports are is not told'
is 'the reports of ION' 18 "$(find "$place" -type f | wc -l)"  # three of each heap, and what three of them could give back
told "$program" leak 1 8192
is 'what a report says' 8192 "$(cat "$place/sys/kernel/debug/ion/system/alloc_bytes_wm")"
kill -INT "$serve_pid"
gone 0 'mounted, interrupted'
is 'what it says at its end' '' "$(cat "$scratch/err")"
exit "$status"
