#!/bin/sh
# Types the blocks of one page, each in a shell of its own, as their readers would: session.sh STEPS [SANDBOX_OPTION...]
#
# STEPS has `order`, a line "NUMBER USER PLACE" for each step, and a script for each. MEDITOPIA_ROOT is the repository, MEDITOPIA_BUILT
# has library and command. Mounts, network and processes are those of this session alone (`unshare -mnp`): nothing stays.
set -eu
umask 022
steps=$1 root=$MEDITOPIA_ROOT built=$MEDITOPIA_BUILT command=$MEDITOPIA_COMMAND
shift
ip link set lo up
mount -t tmpfs -o mode=755 none "$steps/layer"
for directory in etc var/lib; do
  layer=$steps/layer/$directory
  mkdir -p "$layer/upper" "$layer/work"
  mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$layer/upper,workdir=$layer/work" /$directory
done
for directory in /var/spool /srv /opt; do mount -t tmpfs -o mode=755 none $directory; done

# What an installation gives, at paths that every user may read.
lend() {
  case $(stat -c %F "$1") in directory) mkdir -p "$2" ;; *) mkdir -p "$(dirname "$2")" && touch "$2" ;; esac
  mount --bind "$1" "$2"
}
opt=/opt/meditopia
lend "$command" $opt/bin/meditopia
lend "$built/libmeditopia.so" $opt/lib/libmeditopia.so
ln -s libmeditopia.so $opt/lib/libmeditopia.so.0
lend "$root/include" $opt/include
lend "$root/bindings/python/src" $opt/python
# sudo may not be here; like it, this keeps nothing of the environment.
cat >$opt/bin/sudo <<'SUDO'
#!/bin/sh
user=root
case $1 in -u) user=$2; shift 2 ;; esac
exec setpriv --reuid="$user" --regid="$user" --init-groups env -i PATH="$PATH" "$@"
SUDO
lend "$MEDITOPIA_VENV" /opt/venv
printf '#!/bin/sh\nexec /opt/venv/bin/python -m pytest -p no:cacheprovider "$@"\n' >$opt/bin/pytest
chmod 755 $opt/bin/sudo $opt/bin/pytest
cp -r "$steps/scripts" /opt/steps
# The repository after `make demo`.
lend "$root/bindings" /srv/repository/bindings
lend "$root/include" /srv/repository/include
mkdir -p /srv/repository/target/demo
ln -s $opt/bin/meditopia $opt/lib/* /srv/repository/target/demo
chown www-data /srv/repository
# The page's directory, with what a deployment leaves there.
install -d -o www-data -g www-data /srv/myapp /srv/home
export COMPOSER_HOME=/opt/composer COMPOSER_ALLOW_SUPERUSER=1
if grep -q -e vendor -e '<?php' /opt/steps/*; then
  mkdir $COMPOSER_HOME /opt/php
  cp -r "$root/bindings/php/." /opt/php
  install -D "$built/libmeditopia.so" /opt/php/lib/linux-x86_64/libmeditopia.so.0
  echo '{"repositories": [{"type": "path", "url": "/opt/php", "options": {"symlink": false}}, {"packagist.org": false}]}' >$COMPOSER_HOME/config.json
  (cd /srv/myapp && composer require --quiet --no-interaction meditopia/partner-events)
  chown -R www-data /srv/myapp $COMPOSER_HOME
fi

cat >/opt/steps/all <<'ALL'
set -eu
cd /srv/myapp
printf %s "$MEDITOPIA_BEARER_TOKEN" >my-token
# A spool goes on with the endpoint that it was made for, and pages name none.
make_spool() {
  [ -d /var/spool/myapp ] && [ ! -d /var/spool/myapp/meditopia ] || return 0
  as www-data meditopia flush --quiet --spool /var/spool/myapp/meditopia
}
as() {
  user=$1
  shift
  setpriv --reuid="$user" --regid="$user" --init-groups env HOME=/srv/home "$@" </dev/null
}
case " $PAGE " in *" README.md "*) ;; *)
  install -d -m 0700 -o www-data -g www-data /var/spool/myapp
  install -D -m 0400 -o www-data -g www-data my-token /etc/myapp/meditopia.token
  ;;
esac
exec 3</opt/steps/order
while read -r number user place <&3; do
  make_spool
  echo "-- $place"
  as "$user" sh -eu "/opt/steps/$number" 3<&- || { echo "FAILED: $place ended with $?"; exit 1; }
done
ALL
exec env -i PATH="$opt/bin:$PATH" HOME=/srv/home LANG=C.UTF-8 COMPOSER_HOME=$COMPOSER_HOME PAGE="$MEDITOPIA_PAGE" \
  LD_LIBRARY_PATH=$opt/lib LIBRARY_PATH=$opt/lib CPATH=$opt/include PYTHONPATH=$opt/python PYTHONDONTWRITEBYTECODE=1 \
  meditopia sandbox "$@" -- sh /opt/steps/all
