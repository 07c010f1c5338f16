#!/bin/sh
# serve.sh SERVER FS INTERPOSER BOARD [NAME=SIZE...] [--mount DIR] [--socket NAME]: serves the devices of BOARD, a .toml, until SIGINT,
# SIGTERM or SIGHUP, and says on stdout what a shell must be told to have them. With --mount its reports are files below
# DIR for every program. Nothing is left behind. ./dev serve finds the first three arguments by itself.
set -u
server=$1 fs=$2 interposer=$3 board=$4 sizes='' mount='' socket='' name='' pid='' server_pid='' fs_pid=''
shift 4
die() { echo "serve: $1" >&2; exit "${2:-2}"; }
while [ $# -gt 0 ]; do
  case $1 in
    --mount | --socket)
      [ -n "${2-}" ] || die "$1: a value was expected"
      case $1 in --mount) mount=$2 ;; --socket) socket=$2 ;; esac
      shift 2 ;;
    [!-]*=*) sizes="$sizes $1"; shift ;;
    *) die "$1: not expected; NAME=SIZE, --mount DIR and --socket NAME are all" ;;
  esac
done

scratch=$(mktemp -d) || exit 1
# The file system first: it would end with its server too, but says so then.
# shellcheck disable=SC2317  # called by the trap
ended() {
  trap '' INT TERM HUP
  for one in $pid $fs_pid $server_pid; do
    kill "$one" 2>/dev/null
    wait "$one" 2>/dev/null
  done
  rm -rf "$scratch"
  case $name in '' | @*) ;; *) rm -f "$name" ;; esac
}
trap ended EXIT
trap 'exit 0' INT TERM HUP
# said COMMAND...: starts it, in `pid`, and waits for its first line, in `line`. False where it ends before.
said() {
  line=''
  mkfifo "$scratch/said" || exit 1
  "$@" >"$scratch/said" &
  pid=$!
  read -r line <"$scratch/said"
  set -- $?
  rm "$scratch/said"  # the next one's is another: a server keeps its own open
  return "$1"
}

# shellcheck disable=SC2086  # a word each
said "$server" "$board" $sizes ${socket:+--socket "$socket"}
status=$?
server_pid=$pid pid=''
[ "$status" -eq 0 ] || { wait "$server_pid"; exit $?; }
name=$line
if [ -n "$mount" ]; then
  said "$fs" "$name" "$mount"
  status=$?
  fs_pid=$pid pid=''
  [ "$status" -eq 0 ] || { wait "$fs_pid"; exit $?; }
  mount=$line
fi

# shellcheck disable=SC2016  # the loader's own
cat <<END_OF_TEXT
# The devices of $board are there for programs of a shell that was told:
export FREESTONE_SERVER='$name'
export LD_PRELOAD='$interposer'
END_OF_TEXT
if [ -n "$mount" ]; then
  echo "# The reports are files for every program: find '$mount' -type f"
else
  echo '# The reports are at their own paths, for these programs; with --mount DIR they are files for every program.'
fi
echo '# Ctrl-C ends it.'
wait "$server_pid"
status=$?
echo 'serve: the server has ended' >&2
exit "$status"
