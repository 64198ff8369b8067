#!/bin/sh
# The Debian packages: made, installed by dpkg into a copy of this system that is gone afterwards, used, removed.
. "$(dirname "$0")/part.sh"

# Not packed: that takes longer than all the rest.
DPKG_DEB_COMPRESSOR_TYPE=none sh "$ROOT/bindings/install/deb.sh" "$BUILT" "$WORK/debs" >/dev/null
cd "$WORK/debs"
field() { dpkg-deb -f "$1"_*.deb "$2"; }
version=$(field libmeditopia0 Version)
for package in libmeditopia0 meditopia; do
  case $(field $package Depends) in *'libc6 (>= '*) ;; *) fail "$package depends on: $(field $package Depends)" ;; esac
  case $(field $package Maintainer) in *localhost*) fail "no maintainer" ;; *' <'*@*.*'>') ;; *) fail "$package is maintained by: $(field $package Maintainer)" ;; esac
done
# The newest version that a symbol of the library is bound to, and not where the libc of this machine has the symbol.
newest=$(objdump -T "$BUILT/libmeditopia.so" | sed -n 's/.*GLIBC_\(2\.[0-9]*\).*/\1/p' | sort -V | tail -n 1)
case $(field libmeditopia0 Depends) in "libc6 (>= $newest)"*) ;; *) fail "the library is bound to $newest, its package depends on: $(field libmeditopia0 Depends)" ;; esac
case $(field libmeditopia-dev Depends) in "libmeditopia0 (= $version), "*) ;; *) fail "-dev depends on: $(field libmeditopia-dev Depends)" ;; esac
for package in libmeditopia0 libmeditopia-dev meditopia; do
  mkdir "$package"
  dpkg-deb -R "${package}_${version}_$(dpkg --print-architecture).deb" "$package"
  (cd "$package" && md5sum -c --quiet DEBIAN/md5sums) || fail "$package: checksums"
  grep -q '^Copyright: 20[0-9][0-9] [A-Z]' "$package/usr/share/doc/$package/copyright" || fail "$package has no copyright line"
  [ -z "$(find "$package/usr" -perm /022 ! -type l)" ] || fail "$package: anybody may write"
done
grep -qx "libmeditopia 0 libmeditopia0 (>= $version)" libmeditopia0/DEBIAN/shlibs || fail "shlibs"
[ "$(cd libmeditopia0 && find usr -name '*.so*' | wc -l)" -eq 2 ] || fail "the library's package has other files"
holds "the packages depend on what they use, and their checksums hold"

cat >"$WORK/use" <<'END'
#!/bin/sh
# As somebody who has just installed the packages.
set -eu
dpkg -i "$1"/libmeditopia0_*.deb "$1"/libmeditopia-dev_*.deb "$1"/meditopia_*.deb
ldconfig -p | grep -q 'libmeditopia.so.0 '
cc -o /tmp/used "$2/main.c" $(pkg-config --cflags --libs meditopia)
[ -z "$(pkg-config --cflags meditopia)" ]
MEDITOPIA_SPOOL=/tmp/spool-used meditopia sandbox --expect-events 1 -- /tmp/used
cmake -S "$2" -B /tmp/used-cmake -DWANTED="$(pkg-config --modversion meditopia | cut -d . -f 1,2)"
cmake --build /tmp/used-cmake --target from_c
man -w meditopia_enqueue
# Another package that uses the library gets its dependency from shlibs.
mkdir -p /tmp/used-deb/debian && cd /tmp/used-deb
printf 'Source: used\n\nPackage: used\nArchitecture: any\n' >debian/control
dpkg-shlibdeps -O /tmp/used | grep 'libmeditopia0 (>= '
dpkg --purge meditopia libmeditopia-dev libmeditopia0
[ -z "$(find /usr/lib /usr/include /usr/bin /usr/share/man /usr/share/doc -name '*meditopia*')" ]
END
mkdir "$WORK/system"
# shellcheck disable=SC2016 # for the other shell
over='mount -t tmpfs none "$0" && mkdir "$0/upper" "$0/work" "$0/root" &&
  mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"'
if unshare -m sh -c "$over" "$WORK/system" 2>/dev/null; then
  # shellcheck disable=SC2016 # for the other shell
  unshare -m sh -eu -c "$over"'
    mount --bind /dev "$0/root/dev" && mount -t proc proc "$0/root/proc" && mount -t tmpfs none "$0/root/tmp"
    mkdir "$0/root/tmp/debs" && cp "$1"/debs/*.deb "$1/use" "$0/root/tmp/debs" && cp -r "$2" "$0/root/tmp/consumer"
    exec chroot "$0/root" sh /tmp/debs/use /tmp/debs /tmp/consumer' "$WORK/system" "$WORK" "$here/consumer" >"$WORK/used" 2>&1 ||
    fail "$(cat "$WORK/used")"
  holds "installed by dpkg, the packages give library, headers and command to a program, and go without a trace"
else
  cc -I libmeditopia-dev/usr/include "$here/consumer/main.c" -L"$(dirname libmeditopia0/usr/lib/*/libmeditopia.so.0)" -l:libmeditopia.so.0 -o "$WORK/used"
  LD_LIBRARY_PATH=$(dirname "$PWD"/libmeditopia0/usr/lib/*/libmeditopia.so.0) against_sandbox 1 "$WORK/used"
  holds "unpacked, for want of the right to mount, the packages give library and headers to a program"
fi
