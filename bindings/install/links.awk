# Gives links to files that are not installed the address of the repository.
#
#   awk -v document=docs/operating.md -v address=https://... -f links.awk INSTALLED_PATHS DOCUMENT

# The path of `target`, which is relative to the document, from the root.
function from_root(target,   parts, count, i, path, depth, kept) {
  path = document
  if (!sub(/\/[^\/]*$/, "", path)) path = ""
  count = split(path "/" target, parts, "/")
  depth = 0
  for (i = 1; i <= count; i++) {
    if (parts[i] == "" || parts[i] == ".") continue
    if (parts[i] == "..") depth--
    else kept[++depth] = parts[i]
  }
  path = ""
  for (i = 1; i <= depth; i++) path = path (i > 1 ? "/" : "") kept[i]
  return path
}

function linked(target,   file, anchor, path) {
  if (target ~ /^(#|[a-z]+:)/) return target
  file = target
  anchor = ""
  if (match(file, /#/)) {
    anchor = substr(file, RSTART)
    file = substr(file, 1, RSTART - 1)
  }
  path = from_root(file)
  return path in installed || path ~ /^LICENSE-/ ? target : address "/" path anchor
}

NR == FNR { installed[$0]; next }
/^ *```/ { in_block = !in_block }
in_block { print; next }
{
  done = ""
  rest = $0
  while (match(rest, /\]\([^) ]+\)/)) {
    # linked() matches, too.
    start = RSTART
    end = RSTART + RLENGTH
    done = done substr(rest, 1, start + 1) linked(substr(rest, start + 2, end - start - 3)) ")"
    rest = substr(rest, end)
  }
  print done rest
}
