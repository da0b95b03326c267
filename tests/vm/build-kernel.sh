#!/usr/bin/env bash
# A user-mode Linux kernel with the drivers that stand in for a camera's parts (vivid, snd-aloop, gpio-sim, softdog, dm-flakey,
# dummy_hcd ...), from Debian's own linux-source. 5 to 8 minutes on two cores; skipped where it is there.
#
#   OUT=.cache/vm     results: $OUT/linux-uml, $OUT/uml-modules, $OUT/uml.dotconfig
#   JOBS=2            compilers at once
#   KEEP=yes          leave the kernel's tree in $OUT/cache/uml, to build more modules in
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
OUT=${OUT:-$here/../../.cache/vm} JOBS=${JOBS:-$(nproc)} source_package=linux-source-6.12
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
build=$OUT/cache/uml
key=$(sha256sum "$here/uml.config" | cut -c1-12)
if [ "$(cat "$OUT/uml.ok" 2>/dev/null)" = "$key" ]; then
    echo "kernel: there already"
    exit 0
fi

SECONDS=0
say() { echo "kernel: [$SECONDS s] $*"; }

# In bookworm that package comes from bookworm-security.
"$here/host-packages.sh" gcc libc6-dev make flex bison bc xz-utils kmod
apt-cache show "$source_package" >/dev/null 2>&1 || apt-get update -qq

rm -rf "$build"
mkdir -p "$build"
cd "$build"
apt-get download -qq "$source_package" 2>/dev/null
dpkg-deb --fsys-tarfile "$source_package"_*.deb | tar -xO "./usr/src/$source_package.tar.xz" | xz -T2 -dc |
    tar -x --exclude='*/drivers/gpu/drm/amd/*.[ch]' --exclude='*/arch/*/boot/dts/*' --exclude='*/tools/testing/*'
say "source unpacked"

cd "$source_package"
make -s ARCH=um KCONFIG_ALLCONFIG="$here/uml.config" allnoconfig >/dev/null
grep -oE '^CONFIG_[A-Z0-9_]+=[ym]' "$here/uml.config" | while read -r wanted; do
    grep -q "^$wanted" .config || say "note: $wanted cannot be set"
done
nice make -s ARCH=um -j"$JOBS" linux modules >"$build/log" 2>&1 || {
    tail -20 "$build/log" >&2
    exit 1
}
say "built"

rm -rf "$OUT/uml-modules"
make -s ARCH=um INSTALL_MOD_PATH="$OUT/uml-modules" INSTALL_MOD_STRIP=1 modules_install >/dev/null 2>&1
rm -f "$OUT"/uml-modules/lib/modules/*/{build,source}
strip -o "$OUT/linux-uml" linux
cp .config "$OUT/uml.dotconfig"
[ -n "${KEEP:-}" ] || rm -rf "$build"
echo "$key" >"$OUT/uml.ok"
say "done: $(du -h "$OUT/linux-uml" | cut -f1) kernel, $(du -sh "$OUT/uml-modules" | cut -f1) modules"
