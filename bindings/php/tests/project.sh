#!/bin/sh
# An application that has the package from a path repository, as files of its own: project.sh PACKAGE PROJECT
set -eu
package=$1
mkdir "$2"
cd "$2"
export COMPOSER_HOME="$PWD/.composer" COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_ROOT_VERSION=1.0.0
cat >composer.json <<JSON
{"repositories": [{"type": "path", "url": "$package", "options": {"symlink": false}}, {"packagist.org": false}]}
JSON
composer require --quiet --no-interaction 'meditopia/partner-events:*@dev'
# The library lies beside the package, as a site would put it that has no root: no environment names it.
mkdir -p vendor/meditopia/partner-events/lib
cp "$MEDITOPIA_LIBRARY" vendor/meditopia/partner-events/lib/libmeditopia.so.0
# What php-fpm preloads is beside the project.
env -u MEDITOPIA_LIBRARY vendor/bin/meditopia-install --directory="$2-preload" >installed
