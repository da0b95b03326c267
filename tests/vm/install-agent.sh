#!/usr/bin/env bash
# install-agent.sh ROOT OUT SUITE: put the agent of this tree into a root file system, as it comes to a camera: its Debian package, built by
# tools/deb and installed by dpkg. The next version of it lies in /var/cache/bodycam-agent, for the tests that upgrade.
set -euo pipefail
root=$1 out=$2 suite=$3
tree=$(cd "$(dirname "$0")/../.." && pwd)
say() { echo "agent: [$SECONDS s] $*"; }

build=$out/package
rm -rf "$build"
mkdir -p "$build"
package=$("$tree/.venv/bin/python" "$tree/tools/deb" --suite "$suite" --arch amd64 --out "$build" 2>"$build/log" | tail -1) || package=
[ -f "$package" ] || { tail -n 20 "$build/log" >&2; echo "agent: error: tools/deb built nothing" >&2; exit 1; }
say "package $(basename "$package"), $(du -h "$package" | cut -f1)"

cp "$package" "$root/tmp/agent.deb"
chroot "$root" dpkg --install /tmp/agent.deb
rm "$root/tmp/agent.deb"

# The same program under a later version, in a directory of its own as a version has it: hardly compressed, which is quick.
next=$build/next version=$(dpkg-deb --field "$package" Version)
dpkg-deb --raw-extract "$package" "$next"
before=$(readlink "$next/opt/bodycam-agent/current") after=${version%~*}.next
mv "$next/opt/bodycam-agent/$before" "$next/opt/bodycam-agent/$after"
ln -sfn "$after" "$next/opt/bodycam-agent/current"
sed -i "1s#/$before/#/$after/#" "$next/opt/bodycam-agent/$after"/bin/bodycam-*
sed -i "s/^Version: .*/Version: $after~$suite/" "$next/DEBIAN/control"
sed -i "s/^__version__ = .*/__version__ = \"$after\"/" "$next/opt/bodycam-agent/$after"/lib/python3*/site-packages/agent/__init__.py
(cd "$next" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
mkdir -p "$root/var/cache/bodycam-agent"
dpkg-deb --root-owner-group --build -Zzstd -z1 "$next" "$root/var/cache/bodycam-agent/next.deb" >/dev/null
rm -rf "$next"
say "installed"
