#!/bin/sh
# The wheel and the source distribution: installed by the oldest pip that takes the wheel and by a current one, and used.
. "$(dirname "$0")/part.sh"
tools=$WORK/tools
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check twine==7.0.0
"$tools/bin/twine" check --strict "$DIST"/meditopia-*.whl "$DIST/meditopia-$VERSION.tar.gz" >"$WORK/twine" || fail "$(cat "$WORK/twine")"
holds "twine finds nothing in wheel and source distribution"

ln -s "$DIST" "$WORK/dist"
# A Python that pip 19.3 runs on, and the usual one.
for old in python3.9 python3.10 python3; do "$old" -c '' 2>/dev/null && break; done
for pair in "$old pip==19.3.1" "python3 pip"; do
  venv=$WORK/venv-${pair##*=}
  "${pair%% *}" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade "${pair#* }" 2>/dev/null
  # As the README says it, and without a network: no other package is needed.
  (cd "$WORK" && PATH=$venv/bin:$PATH PIP_NO_INDEX=1 PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 sh -eu -c "$(install_line pip)") ||
    fail "$("$venv/bin/pip" --version) does not take the wheel"
  # By its name, as bindings/python/README.md says it.
  "$venv/bin/pip" uninstall --quiet --yes meditopia
  (PATH=$venv/bin:$PATH PIP_NO_INDEX=1 PIP_FIND_LINKS=$DIST PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 pip install meditopia) ||
    fail "$("$venv/bin/pip" --version) does not find the wheel by its name"
  "$venv/bin/python" -m meditopia --version | grep -q "$VERSION" || fail "python -m meditopia"
  cd "$WORK"
  MEDITOPIA_SPOOL=$(mktemp -d "$WORK/spool.XXXXXX")/spool
  export MEDITOPIA_SPOOL
  "$venv/bin/meditopia" sandbox --expect-events 1 -- "$venv/bin/python" "$here/deliver.py" >"$WORK/said" 2>&1 || fail "$(cat "$WORK/said")"
  unset MEDITOPIA_SPOOL
  holds "$("$venv/bin/pip" --version | cut -d ' ' -f 1-2) of $("$venv/bin/python" --version) installs the wheel, and both package and command work"
done

unpack
venv=$WORK/venv-sdist
python3 -m venv "$venv"
if "$venv/bin/pip" install --no-index "$DIST/meditopia-$VERSION.tar.gz" >"$WORK/said" 2>&1; then fail "the source distribution has found a library"; fi
grep -q 'the source distribution has no library inside' "$WORK/said" || fail "$(cat "$WORK/said")"
MEDITOPIA_BUILD_LIBRARY=$opt/lib/libmeditopia.so.0 "$venv/bin/pip" install --quiet --no-index "$DIST/meditopia-$VERSION.tar.gz"
delivers "$venv/bin/python" "$here/deliver.py"
holds "the source distribution says what it needs, and installs with the library of the archive"
