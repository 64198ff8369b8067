#!/bin/sh
# The same files on Debian 11 (glibc 2.31): a system of its own in target/debian11, from the archive that apt uses.
. "$(dirname "$0")/part.sh"
[ "$(id -u)" -eq 0 ] || {
  echo "skipped: only root may make a system to change into"
  exit 0
}
system=$TARGET/debian11
[ -e "$system/complete" ] || {
  source=$(apt-get indextargets --format '$(REPO_URI)' | grep '/debian/$' | head -n 1)
  rm -rf "$system"
  debootstrap --variant=minbase --include=python3,python3-venv,gcc,libc6-dev,pkg-config bullseye "$system" "$source" >"$WORK/bootstrap" ||
    fail "$(tail "$WORK/bootstrap")"
  touch "$system/complete"
}
# pip 19.3 as a wheel: there is no need of a network in there.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$WORK/pip" pip==19.3.1

cat >"$WORK/use" <<'USE'
#!/bin/sh
set -eu
cd "$(dirname "$0")"
ldd --version | head -n 1
mkdir -p /opt/meditopia
tar -xzf dist/meditopia-*-linux-x86_64.tar.gz --strip-components=1 -C /opt/meditopia
export PKG_CONFIG_PATH=/opt/meditopia/lib/pkgconfig LD_LIBRARY_PATH=/opt/meditopia/lib
deliver() { MEDITOPIA_SPOOL=$(mktemp -d)/spool timeout 60 "$meditopia" sandbox --expect-events 1 -- "$@" >said 2>&1 || { cat said; exit 1; }; }

meditopia=/opt/meditopia/bin/meditopia
cc main.c $(pkg-config --cflags --libs meditopia) -o shared
deliver ./shared
cc -static main.c $(pkg-config --static --cflags --libs meditopia) -o static 2>said || { cat said; exit 1; }
deliver ./static
cc -I/opt/meditopia/include fork.c -o fork -ldl
deliver ./fork /opt/meditopia/lib/libmeditopia.so.0
unset LD_LIBRARY_PATH
echo "the archive works, and a child that is forked after dlclose lets go of the lock"

for pip in "$(ls pip/*.whl)/pip" current; do
  python3 -m venv --clear venv
  [ "$pip" = current ] || venv/bin/python "$pip" install --quiet --no-index --upgrade pip/*.whl
  venv/bin/pip --version
  venv/bin/pip install --quiet --disable-pip-version-check --no-index dist/*.whl
  meditopia=venv/bin/meditopia
  deliver venv/bin/python deliver.py
done
echo "the wheel works"

sh -eu ./install-debian >said 2>&1 || { cat said; exit 1; }
meditopia=/usr/bin/meditopia
unset PKG_CONFIG_PATH
cc main.c $(pkg-config --cflags --libs meditopia) -o from_packages
deliver ./from_packages
dpkg --purge meditopia libmeditopia-dev libmeditopia0 >said 2>&1
echo "the Debian packages work"
USE
install_line apt >"$WORK/install-debian"
mkdir "$WORK/layer"
# A layer over the system, so that the next run finds it as it was.
# shellcheck disable=SC2016 # for the other shell
unshare -m sh -eu -c '
  mount -t tmpfs none "$0/layer" && mkdir "$0/layer/upper" "$0/layer/work" "$0/layer/root"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$0/layer/upper,workdir=$0/layer/work" "$0/layer/root"
  root=$0/layer/root
  mount --bind /dev "$root/dev" && mount -t proc proc "$root/proc" && mount -t tmpfs none "$root/tmp"
  mkdir "$root/tmp/here" && cp -r "$2" "$root/tmp/here/dist" && cp -r "$0/pip" "$root/tmp/here"
  cp "$0/use" "$0/install-debian" "$3/bindings/release/tests/fork.c" "$3/bindings/release/tests/deliver.py" "$3/bindings/cpp/tests/consumer/main.c" "$root/tmp/here"
  exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh /tmp/here/use' \
  "$WORK" "$system" "$DIST" "$ROOT" >"$WORK/used" 2>&1 || fail "$(cat "$WORK/used")"
sed 's/^/   /' "$WORK/used"
holds "on Debian 11, archive, wheel and Debian packages are installed, and deliver"
