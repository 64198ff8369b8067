#!/bin/sh
# Prints the time that every file of a release bears, in seconds since 1970.
#
# It is SOURCE_DATE_EPOCH if that is set; else the date of this version in CHANGELOG.md, so that every clone of
# the release has the same; before the release, the time of the last commit.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$root/Cargo.toml")
released=$(sed -n "s/^## \\[*$version\\]*.*\\([0-9]\\{4\\}-[0-9][0-9]-[0-9][0-9]\\).*/\\1/p" "$root/CHANGELOG.md" | head -n 1)

if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
  echo "$SOURCE_DATE_EPOCH"
elif [ -n "$released" ]; then
  date -u -d "$released" +%s
else
  git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/CHANGELOG.md"
fi
