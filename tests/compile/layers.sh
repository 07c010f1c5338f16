#!/bin/sh
# layers.sh INCLUDE: no header goes against the layers; and over a tree where every line marked `planted` does, exactly
# those lines are named.
set -u
here=$(cd "$(dirname "$0")" && pwd)
include=$(cd "$1" && pwd)

offences() { (cd "$1" && find . -name '*.hpp' | LC_ALL=C sort | xargs awk -f "$here/layers.awk" "$here/layers.txt"); }

offences "$include/freestone" || { echo 'a header goes against the layers'; exit 1; }

planted=$(cd "$here/layers_broken" && grep -rn planted . | sed -E 's|^\./([^:]*:[0-9]+):.*|\1|' | LC_ALL=C sort)
named=$(offences "$here/layers_broken" | sed -E 's|^([^:]*:[0-9]+):.*|\1|' | LC_ALL=C sort)
[ -n "$planted" ] && [ "$planted" = "$named" ] && exit 0
printf 'planted:\n%s\nnamed:\n%s\n' "$planted" "$named"
exit 1
