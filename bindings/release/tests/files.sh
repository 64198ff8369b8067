#!/bin/sh
# What lies in the directory: names, sums, SBOMs, and what the compiled files ask of a system.
. "$(dirname "$0")/part.sh"
cd "$DIST"
tags=py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64
for file in "meditopia-$VERSION-linux-x86_64.tar.gz" "meditopia-$VERSION-$tags.whl" "meditopia-$VERSION.tar.gz" \
  "meditopia-php-$VERSION-linux-x86_64.zip" "libmeditopia0_${VERSION}_amd64.deb" "libmeditopia-dev_${VERSION}_amd64.deb" \
  "meditopia_${VERSION}_amd64.deb"; do
  [ -s "$file" ] || fail "$file is not there; run \`make dist\` before"
  grep -q "$(sha256sum <"$file" | cut -d ' ' -f 1)" "$file.cdx.json" || fail "$file.cdx.json is of another file"
  echo "$file"
  echo "$file.cdx.json"
done | sort >"$WORK/wanted"
sed 's/^[0-9a-f]*  //' SHA256SUMS | sort | diff "$WORK/wanted" - || fail "SHA256SUMS has other files"
sha256sum --check --quiet SHA256SUMS || fail "the sums"
holds "each file is there, with its sum and its SBOM"

unpack
mkdir "$WORK/wheel" "$WORK/zip" "$WORK/debs"
unzip -q -d "$WORK/wheel" "$DIST/meditopia-$VERSION-$tags.whl"
unzip -q -d "$WORK/zip" "$DIST/meditopia-php-$VERSION-linux-x86_64.zip"
for deb in "$DIST"/*.deb; do dpkg-deb -x "$deb" "$WORK/debs"; done
python3 "$here/symbols.py" 2.17 "$opt/lib/libmeditopia.so.$VERSION" "$opt/bin/meditopia" "$WORK/wheel/meditopia/libmeditopia.so.0" \
  "$WORK/wheel/meditopia/bin/meditopia" "$WORK/zip/lib/linux-x86_64/libmeditopia.so.0" \
  "$WORK"/debs/usr/lib/x86_64-linux-gnu/libmeditopia.so.0 "$WORK/debs/usr/bin/meditopia" || fail "the symbols"
holds "nothing asks for more than glibc 2.17, and libraries export the header's functions"

if grep -rlF -e "$ROOT" -e "$HOME/.cargo" "$opt" "$WORK/wheel" "$WORK/zip" "$WORK/debs"; then fail "a path of this machine is in the files above"; fi
holds "no path of the machine that built is in a file"
