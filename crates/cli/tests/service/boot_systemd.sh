#!/bin/bash
# Boots systemd as process 1 of namespaces of its own, on an overlay of this machine's files that vanishes
# with it, with this repository's unit and one instance of it. Arguments: an empty directory, the command,
# the units, and the port of the API.
set -eu
work=$1 command=$2 units=$3 port=$4
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
root=$work/root
# Status 77: not on this machine.
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root" || exit 77
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || exit 77
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
# No device of the machine but these, and no setting of its kernel.
mount -t tmpfs tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/full" c 1 7
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/tty" c 5 0
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
# Nothing starts but the log and the service.
system=$root/lib/systemd/system
for target in sysinit sockets timers basic multi-user graphical local-fs remote-fs getty network-online; do
    rm -rf "$system/$target.target.wants" "$root/etc/systemd/system/$target.target.wants"
done
mkdir "$system/sysinit.target.wants"
ln -s ../systemd-journald.service "$system/sysinit.target.wants/"
: > "$root/etc/fstab"
install -m 755 "$command" "$root/usr/bin/meditopia"
cp "$units/meditopia@.service" "$system/"
echo 'shop:x:4242:4242::/nonexistent:/usr/sbin/nologin' >> "$root/etc/passwd"
echo 'shop:x:4242:' >> "$root/etc/group"
mkdir -p "$root/etc/meditopia" "$root/etc/systemd/system/meditopia@.service.d"
install -m 600 /dev/null "$root/etc/meditopia/shop.token"
printf sandbox-token > "$root/etc/meditopia/shop.token"
printf 'endpoint = "http://127.0.0.1:%s/default/v1/events"\nflush_interval_ms = 20\n' "$port" \
    > "$root/etc/meditopia/shop.toml"
printf '[Service]\nWatchdogSec=3\nRestartSec=0.1\n' > "$root/etc/systemd/system/meditopia@.service.d/soon.conf"
printf '[Unit]\nWants=meditopia@shop.service\n' > "$root/etc/systemd/system/test.target"
cd "$root"
mkdir -p old
pivot_root . old
umount -l /old
# A credential reaches the service by propagation.
mount --make-rshared /
exec setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-syslog \
    env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --unit=test.target
