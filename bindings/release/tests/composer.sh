#!/bin/sh
# The archive for composer: required by a project from a directory of archives, and used in the command line.
. "$(dirname "$0")/part.sh"
mkdir "$WORK/package" "$WORK/project"
unzip -q -d "$WORK/package" "$DIST"/meditopia-php-*.zip
cd "$WORK/package"
composer validate --quiet --strict --no-check-version composer.json || fail "composer validate"
[ ! -e tests ] || fail "the tests are in the archive"
! grep -Fn '](../' README.md || fail "links of README.md that lead out of the archive"
holds "composer finds nothing in composer.json"

cd "$WORK/project"
export COMPOSER_HOME="$WORK/.composer" COMPOSER_ALLOW_SUPERUSER=1
# The machine may have no way to Packagist, and nothing of it is needed.
mkdir "$COMPOSER_HOME"
echo '{"repositories": {"packagist.org": false}}' >"$COMPOSER_HOME/config.json"
ln -s "$DIST" dist
COMPOSER_NO_INTERACTION=1 sh -eu -c "$(install_line composer)" >"$WORK/said" 2>&1 || fail "$(cat "$WORK/said")"
grep -q "\"meditopia/partner-events\": \"^$VERSION\"" composer.json || fail "$(cat composer.json)"
vendor/bin/meditopia-install --directory="$WORK/preload" >"$WORK/said" || fail "$(cat "$WORK/said")"
grep -q "FFI_LIB \"$WORK/preload/libmeditopia.so.0\"" "$WORK/preload/preload.h" || fail "$(head -n 3 "$WORK/preload/preload.h")"
cmp "$WORK/preload/libmeditopia.so.0" "$WORK/package/lib/linux-x86_64/libmeditopia.so.0" || fail "the library that is not the archive's"
cat >deliver.php <<'PHP'
<?php
require 'vendor/autoload.php';
use Meditopia\PartnerEvents\{Client, EventType};
$client = Client::fromEnvironment(['role' => 'both']);
$client->enqueue('token', 'user', EventType::Video);
$client->flush(20);
PHP
delivers php deliver.php
holds "the line of the README has composer install the archive with its library, and a program delivers"
