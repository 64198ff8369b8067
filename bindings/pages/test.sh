#!/bin/sh
# Runs every block of docs/frameworks as a reader would paste it: test.sh BUILD_DIR [PAGE...]
#
# Each page has a story in stories/, which puts the blocks into a real project of the framework, with its real server. A block
# without a name, or that no story uses, is a failure, and so is a page without a story. A story has a machine of its own: an
# overlay of this one's root directory, network and processes. That needs root.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
built=$(cd "$1" && pwd)
shift
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac
pages=$root/docs/frameworks

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

for story in "$here"/stories/*.py; do
  name=$(basename "$story" .py)
  grep -q '^def \(the\|an\?\)_' "$story" || continue # not a story, but what stories share
  [ -e "$pages/$name.md" ] || fail "stories/$name.py has no page"
done
if [ $# -eq 0 ]; then
  for page in "$pages"/*.md; do
    name=$(basename "$page" .md)
    [ "$name" != README ] || continue
    [ -e "$here/stories/$name.py" ] || fail "no test runs docs/frameworks/$name.md: stories/$name.py is missing"
    set -- "$@" "$name"
  done
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-pages.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
for name in $(env | sed -n 's/^\(MEDITOPIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done

export PYTHONDONTWRITEBYTECODE=1
if ! unshare --mount --net --pid --fork --kill-child true 2>/dev/null; then
  for name; do
    python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); from page import Page; Page(sys.argv[2])' "$here" "$pages/$name.md"
  done
  echo "skipped: the pages of frameworks, whose stories need the right to mount"
  exit 0
fi

# What a release would give.
release=$work/release
mkdir "$release" "$release/php"
python3 "$root/bindings/python/build_wheel.py" "$built" "$release" >/dev/null
python3 "$root/bindings/release/composer.py" "$work/package.zip" "linux-x86_64=$built/libmeditopia.so"
python3 -m zipfile -e "$work/package.zip" "$release/php"
case " $* " in *" c "* | *" cpp "*) sh "$here/archive.sh" "$built" "$release" ;; esac

for name; do
  mkdir "$work/$name"
  # shellcheck disable=SC2016 # for the other shell
  unshare --mount --net --pid --fork --kill-child sh -e -c '
    place=$1 root=$2 built=$3 target=$4; shift 4
    mount -t tmpfs none "$place"
    mkdir "$place/upper" "$place/work" "$place/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/root"
    mount --rbind /dev "$place/root/dev"
    mount -t proc proc "$place/root/proc"
    mount -t tmpfs -o mode=755 none "$place/root/run"
    # Where these are file systems of their own.
    for directory in "$root" "$built" "$target/venv" "$target/node" "$2"; do
      [ ! -d "$directory" ] || { mkdir -p "$place/root$directory"; mount --rbind "$directory" "$place/root$directory"; }
    done
    PAGES_TARGET=$target exec chroot "$place/root" python3 "$root/bindings/pages/run.py" "$1" "$built" "$2"
  ' sh "$work/$name" "$root" "$built" "$target" "$pages/$name.md" "$release" || fail "the page $name"
done
