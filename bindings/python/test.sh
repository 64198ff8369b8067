#!/bin/sh
# Builds the wheel, installs it into a fresh environment and runs the tests against that.
#
#   bindings/python/test.sh [DIRECTORY [PYTEST_ARGUMENTS]]     a build of library and command; target/demo by default
#
# The tools (pytest, mypy, servers and frameworks) are those of target/venv, pyright is in target/node; .ci/setup makes
# both. They come into the fresh environment by a path file, so nothing is fetched here. MEDITOPIA_REQUESTS=100000 makes the
# run of gunicorn long.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
mkdir -p "${CARGO_TARGET_DIR:-target}"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
build=$(cd "${1:-$target/demo}" && pwd)
[ "$#" -eq 0 ] || shift

for needed in "$build/libmeditopia.so" "$build/meditopia" "$target/venv/bin/pytest"; do
  [ -e "$needed" ] || { echo "$0: $needed is not there; run 'make demo' and '.ci/setup' first" >&2; exit 2; }
done

work=$target/python
rm -rf "$work"
python3 "$here/build_wheel.py" "$build" "$work/dist" >/dev/null
wheel=$(ls "$work"/dist/meditopia-*.whl)
"$target/venv/bin/python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-index "$wheel"

site='import sysconfig; print(sysconfig.get_path("purelib"))'
tools=$("$target/venv/bin/python" -c "$site")
echo "$tools" >"$("$work/venv/bin/python" -c "$site")/tools.pth"

export PYTHONDONTWRITEBYTECODE=1
export MEDITOPIA_PYRIGHT="$target/node/node_modules/.bin/pyright"
export MEDITOPIA_BUILD="$build" MEDITOPIA_WHEEL="$wheel" MEDITOPIA_UWSGI="$target/venv/bin/uwsgi"
exec "$work/venv/bin/python" -m pytest -c "$here/pyproject.toml" --rootdir="$here" "$@" "$here/tests"
