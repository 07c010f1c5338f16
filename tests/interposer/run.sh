#!/bin/sh
# run.sh RUN INTERPOSER BOARDS PROGRAM STATIC [PROGRAM32]: what freestone-run makes of programs and of boards. PROGRAM is
# run_program.c; STATIC is the same, linked so; PROGRAM32 the same for 32 bits.
# shellcheck disable=SC2016  # for the shells that are run
set -u
run=$1 interposer=$2 board=$3/ion-g4.toml program=$4 static=$5 program32=${6-}
scratch=$(mktemp -d) || exit 1
status=0 run_pid=''
unset FREESTONE_SERVER LD_PRELOAD

# shellcheck disable=SC2086,SC2317  # called by the trap
ended() {
  [ -z "$run_pid" ] || kill $run_pid 2>/dev/null
  rm -rf "$scratch"
}
trap ended EXIT
trap 'exit 1' INT TERM HUP
wrong() { echo "run.sh: $1" >&2; status=1; }
# is WHAT WANTED GOT
is() { [ "$3" = "$2" ] || wrong "$1 is '$3', not '$2'"; }
# on BOARD PROGRAM ARGS...: into $scratch/out and err.
on() {
  the_board=$1
  shift
  timeout 60 "$run" "$the_board" "$interposer" -- "$@" >"$scratch/out" 2>"$scratch/err"
}
# ends STATUS PROGRAM ARGS...: so, and nothing is said on stderr.
ends() {
  wanted=$1
  shift
  on "$board" "$@"
  is "the status of $*" "$wanted" $?
  is "what is said of $*" '' "$(cat "$scratch/err")"
}
# refused WORDS PROGRAM ARGS...: with 2, and these words.
refused() {
  words=$1
  shift
  on "$board" "$@"
  is "the status of $*" 2 $?
  grep -qF -e "$words" "$scratch/err" || wrong "$*: says '$(cat "$scratch/err")', not '$words'"
}
# wrong_board WORDS...: the board on standard input is refused with each of them, and nothing runs.
wrong_board() {
  cat >"$scratch/board.toml"
  on "$scratch/board.toml" "$program" ran
  is "the status with a board ($1)" 2 $?
  is "what ran with a board ($1)" '' "$(cat "$scratch/out")"
  for words in "$scratch/board.toml" "$@"; do
    grep -qF -e "$words" "$scratch/err" || wrong "a board: says '$(cat "$scratch/err")', not '$words'"
  done
}
soon() {
  turns=0
  until "$@"; do
    turns=$((turns + 1))
    [ "$turns" -lt 200 ] || return 1
    sleep 0.05
  done
}

# Its status and its arguments are its own.
for number in 0 1 7 77 255; do ends "$number" sh -c "exit $number"; done
for number in 1 6 9 11 15; do ends $((128 + number)) "$program" signal "$number"; done
ends 0 "$program" 'an argument' '' -- '*'
is 'its arguments' '[an argument][][--][*]' "$(cat "$scratch/out")"
ends 0 "$program" close
is 'its standard input' 'a line' "$(echo 'a line' | "$run" "$board" "$interposer" -- cat)"
is 'an environment of its own' 'mine' "$(OWN=mine "$run" "$board" "$interposer" -- sh -c 'echo "$OWN"')"
LD_PRELOAD='' ends 0 "$program" close

# A script, one that runs another program, and one found in PATH.
printf '#!/bin/sh\n[ -c /dev/ion ] && exec "$@"\n' >"$scratch/script"
chmod +x "$scratch/script"
ends 0 "$scratch/script" "$program" close
ends 137 "$scratch/script" "$program" signal 9
(PATH=$scratch:$PATH && export PATH && on "$board" script sh -c 'exit 9')
is 'a script found in PATH' 9 $?

# Programs that everybody has.
heaps='carveout
chunk
cma
system
system_contig'
on "$board" ls /sys/kernel/debug/ion
is 'what ls lists' "$heaps" "$(cat "$scratch/out")"
on "$board" sh -c 'cd / && printf "%s\n" /sys/kernel/debug/ion/*'
is 'what a shell finds' "$heaps" "$(sed 's:.*/::' "$scratch/out")"
on "$board" find /sys/kernel/debug/ion -name num_of_buffers
is 'how many find finds' 5 "$(wc -l <"$scratch/out")"
on "$board" cat /sys/kernel/debug/ion/system/num_of_buffers
is 'what cat reads' 0 "$(cat "$scratch/out")"
on "$board" stat -c '%F %a %u' /dev/ion
is 'what stat says' "character special file 666 $(id -u)" "$(cat "$scratch/out")"
on "$board" ls -l /dev/ion
case $(cat "$scratch/out") in crw-rw-rw-*/dev/ion) ;; *) wrong "ls -l says '$(cat "$scratch/out")'" ;; esac
on "$board" sh -c '[ -r /dev/ion ] && [ -w /dev/ion ] && [ ! -x /dev/ion ] && [ -d /sys/kernel/debug/ion ]'
is 'what test says' 0 $?
on "$board" sh -c 'cd /sys/kernel/debug/ion'
grep -q 'ermission denied\|can.t cd' "$scratch/err" || wrong "cd says '$(cat "$scratch/err")'"
if python3 -c '' 2>/dev/null; then
  on "$board" python3 -c 'import glob, os
print(sorted(os.listdir("/sys/kernel/debug/ion")) == [one.rsplit("/")[-1] for one in sorted(glob.glob("/sys/kernel/debug/ion/*"))],
      open("/sys/kernel/debug/ion/system/num_of_buffers").read().strip(), os.open("/dev/ion", os.O_RDWR) > 2, len(list(os.walk("/sys/kernel/debug/ion"))))'
  is 'what Python finds' 'True 0 True 6' "$(cat "$scratch/out")"
fi
if command -v busybox >/dev/null; then
  on "$board" busybox ls /sys/kernel/debug/ion
  [ -s "$scratch/err" ] || is 'what busybox lists' "$heaps" "$(cat "$scratch/out")"
fi

# What cannot be run.
refused 'no such program' "$scratch/nothing"
refused 'no such program' freestone-no-such-program
refused 'no such program' "$board"  # it cannot be executed
refused 'is linked statically' "$static"
refused 'link it dynamically' "$static"
cp "$static" "$scratch/interpreter"
printf '#! %s argument\n' "$scratch/interpreter" >"$scratch/static"
chmod +x "$scratch/static"
refused 'is linked statically' "$scratch/static"
printf '\177ELF\002' >"$scratch/broken"
head -c 100 /dev/zero | tr '\0' '\377' >>"$scratch/broken"
chmod +x "$scratch/broken"
on "$board" "$scratch/broken"
is 'the status of what is no program' 127 $?
for arguments in '' "$board" "$board x" "$board x --" "$board x y $program" "$board x a=1" "$board x a=1 --" "$board x a=1 b -- $program"; do
  # shellcheck disable=SC2086
  "$run" $arguments >"$scratch/out" 2>"$scratch/err"
  is "the status with '$arguments'" 2 $?
  grep -q usage "$scratch/err" || wrong "with '$arguments' it says no usage"
done

# Boards. Each error names its line and its field.
heap='[[heap]]
name = "one"
id = 0
type = "system"
size = "8M"
base = 0x4000_0000'
node='[[node]]
system = "ion-g4"'
on "$scratch/none.toml" "$program"
is 'the status without a board' 2 $?
grep -q 'none.toml: cannot be read' "$scratch/err" || wrong "no board: says '$(cat "$scratch/err")'"
printf '%s\nname = [\n' "$heap" | wrong_board 'line 7'
printf '%s\n' "$heap" | wrong_board 'node' 'line '
printf '%s\n%s\n' "$heap" "$node" | sed 's/"system"/"weird"/' | wrong_board "heap 'one'" 'type' "'weird'" 'line '
printf '%s\n%s\n' "$heap" "$node" | sed '/^type/d' | wrong_board "heap 'one'" 'type' 'line '
printf '%s\n%s\n' "$heap" "$node" | sed 's/ion-g4/ion-g9/' | wrong_board 'line 8' 'system' "'ion-g9'"
printf '%s\n%s\ncolour = 1\n' "$heap" "$node" | wrong_board 'line 9' 'colour'
printf '%s\n%s\nmode = "0888"\n' "$heap" "$node" | wrong_board 'line 9' 'mode' "'0888'"
printf '%s\n%s\n%s\n' "$heap" "$node" "$node" | wrong_board 'path' 'line '
for path in /dev/dma_heap/one /dev/dma_heap /dev/dma_heap/a/b; do
  printf '%s\n%s\npath = "%s"\n[[node]]\nsystem = "dma-heap"\n' "$heap" "$node" "$path" | wrong_board 'path' 'line ' 'another has that name'
done
for path in /tmp/ion /dev dev/ion /dev/ /dev//ion /dev/./ion /dev/a/../ion /devices/ion; do
  printf '%s\n%s\npath = "%s"\n' "$heap" "$node" "$path" | wrong_board 'path' 'line 9' "'$path'"
done
for name in a/b . ..; do
  printf '%s\n%s\n' "$heap" "$node" | sed "s:\"one\":\"$name\":" | wrong_board 'name' "'$name'"
done
printf '%s\nmode = "999"\n%s\n' "$heap" "$node" | wrong_board 'mode' "'999'" 'line 7'
printf '%s\n%s\n%s\n' "$heap" "$(echo "$heap" | sed 's/one/two/; s/id = 0/id = 1/; s/0x4000/0x4040/')" "$node" |
  wrong_board "heap 'two'" 'base' 'overlaps' "'one'" 'line '
printf '%s\n%s\n' "$heap" "$node" | sed 's/"8M"/"8M!"/' | wrong_board 'size' "'8M!'" 'line 5'

# Sizes from the command line. PMEM's reports are files as others are.
board=$3/qualcomm-8x25.toml
# with WORDS PROGRAM ARGS...: as `on`, with these words before the --.
with() {
  words=$1
  shift
  # shellcheck disable=SC2086
  timeout 60 "$run" "$board" "$interposer" $words -- "$@" >"$scratch/out" 2>"$scratch/err"
}
sizes() { with "$1" sh -c 'cd / && cat /sys/kernel/pmem_regions/*/size' && tr '\n' ' ' <"$scratch/out"; }
on "$board" ls /sys/kernel/pmem_regions /sys/kernel/pmem_regions/pmem
is 'what ls lists of PMEM' '/sys/kernel/pmem_regions: pmem pmem_adsp pmem_audio /sys/kernel/pmem_regions/pmem: allocator_type base bits_allocated free_quanta mapped_regions quantum_size size total_entries' "$(xargs <"$scratch/out")"
is 'the sizes that the board has' '33554432(0x2000000) 17825792(0x1100000) 524288(0x80000) ' "$(sizes '')"
is 'one other size' '25165824(0x1800000) 17825792(0x1100000) 524288(0x80000) ' "$(sizes 'pmem_mdp_size=24M')"
is 'three other sizes' '25165824(0x1800000) 1048576(0x100000) 524288(0x80000) ' \
  "$(sizes 'pmem_audio_size=512K pmem_adsp_size=0x100000 pmem_mdp_size=24M')"
is 'a size of 0' '33554432(0x2000000) 524288(0x80000) ' "$(sizes 'pmem_adsp_size=0')"
grep -qF "heap 'pmem_adsp': pmem_adsp_size: it has no bytes: '0'" "$scratch/err" || wrong "a size of 0: says '$(cat "$scratch/err")'"
for word in 'pmem_mdp_size=24X' 'pmem_mdp_size=' 'pmem_size=1M' 'pmem_adsp_size=-1'; do
  with "$word" "$program" ran
  is "the status with $word" 2 $?
  is "what ran with $word" '' "$(cat "$scratch/out")"
  grep -qF -e "${word%%=*}: " "$scratch/err" || wrong "$word: says '$(cat "$scratch/err")'"
done
board=$3/ion-g4.toml
with 'pmem_mdp_size=24M' "$program" ran
is 'the status of a board without PMEM' 2 $?
grep -qF "ion-g4.toml: pmem_mdp_size: no heap of the board has its size from there: '24M'" "$scratch/err" ||
  wrong "a board without PMEM: says '$(cat "$scratch/err")'"

# MMZ's zones are a file too, and what is left of them is told.
board=$3/hisilicon-g2.toml
on "$board" cat /proc/media-mem
is 'the total that others look for in media-mem' 97280 "$(sed -n 's/.*total size=\([0-9]*\)KB.*/\1/p' "$scratch/out")"
on "$board" stat -c '%F %a' /dev/mmz_userdev /proc/media-mem
is 'what stat says of MMZ' 'character special file 666 regular empty file 644' "$(xargs <"$scratch/out")"
if python3 -c '' 2>/dev/null; then
  on "$board" python3 -c 'import fcntl, os, struct
fcntl.ioctl(os.open("/dev/mmz_userdev", os.O_RDWR), 0xc0686d0a, struct.pack("@3LIPL16s32sL", 0, 0, 8192, 0, 0, 0, b"left", b"", 0))'
  grep -q "MMB LEAK(pid=[0-9]*): 0xE3000000, 8192 bytes, 'left'" "$scratch/err" || wrong "a block left behind: says '$(cat "$scratch/err")'"
fi

# Each board that has nodes is whole.
for board in "$3"/*.toml; do
  grep -q '^\[\[node\]\]' "$board" || continue
  ends 0 true
done
board=$3/ion-g4.toml

# Its limits are its own, though the server wants many descriptors.
is 'its limit of descriptors' 100 "$(ulimit -S -n 100 && "$run" "$board" "$interposer" -- sh -c 'ulimit -S -n')"

# What is left open.
on "$board" "$program" leak 2 8192
is 'the status of a program that leaks' 0 $?
grep -q 'process [0-9]* left open at its end: 2 buffers of 16384 bytes, 1 other files' "$scratch/err" ||
  wrong "a leak: says '$(cat "$scratch/err")'"
on "$board" sh -c '"$1" leak 1 4096; "$1" close; "$1" leak 3 4096' sh "$program"
is 'how many processes leak' 2 "$(grep -c 'left open' "$scratch/err")"

# Signals come once, whoever sends them.
rm "$scratch/out"
"$run" "$board" "$interposer" -- "$program" wait >"$scratch/out" 2>&1 &
run_pid=$!
soon grep -q ready "$scratch/out" || wrong 'it does not get ready'
kill -TERM "$run_pid"
wait "$run_pid"
is 'the status of one that was told to end' 5 $?
run_pid=''
for how in TERM:143 KILL:137; do
  rm "$scratch/out"
  "$run" "$board" "$interposer" -- sh -c 'echo $$; exec sleep 60' >"$scratch/out" 2>&1 &
  run_pid=$!
  soon test -s "$scratch/out"
  kill -"${how%:*}" "$run_pid"
  wait "$run_pid" 2>/dev/null
  is "its status ($how)" "${how#*:}" $?
  run_pid=''
  soon sh -c "! kill -0 $(cat "$scratch/out") 2>/dev/null" || wrong "the program outlives it ($how)"
done

# 32-bit programs, one beside the other.
if [ -n "$program32" ]; then
  ends 0 "$program32" close
  ends 139 "$program32" signal 11
  ends 0 sh -c '"$1" close && "$2" close' sh "$program" "$program32"
  on "$board" "$program32" leak 2 8192
  grep -q '2 buffers of 16384 bytes, 1 other files' "$scratch/err" || wrong "a leak in 32 bits: says '$(cat "$scratch/err")'"
fi
exit "$status"
