#!/usr/bin/env bash
# `make vm-smoke`: of `make vm-test` the one test that has most in it, on QEMU, which needs no kernel built: a camera boots, records on a press,
# is emptied at the dock, and its evidence is checked here. Where that cannot be run it says why, and that is no failure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
images=${OUT:-.cache/vm} test=tests/vm/test_vm_boots.py::test_it_records_delivers_and_lets_go
needs_mib=6000 memory_mib=2000 disk_s=1800 bound_s=2400

not_run() {
    echo "vm-smoke: not run: $*"
    exit 0
}

[ "$(id -u)" = 0 ] || not_run "it needs root, to make a camera's disk"
command -v apt-get >/dev/null && command -v dpkg >/dev/null || not_run "there is no apt-get here, and the camera's disk is made from Debian's archive"
[ "$(dpkg --print-architecture)" = amd64 ] || not_run "this machine is $(dpkg --print-architecture), and the camera is built for amd64"
suite=$(awk -F= '$1 == "VERSION_CODENAME" { print $2 }' /etc/os-release)
[ "$suite" = bookworm ] || not_run "this is ${suite:-no known release of Debian}, and the camera's disk is made on bookworm"
unshare --mount true 2>/dev/null || not_run "nothing may be mounted here, and the camera's disk is made in a chroot"
git rev-parse --verify --quiet HEAD >/dev/null ||
    not_run "git finds no commit here (is this a checkout, and this user's?), and the camera's package is named after it"
mkdir -p "$images"
for place in "$images" "${TMPDIR:-/tmp}"; do # the disks, and the copies that a test writes to
    free_mib=$(df --output=avail -BM "$place" | tail -1 | tr -dc 0-9)
    [ "$free_mib" -ge $needs_mib ] || not_run "$place has room for $free_mib MiB, and the camera's disks take up to $needs_mib"
done
available_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
[ "$available_mib" -ge $memory_mib ] || not_run "$available_mib MiB of memory are free, and the camera takes up to $memory_mib"
apt-get update -qq -o APT::Update::Error-Mode=any >/dev/null 2>&1 ||
    not_run "apt-get update fails, so Debian's archive is not reached"

# In the background, since a signal is to end what runs: timeout(1) takes it into a process group of its own, which Ctrl-C does not reach.
bounded() { # SECONDS COMMAND...
    local status=0
    trap 'kill -TERM $(jobs -p) 2>/dev/null || true; wait || true; exit 130' INT TERM
    timeout --kill-after=10 "$@" &
    wait $! || status=$?
    trap - INT TERM
    return $status
}

SECONDS=0
# Once more: what was fetched is kept, and a mirror may stumble.
OUT=$images bounded $disk_s "$here/build-image.sh" || OUT=$images bounded $disk_s "$here/build-image.sh"
image_s=$SECONDS
SECONDS=0
status=0
# Two minutes before its end it says where it stands.
BODYCAM_VM=qemu BODYCAM_VM_IMAGES=$(realpath "$images") \
    bounded $bound_s .venv/bin/python -m pytest -o faulthandler_timeout=$((bound_s - 120)) "$test" || status=$?
echo "vm-smoke: the camera's disk took $image_s s, the camera $SECONDS s$([ $status = 0 ] || echo "; it failed, status $status")"
exit $status
