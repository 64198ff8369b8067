#!/bin/sh
# Packs what build.sh compiled as the files of a release: pack.sh BUILD_DIR OUT
#
# Each has an SBOM beside it; SHA256SUMS has the sums of all. TRIPLE says for which platform BUILD_DIR was compiled:
# wheel and Debian packages are made for glibc only, of the machine that packs.
set -eu
umask 022
LC_ALL=C
export LC_ALL

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
built=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
triple=${TRIPLE:-x86_64-unknown-linux-gnu}
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$root/Cargo.toml")
case $triple in
*-linux-gnu) platform=linux-${triple%%-*} ;;
*-linux-musl) platform=linux-${triple%%-*}-musl ;;
*)
  echo "no name is known for the files of $triple" >&2
  exit 2
  ;;
esac
SOURCE_DATE_EPOCH=$(sh "$here/epoch.sh")
export SOURCE_DATE_EPOCH

# What an earlier release left there.
rm -f "$out"/meditopia* "$out"/libmeditopia* "$out/SHA256SUMS"

sh "$here/tarball.sh" "$built" "$out/meditopia-$version-$platform.tar.gz"
python3 "$here/composer.py" "$out/meditopia-php-$version-$platform.zip" "$platform=$built/libmeditopia.so"
case $platform in
*-musl) ;;
*)
  python3 "$root/bindings/python/build_wheel.py" "$built" "$out" >/dev/null
  sh "$root/bindings/install/deb.sh" "$built" "$out" >/dev/null
  ;;
esac
python3 "$root/bindings/python/build_wheel.py" --sdist "$out" >/dev/null

cd "$out"
for artefact in meditopia* libmeditopia*; do
  case $artefact in
  meditopia-"$version".tar.gz) set -- ;;
  libmeditopia* | *.zip) set -- meditopia ;;
  *.whl | meditopia-*.tar.gz) set -- meditopia meditopia-cli ;;
  *) set -- meditopia-cli ;;
  esac
  TRIPLE=$triple python3 "$here/sbom.py" "$artefact" "$@" >"$artefact.cdx.json"
done
sha256sum -- * >SHA256SUMS.new
mv SHA256SUMS.new SHA256SUMS
ls -l "$out" | awk 'NR > 1 { printf "%9d  %s\n", $5, $9 }'
