#!/bin/sh
# Where `make install` puts things, and that `make uninstall` takes exactly those away: bindings/cpp/README.md.
. "$(dirname "$0")/part.sh"
installer=$ROOT/bindings/install/install.sh
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$ROOT/Cargo.toml")

for file in lib/libmeditopia.so."$version" lib/libmeditopia.a lib/pkgconfig/meditopia.pc include/meditopia.h \
  include/meditopia.hpp include/meditopia_ffi.h lib/cmake/meditopia/meditopiaConfig.cmake bin/meditopia \
  share/man/man3/meditopia.3 share/man/man1/meditopia.1 share/man/man1/meditopia-sandbox.1 \
  share/bash-completion/completions/meditopia share/zsh/site-functions/_meditopia \
  share/fish/vendor_completions.d/meditopia.fish lib/systemd/system/meditopia@.service \
  share/meditopia/prometheus/meditopia.rules.yml; do
  [ -f "$INSTALLED/$file" ] || fail "$file is not installed"
done
[ "$(readlink "$LIB/libmeditopia.so")" = libmeditopia.so.0 ] || fail "the link for linkers"
[ "$(readlink "$LIB/libmeditopia.so.0")" = "libmeditopia.so.$version" ] || fail "the link for the loader"
readelf -d "$LIB/libmeditopia.so" | grep -q 'SONAME.*\[libmeditopia.so.0\]' || fail "the soname"
[ -z "$(find "$INSTALLED" ! -type l ! -perm -444)" ] || fail "something is not for everybody"
grep -q "^ExecStart=$INSTALLED/bin/meditopia run " "$INSTALLED/lib/systemd/system/meditopia@.service" || fail "the unit runs another command"
holds "a library and its links, headers, command, pages and units lie where programs look for them"

# What a file that is installed refers to: pages by their path from the documents, files by their whole path, manual pages.
doc=$INSTALLED/share/doc/meditopia
sed -n 's/.*"\([^"]*docs\/[^"]*\)".*/\1/p' $(find "$ROOT/src" "$ROOT/crates/cli/src" -name '*.rs') >"$WORK/messages"
(cd "$INSTALLED" && cat lib/systemd/system/* share/meditopia/prometheus/* share/man/man[13]/* include/*.h "$WORK/messages") |
  sed 's/\\//g' >"$WORK/refers"
grep -oE "[A-Za-z0-9_./@-]*[A-Za-z0-9_-]+\.md" "$WORK/refers" | sed "s,^.*/share/doc/meditopia/,," | sort -u >"$WORK/pages"
grep -q '^docs/kubernetes.md$' "$WORK/pages" || fail "no page that a message names was found"
while read -r page; do [ -f "$doc/$page" ] || fail "$page is referred to and not installed"; done <"$WORK/pages"
grep -ohE 'man:[a-z-]+\([13]\)' "$INSTALLED"/lib/systemd/system/* | sort -u | tr -d ')' | tr '(' . >"$WORK/man"
while read -r page; do [ -f "$INSTALLED/share/man/man${page##*.}/${page#man:}" ] || fail "$page is not installed"; done <"$WORK/man"
find "$doc" -name '*.md' | while read -r page; do
  grep -oE '\]\([^) ]+\)' "$page" | sed 's/^](//; s/)$//; s/#.*//' | grep -vE '^$|^[a-z]+:' | while read -r link; do
    [ -e "$(dirname "$page")/$link" ] || fail "$page links to $link"
  done || exit 1
done || fail "a link of a page that is installed leads nowhere"
# Paths of ours that a page names below /usr or /usr/local.
grep -rhoE '/usr/(local/)?(bin|lib|share|include)/[A-Za-z0-9_./@-]*meditopia[A-Za-z0-9_./@-]*' "$ROOT/README.md" "$ROOT/docs" \
  "$ROOT/bindings/systemd" "$ROOT/bindings/prometheus" | sed 's,^/usr/\(local/\)*,,; s,\.$,,' | grep -v '^lib/meditopia-php' |
  sort -u >"$WORK/named"
grep -qx bin/meditopia "$WORK/named" || fail "no path that a page names was found"
while read -r path; do [ -e "$INSTALLED/$path" ] || fail "a page names $path, which is not installed"; done <"$WORK/named"
holds "what units, rules, messages, manual pages and documents refer to is installed"

mkdir "$WORK/not built"
for script in "install.sh install" deb.sh; do
  # shellcheck disable=SC2086 # a script and its argument
  PREFIX=$WORK/none sh "$ROOT/bindings/install/"$script "$WORK/not built" "$WORK/none" 2>"$WORK/complaint" && fail "$script installs nothing"
  grep -q 'make release' "$WORK/complaint" || fail "$script says: $(cat "$WORK/complaint")"
  [ ! -e "$WORK/none" ] || fail "$script has begun without a build"
done
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
  mkdir -m 755 "$WORK/roots"
  chmod 755 "$WORK"
  PREFIX=$WORK/roots TMPDIR=/tmp setpriv --reuid=65534 --regid=65534 --clear-groups sh "$installer" install "$BUILT" 2>"$WORK/complaint" &&
    fail "another user writes into a directory of root's"
  grep -q "$WORK/roots cannot be written to" "$WORK/complaint" || fail "$(cat "$WORK/complaint")"
  [ -z "$(ls "$WORK/roots")" ] || fail "a part was installed"
fi
PREFIX=$WORK/told sh "$installer" install "$BUILT" >"$WORK/said"
grep -q "command  *$WORK/told/bin/meditopia" "$WORK/said" && grep -q "Next: '$WORK/told/bin/meditopia' try" "$WORK/said" ||
  fail "install says: $(cat "$WORK/said")"
"$WORK/told/bin/meditopia" try | grep -q '2 delivered, 1 rejected' || fail "the next step does not work"
PREFIX=$WORK/told sh "$installer" uninstall
holds "an installation says before a build what to do, copies nothing where it cannot copy all, and says afterwards what is where"

nm -g --defined-only "$LIB/libmeditopia.a" | sed -n 's/.* [A-Z] //p' | sort >"$WORK/shown"
sed -n 's/^[a-z].*[ *]\(meditopia_[a-z_]*\)(.*/\1/p' "$INSTALLED/include/meditopia.h" | sort >"$WORK/declared"
cmp "$WORK/shown" "$WORK/declared" || fail "the static library shows other symbols than the header's functions"
cat >"$WORK/own_sqlite.c" <<'END'
#include <meditopia.h>
#include <string.h>
/* A host's own SQLite, of which only this much matters. */
int sqlite3_open_v2(const char *a, void **b, int c, const char *d) { (void)a, (void)b, (void)c, (void)d; return 1; }
const char *sqlite3_libversion(void) { return "the host's"; }
int main(void) {
  meditopia_config *config = meditopia_config_new();
  meditopia_client *client = NULL;
  meditopia_error error;
  void *none;
  int wrong = meditopia_config_load_env(config, &error) < 0 || meditopia_client_open(config, &client, &error) < 0 ||
              meditopia_enqueue(client, "t", "u", "video", NULL, NULL, &error) < 0 ||
              meditopia_client_close(client, 20000, NULL, &error) < 0;
  meditopia_client_free(client);
  meditopia_config_free(config);
  return wrong || strcmp(sqlite3_libversion(), "the host's") != 0 || sqlite3_open_v2("", &none, 0, "") != 1;
}
END
# shellcheck disable=SC2046 # a list of libraries
cc -I"$INSTALLED/include" "$WORK/own_sqlite.c" "$LIB/libmeditopia.a" $(sed -n 's/^Libs.private: //p' "$LIB/pkgconfig/meditopia.pc") -o "$WORK/own_sqlite"
against_sandbox 1 "$WORK/own_sqlite"
holds "the static library shows the header's functions and leaves a host its own SQLite"

for name in $(cat "$WORK/declared") meditopia_error meditopia_report; do
  page=$INSTALLED/share/man/man3/$name.3
  [ -f "$page" ] || fail "$name has no page"
  grep -q "^$name \\\\- ." "$page" || fail "$name says not what it does"
done
said=$(man --warnings=w -E UTF-8 -l -Tutf8 -Z "$INSTALLED"/share/man/man3/*.3 2>&1 >/dev/null)
[ -z "$said" ] || fail "$said"
man -l "$INSTALLED/share/man/man3/meditopia_enqueue.3" 2>/dev/null | grep -q 'MEDITOPIA_ERROR_SPOOL_FULL' || fail "no errors in a page"
holds "every function has a manual page that man reads without a warning"

# A staged tree, a library directory of its own, and a neighbour's files in the same places.
stage=$WORK/stage
mkdir -p "$stage/opt/my app/lib/multi/pkgconfig" "$stage/opt/my app/bin" "$WORK/fake"
echo theirs >"$stage/opt/my app/lib/multi/pkgconfig/other.pc"
find "$stage" | sort >"$WORK/before"
printf '#!/bin/sh\necho called >>"%s"\n' "$WORK/ldconfig" >"$WORK/fake/ldconfig"
chmod +x "$WORK/fake/ldconfig"
PATH=$WORK/fake:$PATH
PREFIX='/opt/my app' LIBDIR='/opt/my app/lib/multi' DESTDIR=$stage
export PREFIX LIBDIR DESTDIR
sh "$installer" install "$BUILT"
[ -f "$stage/opt/my app/lib/multi/libmeditopia.so.$version" ] || fail "LIBDIR is not kept to"
if grep -rIl "$WORK" "$stage"; then fail "the staging directory is named in the files above"; fi
sh "$installer" install "$BUILT"
sh "$installer" uninstall
find "$stage" | sort | diff "$WORK/before" - || fail "uninstall left or took something"
holds "a staged installation, made twice, is removed without a trace, and its neighbours stay"

sh "$installer" install "$BUILT"
echo changed >>"$stage/opt/my app/include/meditopia.h"
ln -sfn other.so "$stage/opt/my app/lib/multi/libmeditopia.so"
sh "$installer" uninstall 2>"$WORK/complaint"
grep -q 'meditopia.h was changed' "$WORK/complaint" || fail "a changed file is not told of"
[ "$(cd "$stage/opt/my app" && find . ! -type d | sort | tr '\n' ' ')" = './include/meditopia.h ./lib/multi/libmeditopia.so ./lib/multi/pkgconfig/other.pc ' ] ||
  fail "uninstall has not left what was changed, alone"
rm "$stage/opt/my app/include/meditopia.h" "$stage/opt/my app/lib/multi/libmeditopia.so"
sh "$installer" uninstall 2>&1 | grep -q 'nothing to remove' || fail "a second uninstall"
holds "uninstall leaves what was changed since, and what it did not install"

# An older version's files go when a newer one is installed.
sh "$installer" install "$BUILT"
echo old >"$stage/opt/my app/lib/multi/libmeditopia.so.0.0.9"
printf 'file %s %s\n' "$(sha256sum <"$stage/opt/my app/lib/multi/libmeditopia.so.0.0.9" | cut -d ' ' -f 1)" \
  lib/multi/libmeditopia.so.0.0.9 >>"$stage/opt/my app/share/meditopia/installed"
sh "$installer" install "$BUILT"
[ ! -e "$stage/opt/my app/lib/multi/libmeditopia.so.0.0.9" ] || fail "the older library is still there"
holds "an installation over another leaves nothing of the older one"

PREFIX=/usr/local LIBDIR='' sh "$installer" install "$BUILT"
grep -q '^prefix=/usr/local$' "$stage/usr/local/lib/pkgconfig/meditopia.pc" || fail "a system prefix is not named"
PREFIX=/usr/local LIBDIR='' sh "$installer" uninstall
PREFIX=$WORK/elsewhere LIBDIR='' DESTDIR='' sh "$installer" install "$BUILT"
PREFIX=$WORK/elsewhere LIBDIR='' DESTDIR='' sh "$installer" uninstall
[ ! -e "$WORK/elsewhere" ] || fail "uninstall left the prefix that install made"
[ ! -e "$WORK/ldconfig" ] || fail "ldconfig was run for a staged or private tree"
# The system's prefix itself, under a mount of this process alone.
# shellcheck disable=SC2016 # for the other shell
if unshare -m sh -c 'mount -t tmpfs none /usr/local' 2>/dev/null; then
  unshare -m sh -eu -c 'mount -t tmpfs none /usr/local; PREFIX=/usr/local LIBDIR= DESTDIR= sh "$0" install "$1"' "$installer" "$BUILT"
  [ "$(cat "$WORK/ldconfig")" = called ] || fail "ldconfig was not run for /usr/local"
  holds "the loader's cache is made again for a system prefix, and for no other"
fi
