#!/bin/sh
# Static analysis of src/ by mago, as strict as it can be for code that calls C: analyse.sh DIRECTORY MAGO
#
# PHPStan is on Packagist only; mago is on crates.io, and `make analyse-php` builds it into target/mago. PHP's FFI knows no type of a C
# library, so a copy of the sources is read with classes in the place of FFI that are made from the header.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mago=$2
mkdir "$1" "$1/stubs"
cp -r "$here/../src" "$1/src"
find "$1/src" -name '*.php' -exec sed -i 's/^use FFI\b/use Analysed\\FFI/' {} +
php "$here/analysis/stubs.php" "$here/../include/meditopia_ffi.h" "$1/stubs/ffi.php"
cp "$here/analysis/mago.toml" "$1"
"$mago" --workspace "$1" analyze --reporting-format short >"$1/said" 2>&1 || {
  grep -v ' DEBUG \| INFO ' "$1/said"
  echo "FAILED  mago finds something" >&2
  exit 1
}
grep -q 'No issues found' "$1/said" || { cat "$1/said"; exit 1; }
echo "ok      $("$mago" --version) finds nothing"
