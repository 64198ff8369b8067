#!/bin/sh
# Installs what was built, or removes it again:
#
#   install.sh install|uninstall BUILD_DIR
#
#   PREFIX   /usr/local   where it will be used
#   LIBDIR   PREFIX/lib   below PREFIX, because the pkg-config and CMake files find the rest from there
#   DESTDIR  none         put before both: the tree is staged there for a package
#
# All is made in a temporary directory that looks like PREFIX, then copied. What was copied, and which
# directories were made for it, is written to PREFIX/share/meditopia/installed; uninstall reads that,
# so it needs no build and removes nothing that was there before or was changed since. Nothing is copied unless all
# of it can be.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
prefix=${PREFIX:-/usr/local}
prefix=${prefix%/}
libdir=${LIBDIR:-$prefix/lib}
destdir=${DESTDIR:-}
top=$destdir$prefix
record=share/meditopia/installed

say() { printf '%s\n' "$*" >&2; }

case $prefix in
/* | '') ;;
*)
  say "PREFIX ($prefix) has to be an absolute path"
  exit 2
  ;;
esac
case $libdir in
"$prefix"/*) librel=${libdir#"$prefix"/} ;;
*)
  say "LIBDIR ($libdir) has to lie below PREFIX ($prefix)"
  exit 2
  ;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

# The loader's cache: only of the running system, and only for where its loader looks. Says how programs find the library.
tell_loader() {
  if [ -n "$destdir" ]; then
    loader="This is a staged tree: whoever copies it to $prefix runs ldconfig there."
    return
  fi
  case $prefix in
  /usr | /usr/local)
    if PATH=$PATH:/sbin:/usr/sbin ldconfig; then
      loader="ldconfig has noted the library, so programs find it."
    else
      say "ldconfig failed: run it as root, so that programs find libmeditopia"
      loader=
    fi
    ;;
  *) loader="Programs find the library by LD_LIBRARY_PATH=$(quoted "$libdir"), or if they are linked with -Wl,-rpath,$(quoted "$libdir")." ;;
  esac
}

# Ends unless each directory that gets a file can be written to, or be made.
check_writable() {
  sed 's,^[^/]*$,./&,; s,/[^/]*$,,' "$work/list" | sort -u >"$work/directories"
  while IFS= read -r directory; do
    place=$top/$directory
    while [ ! -e "$place" ]; do place=$(dirname "$place"); done
    [ -d "$place" ] && [ -w "$place" ] || {
      say "$place cannot be written to by $(id -un); nothing was installed. Either of these installs it:
  sudo make install
  make install PREFIX=\$HOME/.local"
      exit 1
    }
  done <"$work/directories"
}

# A path as a shell takes it.
quoted() {
  case $1 in
  *[!A-Za-z0-9_./@+-]*) printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")" ;;
  *) printf %s "$1" ;;
  esac
}

# What is where, and what to do next.
tell_installed() {
  echo "libmeditopia $version is installed below $top:"
  for entry in "library:$librel/libmeditopia.so $librel/libmeditopia.a" 'headers:include/meditopia.h include/meditopia.hpp' \
    'command:bin/meditopia' 'units:lib/systemd/system/meditopia@.service lib/systemd/system/meditopia-flush@.timer' \
    'alerts:share/meditopia/prometheus/meditopia.rules.yml' 'documents:share/doc/meditopia/README.md'; do
    for path in ${entry#*:}; do
      [ ! -e "$work/tree/$path" ] || printf '  %-10s %s\n' "${entry%%:*}" "$top/$path"
    done
  done
  [ -z "$loader" ] || echo "$loader"
  if [ ! -e "$work/tree/bin/meditopia" ]; then
    echo "The command is not installed, because it is not in $built: make release builds it."
  elif [ -z "$destdir" ]; then
    echo "Next: $(quoted "$prefix/bin/meditopia") try"
  fi
}

sum() { sha256sum <"$1" | cut -d ' ' -f 1; }

# Makes a directory of the installed tree and the missing ones above it, and records those.
make_directory() {
  [ -d "$top/$1" ] && return
  case $1 in */*) make_directory "${1%/*}" ;; esac
  if [ ! -d "$top" ]; then
    mkdir -p "$top"
    echo 'dir - .' >>"$work/record"
  fi
  mkdir "$top/$1"
  chmod 755 "$top/$1"
  printf 'dir - %s\n' "$1" >>"$work/record"
}

# Copies one file or link, under another name first: a program may be using the one that is there.
put() {
  case $1 in */*) make_directory "${1%/*}" ;; esac
  fresh=$top/$1.new-$$
  case $1 in bin/*) mode=755 ;; *) mode=644 ;; esac
  if [ -L "$work/tree/$1" ]; then
    cp -P "$work/tree/$1" "$fresh"
  else
    install -m $mode "$work/tree/$1" "$fresh"
  fi
  mv -fT "$fresh" "$top/$1"
}

# Removes what the record in $1 lists and nothing of $2 lists: deepest directories last.
remove() {
  while read -r kind what path; do
    grep -qxF "$path" "$2" && continue
    case $kind in
    link) [ "$(readlink "$top/$path" 2>/dev/null)" = "$what" ] && rm -f "$top/$path" || : ;;
    file)
      if [ -L "$top/$path" ] || [ ! -f "$top/$path" ]; then
        :
      elif [ "$(sum "$top/$path")" = "$what" ]; then
        rm -f "$top/$path"
      else
        say "$top/$path was changed since it was installed; it is left as it is"
      fi
      ;;
    esac
  done <"$1"
  sed -n 's/^dir - //p' "$1" | sort -r | while IFS= read -r path; do
    case $path in .) path='' ;; esac
    grep -qxF "${path:-.}" "$2" || rmdir "$top${path:+/$path}" 2>/dev/null || :
  done
}

install_all() {
  mkdir "$work/tree"
  sh "$here/stage.sh" "$built" "$work/tree" "$librel" "$prefix"
  : >"$work/before"
  if [ -f "$top/$record" ]; then
    cp "$top/$record" "$work/before"
    # Directories of an earlier installation stay ours.
    grep '^dir ' "$work/before" >"$work/record" || :
  fi
  (cd "$work/tree" && find . ! -type d -printf '%P\n' | sort) >"$work/list"
  check_writable
  while IFS= read -r path; do put "$path"; done <"$work/list"
  (
    cd "$work/tree"
    find . -type f -printf '%P\0' | xargs -0 sha256sum | sed 's/^\([0-9a-f]*\)  /file \1 /'
    find . -type l -printf 'link %l %P\n'
  ) >>"$work/record"
  make_directory "${record%/*}"
  cut -d ' ' -f 3- "$work/record" >"$work/paths"
  remove "$work/before" "$work/paths"
  cp "$work/record" "$top/$record"
  chmod 644 "$top/$record"
}

uninstall_all() {
  if [ ! -f "$top/$record" ]; then
    say "nothing to remove: there is no $top/$record"
    return
  fi
  mv "$top/$record" "$work/before"
  : >"$work/none"
  remove "$work/before" "$work/none"
}

case ${1:-} in
install)
  sh "$here/check_built.sh" "$2"
  built=$(cd "$2" && pwd)
  version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$root/Cargo.toml")
  install_all
  tell_loader
  tell_installed
  ;;
uninstall)
  uninstall_all
  tell_loader
  ;;
*)
  say "install.sh install|uninstall BUILD_DIR"
  exit 2
  ;;
esac
