# Makes manual pages of section 3 from meditopia.h: one for each function and type, and meditopia(3).
#
#   awk -v out=DIRECTORY -v version=0.2.0 -f man.awk meditopia.h
#
# The header stays the one place where things are said. Its comments are plain text: a further indent is
# kept line by line, `backticks` are bold, "Errors:" and "Example:" begin sections.

function bare(text) { gsub(/`/, "", text); return text }

# Text that a man page shows as it is.
function plain(text) {
  gsub(/\\/, "\\e", text)
  gsub(/'/, "\\(aq", text)
  if (text ~ /^\./) text = "\\&" text
  return text
}

function code(text) {
  text = plain(text)
  gsub(/-/, "\\-", text)
  gsub(/\^/, "\\(ha", text)
  gsub(/~/, "\\(ti", text)
  return text
}

# "*spool*": a word of its own.
function stressed(text) {
  while (match(text, /\*[a-z]+\*/))
    text = substr(text, 1, RSTART - 1) "\\fI" substr(text, RSTART + 1, RLENGTH - 2) "\\fP" substr(text, RSTART + RLENGTH)
  return text
}

function prose(text,   parts, count, i, line) {
  count = split(text, parts, "`")
  for (i = 1; i <= count; i++)
    line = line (i % 2 ? stressed(plain(parts[i])) : "\\fB" code(parts[i]) "\\fP")
  return line
}

function verbatim(on, file) {
  if (on == as_is) return
  print on ? ".PP\n.RS 2\n.nf" : ".fi\n.RE\n.PP" >file
  as_is = on
}

function section(name, file) { verbatim(0, file); print ".SH " name >file }

# A line of a comment: a heading, a blank, kept as it is, or running text.
function say(line, file) {
  if (line ~ /^[A-Z][A-Z ]+(   .*)?$/) { section("\"" bare(line) "\"", file); listed = 0; return }
  if (line ~ /^Errors:/) { section("ERRORS", file); listed = 0; sub(/^Errors: */, "", line) }
  if (line ~ /^Example:/) { section("EXAMPLES", file); listed = 0; sub(/^Example: */, "", line) }
  if (line == "") { if (as_is) print "" >file; else print ".PP" >file; return }
  if (match(line, /^[0-9]+\. /)) {
    verbatim(0, file)
    print ".IP " substr(line, 1, RLENGTH - 1) " 4" >file
    print prose(substr(line, RLENGTH + 1)) >file
    listed = 1
  } else if (listed && line ~ /^   [^ ]/) {
    print prose(substr(line, 4)) >file
  } else if (line ~ /^  /) {
    verbatim(1, file)
    print code(bare(substr(line, 3))) >file
  } else {
    listed = 0
    verbatim(0, file)
    print prose(line) >file
  }
}

function summary(   i, text) {
  for (i = 1; i <= comments && comment[i] != ""; i++) text = text (i > 1 ? " " : "") comment[i]
  if (match(text, /[.] /)) text = substr(text, 1, RSTART - 1)
  sub(/[.:]$/, "", text)
  return bare(text)
}

function begin(name, about, file) {
  as_is = listed = 0
  print ".\\\" Made from meditopia.h; do not edit." >file
  print ".TH " toupper(name) " 3 \"\" \"libmeditopia " version "\" \"libmeditopia\"" >file
  # No name may be cut in two.
  print ".nh\n.SH NAME\n" name " \\- " plain(about) >file
}

function synopsis(file,   i) {
  print ".SH SYNOPSIS\n.nf\n#include <meditopia.h>\n" >file
  for (i = 1; i <= lines; i++) print code(declaration[i]) >file
  print ".fi" >file
}

function page(name, kind,   file, i) {
  file = out "/" name ".3"
  begin(name, summary(), file)
  synopsis(file)
  section("DESCRIPTION", file)
  for (i = 1; i <= comments; i++) say(comment[i], file)
  section("\"SEE ALSO\"", file)
  print ".BR meditopia (3)" >file
  close(file)
  contents[kind] = contents[kind] ".TP\n.BR " name " (3)\n" plain(summary()) "\n"
}

# The comment at the top of the file is the overview; it is ended when all else has been seen.
function overview(   file, i) {
  file = out "/meditopia.3"
  begin("meditopia", "queues user-activity events durably and delivers them to the Meditopia Partners API", file)
  print ".SH SYNOPSIS\n.nf\n#include <meditopia.h>\n\ncc program.c \\-lmeditopia\n.fi" >file
  for (i = 1; i <= intros; i++) say(intro[i], file)
  section("FUNCTIONS", file)
  printf "%s", contents["function"] >file
  section("TYPES", file)
  printf "%s", contents["type"] >file
  close(file)
}

NR == 1 { sub(/^\/\*/, " *"); in_intro = 1; next }
in_intro && /^ \*\// { in_intro = 0; next }
in_intro { if ($0 !~ /Made from src/) { sub(/^ \* ?/, ""); intro[++intros] = $0 }; next }

in_comment && /^ \*\// { in_comment = 0; wanted = 1; lines = 0; next }
in_comment { sub(/^ \* ?/, ""); comment[++comments] = $0; next }
/^\/\*\*/ { in_comment = 1; comments = 0; next }

wanted && (/^[a-z]/ || lines) {
  declaration[++lines] = $0
  if ($0 ~ /^} [a-z_]+;$/ || ($0 ~ /;$/ && declaration[1] !~ /{$/)) {
    name = $0
    if (declaration[1] ~ /^typedef/) {
      # "} name;", "typedef x name;" or "typedef void (*name)(...);"
      if (name ~ /\(\*/) { sub(/^.*\(\*/, "", name); sub(/\).*/, "", name) }
      else { sub(/;$/, "", name); sub(/^.* /, "", name) }
      page(name, "type")
    } else {
      name = declaration[1]
      sub(/\(.*/, "", name)
      sub(/^.*[ *]/, "", name)
      page(name, "function")
    }
    wanted = 0
  }
}

END { overview() }
