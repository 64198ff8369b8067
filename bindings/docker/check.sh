#!/bin/sh
# Carries out both Dockerfiles in systems of their own, and does what the Compose files say with them: check.sh RELEASE SYSTEMS
#
# There is no Docker and no image here. In the place of php:8-fpm and python:3-slim stand small Debian systems, kept in SYSTEMS, in
# which the commands of those images have Debian's packages behind them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
release=$(cd "$1" && pwd)
mkdir -p "$2"
systems=$(cd "$2" && pwd)
[ "$(id -u)" -eq 0 ] || {
  echo "skipped: only root may make a system to change into"
  exit 0
}
# PHP 8.2 and Python 3.11.
suite=bookworm
archive=$(apt-get indextargets --format '$(REPO_URI)' | grep '/debian/$' | head -n 1)

# system NAME PACKAGES: a system with these packages, as complete_NAME leaves it.
system() {
  [ -e "$systems/$1/complete" ] && return
  rm -rf "${systems:?}/$1"
  debootstrap --variant=minbase --include="$2" "$suite" "$systems/$1" "$archive" >"$systems/$1.log" 2>&1 || {
    tail "$systems/$1.log" >&2
    exit 1
  }
  cp /etc/resolv.conf "$systems/$1/etc/"
  # What a registry is reached by on this machine.
  for file in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/pip.conf /etc/ssl/certs; do
    [ ! -e "$file" ] || { rm -rf "$systems/$1$file" && mkdir -p "$systems/$1$(dirname "$file")" && cp -aL "$file" "$systems/$1$file"; }
  done
  "complete_$1" "$systems/$1"
  touch "$systems/$1/complete"
}

# As in python:3-slim, pip may install for all of the system.
complete_python() {
  rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
  ln -sf python3 "$1/usr/bin/python"
}

# php:8-fpm has its own directory for settings, builds extensions by a command, and listens on port 9000 in the foreground.
complete_php() {
  mkdir -p "$1/usr/local/etc/php/conf.d" "$1/usr/local/bin"
  printf '#!/bin/sh\nphp -m | grep -iqx "$1"\n' >"$1/usr/local/bin/docker-php-ext-install"
  ln -sf /usr/bin/composer "$1/usr/local/bin/composer"
  cat >"$1/usr/local/bin/php-fpm" <<'FPM'
#!/bin/sh
export PHP_INI_SCAN_DIR=:/usr/local/etc/php/conf.d
exec /usr/sbin/php-fpm8.2 --nodaemonize --fpm-config /usr/local/etc/php-fpm.conf
FPM
  cat >"$1/usr/local/etc/php-fpm.conf" <<'CONF'
[global]
error_log = /proc/self/fd/2
[www]
listen = 127.0.0.1:9000
pm = static
pm.max_children = 2
clear_env = no
CONF
  chmod +x "$1/usr/local/bin/docker-php-ext-install" "$1/usr/local/bin/php-fpm"
}

system python python3,python3-pip,ca-certificates
system php php8.2-fpm,php8.2-cli,composer,ca-certificates

work=$(mktemp -d "$systems/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
for language in python php; do
  cp -a "$systems/$language" "$work/$language"
  python3 "$here/dockerfile.py" build "$here/$language/Dockerfile" "$work/$language" "$release"
  sh "$here/try.sh" "$language" "$work/$language"
  echo "== the $language example does what it says"
done
