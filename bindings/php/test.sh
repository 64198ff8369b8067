#!/bin/sh
# Tests the PHP package against a built library and the local API: test.sh [DIRECTORY OF BOTH [REQUESTS]]
#
# REQUESTS is how many nginx and php-fpm get in each part of the load (8000).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
built=$(cd "${1:-$here/../../target/demo}" && pwd)

for name in $(env | sed -n 's/^\(MEDITOPIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM
# php-fpm's workers may be another user's.
chmod 755 "$scratch"
[ "$(id -u)" -ne 0 ] || chown www-data "$scratch"
export MEDITOPIA_LIBRARY="$built/libmeditopia.so"

# A program of tests with the local API around it.
within() {
  "$built/meditopia" sandbox --unknown-prefix bad- -- php "$@"
}

echo '-- types'
php "$here/tests/types.php"

echo '-- static analysis'
target=${CARGO_TARGET_DIR:-$here/../../target}
if [ -x "$target/mago/bin/mago" ]; then
  sh "$here/tests/analyse.sh" "$scratch/analysis" "$(cd "$target/mago/bin" && pwd)/mago"
else
  echo "skipped: make analyse-php compiles the analyser, once, in minutes"
fi

echo '-- promises in the command line'
within "$here/tests/cli.php" "$scratch"

echo '-- copies of a client'
within "$here/tests/copies.php" "$scratch"

echo '-- events, and what becomes of them where nobody sends'
within "$here/tests/events.php" "$scratch"

echo '-- what an operator does'
within "$here/tests/operator.php" "$scratch"

echo '-- where the library cannot be loaded'
within "$here/tests/loading.php" "$scratch"

echo '-- composer, from nothing'
sh "$here/tests/project.sh" "$here" "$scratch/project"
within "$here/tests/installed.php" "$scratch/project" "$scratch"

echo '-- nginx and php-fpm under load'
within "$here/tests/load.php" "$scratch/project" "$scratch" "${2:-8000}"

echo '-- Laravel and Symfony behind nginx and php-fpm'
within "$here/tests/frameworks.php" "$scratch/project" "$scratch"
