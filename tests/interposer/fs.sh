#!/bin/sh
# fs.sh SERVER FS HELPER BOARD: freestone-fs shows what a server reports, anew each time, takes writes, and leaves no mount
# behind, whoever ends first. BOARD is ion-g4's. 77 where FUSE cannot be had.
set -u
server=$1 fs=$2 helper=$3 board=$4
scratch=$(mktemp -d) || exit 1
place=$scratch/place status=0 server_pid='' fs_pid='' helper_pid=''
unset FREESTONE_SERVER
mkdir "$place"

# shellcheck disable=SC2086,SC2317  # those that there are; called by the trap
ended() {
  trap '' INT TERM HUP
  kill $fs_pid $helper_pid $server_pid 2>/dev/null
  [ -z "$fs_pid" ] || wait "$fs_pid" 2>/dev/null
  is_mounted && { umount -l "$place" || fusermount3 -u -z "$place"; }
  rm -rf "$scratch"
}
trap ended EXIT
trap 'exit 1' INT TERM HUP
is_mounted() { grep -q "^freestone $place fuse" /proc/mounts; }
wrong() { echo "fs.sh: $1" >&2; status=1; }
# is WHAT WANTED GOT
is() { [ "$3" = "$2" ] || wrong "$1 is '$3', not '$2'"; }
# refused WORDS COMMAND...: it fails, and says so.
refused() {
  words=$1
  shift
  if timeout 20 "$@" >"$scratch/said" 2>&1; then wrong "$* does not fail"; fi
  grep -q -e "$words" "$scratch/said" || wrong "$*: says '$(cat "$scratch/said")', not '$words'"
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
has() { [ -s "$1" ]; }
has_two_lines() { [ "$(wc -l <"$1")" -ge 2 ]; }
names() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs; }
text() { timeout 20 cat "$reports/$1"; }
mounted() {  # ARGS...: FS with these, and mounted
  rm -f "$scratch/fs.out"
  "$fs" "$@" >"$scratch/fs.out" 2>"$scratch/fs.err" &
  fs_pid=$!
  soon has "$scratch/fs.out" || { cat "$scratch/fs.err" >&2; exit 1; }
  is 'what it prints' "$place" "$(cat "$scratch/fs.out")"
}
# gone STATUS WORDS: it has ended, and so has its mount.
gone() {
  wait "$fs_pid"
  is "how it ends ($2)" "$1" $?
  fs_pid=''
  is_mounted && wrong "still mounted ($2)"
  [ -z "$2" ] || grep -q -e "$2" "$scratch/fs.err" || wrong "says '$(cat "$scratch/fs.err")', not '$2'"
}

"$server" "$board" >"$scratch/server.out" &
server_pid=$!
soon has "$scratch/server.out" || { echo 'fs.sh: no server' >&2; exit 1; }
name=$(cat "$scratch/server.out") reports=$place/sys/kernel/debug/ion

# Is there FUSE?
timeout 20 "$fs" --background "$name" "$place" >"$scratch/said" 2>&1
case $? in
  0) soon is_mounted; umount "$place" 2>/dev/null || fusermount3 -u "$place" || exit 1 ;;
  3) cat "$scratch/said"; exit 77 ;;
  *) cat "$scratch/said" >&2; exit 1 ;;
esac

# What it will not take.
refused usage "$fs"
refused 'no such option' "$fs" --nothing "$name" "$place"
refused 'FREESTONE_SERVER' "$fs" "$place"
refused 'no server there' "$fs" @freestone-nobody "$place"
refused 'mkdir' "$fs" "$name" "$scratch/nothing"
refused 'no directory' "$fs" "$name" "$board"
refused 'not empty' "$fs" "$name" "$scratch"
"$fs" --help | grep -q MOUNTPOINT || wrong 'no help'

# The tree.
mounted "$name" "$place"
is 'the root' "dev sys" "$(names "$place")"
is 'the heaps' "carveout chunk cma system system_contig" "$(names "$reports")"
is 'a heap' "alloc_bytes_wm num_of_alloc_bytes num_of_buffers" "$(names "$reports/cma")"
is 'the node' 'character special file' "$(stat -c %F "$place/dev/ion")"
is "a report's type" '-r--r--r--' "$(stat -c %A "$reports/cma/num_of_buffers")"
is 'what find finds' 18 "$(find "$place" -type f | wc -l)"
refused 'No such file' cat "$place/dev/nothing"
refused 'ermission denied' cat "$place/dev/ion"
refused 'Is a directory' cat "$reports"
refused 'not permitted' mkdir "$reports/new"
refused 'not permitted' rm -f "$reports/cma/num_of_buffers"

# Its texts, and what becomes of them.
for report in $(cd "$reports" && echo */*); do is "$report" 0 "$(text "$report")"; done
mkfifo "$scratch/hold" "$scratch/reread"
"$helper" reread "$reports/system/num_of_alloc_bytes" <"$scratch/reread" >"$scratch/reread.out" &
reader_pid=$!
exec 4>"$scratch/reread"
soon has "$scratch/reread.out"
"$helper" hold "$name" 0x21000 <"$scratch/hold" >"$scratch/held" 4>&- &
helper_pid=$!
exec 3>"$scratch/hold"
soon has "$scratch/held" || wrong 'nobody holds a buffer'
is 'buffers, one held' 1 "$(text system/num_of_buffers)"
is 'bytes, one held' 135168 "$(text system/num_of_alloc_bytes)"
is 'another heap' 0 "$(text cma/num_of_buffers)"
printf x >&4
soon has_two_lines "$scratch/reread.out"
exec 3>&- 4>&-
wait "$helper_pid" "$reader_pid"
helper_pid=''
is 'the same open read again' '0 135168' "$(xargs <"$scratch/reread.out")"
is 'buffers, none held' 0 "$(text system/num_of_buffers)"
is 'the most bytes' 135168 "$(text system/alloc_bytes_wm)"
is 'what the shrinker could take, in pages' 33 "$(text system/system_shrink)"
is "the shrinker's type" '-rw-r--r--' "$(stat -c %A "$reports/system/system_shrink")"
refused 'nvalid' sh -c "env printf all >'$reports/system/system_shrink'"
echo 1 >"$reports/system/system_shrink" || wrong 'the shrinker cannot be told'
left=$(text system/system_shrink)
[ "$left" -lt 33 ] || wrong "nothing went: $left"
echo 0 >"$reports/system/system_shrink"
is 'what is left of it' 0 "$(text system/system_shrink)"

# Its ends: the server's, with somebody inside; a signal; an unmount; and the background.
exec 5<"$reports/system/num_of_buffers"
kill "$server_pid"
wait "$server_pid"
gone 0 'has ended'
timeout 20 cat <&5 >/dev/null 2>&1 && wrong 'a file of a mount that is gone can be read'
exec 5<&-
is 'what is left' '' "$(ls "$place")"
mkfifo "$scratch/serve"
name=@freestone-fs-test-$$
"$helper" serve "$name" <"$scratch/serve" >"$scratch/served" &
server_pid=$!
exec 3>"$scratch/serve"
soon has "$scratch/served" || { echo 'fs.sh: no second server' >&2; exit 1; }
FREESTONE_SERVER=$name
export FREESTONE_SERVER
mounted "$place"
kill "$fs_pid"
gone 0 ''
mounted "$place"
umount "$place" 2>/dev/null || fusermount3 -u "$place"
gone 0 'was unmounted'
is 'the background' "$place" "$("$fs" --background "$place" 3>&-)"

# Reports that a board does not have.
reports=$place/proc/fs_helper
is 'a report as it begins' 'nothing yet' "$(text written)"
echo 'some words' >"$reports/written" || wrong 'a report cannot be written'
is 'what was written' 'some words' "$(text written)"
is 'an empty one' '' "$(text empty)"
is 'a long one' "$(seq 0 59999 | cksum)" "$(text long | cksum)"
is 'a long one, byte by byte' "$(seq 0 59999 | head -c 3000 | cksum)" \
  "$(dd if="$reports/long" bs=1 count=3000 2>/dev/null | cksum)"
for turn in 1 2 3 4 5 6 7 8; do
  text long | cksum >"$scratch/long.$turn" &
  readers="${readers-} $!"
done
# shellcheck disable=SC2086
wait $readers
is 'a long one, eight at once' 1 "$(sort -u "$scratch"/long.* | wc -l)"
exec 3>&-
wait "$server_pid"
server_pid=''
not_mounted() { ! is_mounted; }
soon not_mounted || wrong 'the background outlives its server'
exit "$status"
