# awk -f layers.awk layers.txt HEADER...: names each include that goes against the layers, as path:line, and what is
# allowed there. The headers are given relative to the folder `freestone/`.
FNR == NR {
  if ($0 !~ /^#/ && NF > 0) { who = $1; $1 = ""; sub(/^ /, ""); allowed[who] = $0 }
  next
}

FNR == 1 {
  file = FILENAME
  sub(/^\.\//, "", file)
  hosted = file ~ /(^|\/)os\// || file ~ /^(adaptor|platform)\//
  row = row_of(file)
  if (row == "") offend("lies in no layer that layers.txt knows")
}

/^[ \t]*#[ \t]*include/ {
  if ($0 ~ /"/) offend("an include is always written <freestone/...>")
  else {
    name = $0
    sub(/^[^<]*</, "", name)
    sub(/>.*/, "", name)
    if (name ~ /^freestone\//) check_own(substr(name, 11)); else check_outside(name)
  }
}

END { exit bad > 0 }

function check_own(name) {
  if (!hosted && (name ~ /(^|\/)os\// || name ~ /^(adaptor|platform)\//))
    offend("includes <freestone/" name ">: only headers in os/, adaptor/ and platform/ may need an operating system")
  else if (!is_listed(name, allowed[row]))
    offend("includes <freestone/" name ">: " row " may include only " allowed[row])
}

function check_outside(name) {
  if (!hosted && index(" " allowed["<>"] " ", " " name " ") == 0 && !(file ~ /^(heap|share|device)\// && name ~ /^boost\/hana\//))
    offend("includes <" name ">: outside os/, adaptor/ and platform/ only " allowed["<>"] " are")
}

# The longest row that is the header itself or a folder around it.
function row_of(header,    who, best) {
  best = ""
  for (who in allowed)
    if ((header == who || index(header, who "/") == 1) && length(who) > length(best)) best = who
  return best
}

function is_listed(name, list,    parts, count, i) {
  count = split(list, parts, " ")
  for (i = 1; i <= count; ++i)
    if (name == parts[i] || index(name, parts[i] "/") == 1) return 1
  return 0
}

function offend(what) { print file ":" FNR ": " what; ++bad }
