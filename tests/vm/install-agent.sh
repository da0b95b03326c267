#!/usr/bin/env bash
# install-agent.sh ROOT OUT SUITE: put the agent of this tree into a root file system, as it lies on a camera: /opt/bodycam-agent/current, a
# locked venv, the units enabled, users made. The one step to replace when the agent comes as a package.
set -euo pipefail
root=$1 out=$2 suite=$3
tree=$(cd "$(dirname "$0")/../.." && pwd)
say() { echo "agent: [$SECONDS s] $*"; }

# The wheels are built by this tree's .venv, so its Python has to be the guest's.
declare -A pythons=([bookworm]=3.11 [trixie]=3.13)
python=$tree/.venv/bin/python
have=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ "$have" = "${pythons[$suite]}" ] || {
    echo "agent: error: .venv has Python $have, $suite has ${pythons[$suite]}; next: PYTHON=python${pythons[$suite]} tools/setup test" >&2
    exit 2
}
"$tree/tests/vm/host-packages.sh" portaudio19-dev

wheels=$out/cache/wheels-$suite-$(cat "$tree"/requirements/{build,run}.txt | sha256sum | cut -c1-12)
if [ ! -d "$wheels" ]; then
    rm -rf "$wheels.part"
    "$python" -m pip --disable-pip-version-check wheel --quiet --quiet --require-hashes --no-build-isolation --wheel-dir "$wheels.part" \
        --requirement "$tree/requirements/build.txt" --requirement "$tree/requirements/run.txt"
    mv "$wheels.part" "$wheels"
    say "wheels ready"
fi

home=$root/opt/bodycam-agent
rm -rf "$home"
mkdir -p "$home/tree"
tar -C "$tree" -c --exclude='__pycache__' --exclude='*.egg-info' agent setup.py pyproject.toml README.md | tar -x -C "$home/tree" --no-same-owner
mkdir -p "$root/tmp/wheels"
cp "$wheels"/*.whl "$root/tmp/wheels/"
chroot "$root" /bin/sh -e <<'END'
cd /opt/bodycam-agent
python3 -m venv venv
ln -s venv current
venv/bin/pip install --quiet --no-index --no-deps /tmp/wheels/*.whl
venv/bin/pip install --quiet --no-index --no-deps --no-build-isolation ./tree
rm -r tree
END
rm -rf "$root/tmp/wheels"

cp "$tree"/systemd/*.{service,target,path} "$root/usr/lib/systemd/system/"
for folder in sysusers.d tmpfiles.d; do cp "$tree/systemd/$folder"/*.conf "$root/usr/lib/$folder/"; done
cp "$tree"/systemd/udev/*.rules "$root/usr/lib/udev/rules.d/"
chroot "$root" systemd-sysusers
chroot "$root" systemctl enable --quiet bodycam-recorder.service bodycam-uploader.service bodycam-apply.path
say "installed"
