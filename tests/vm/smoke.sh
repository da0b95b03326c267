#!/usr/bin/env bash
# `make vm-smoke`: of `make vm-test` the one test that has most in it, on QEMU, which needs no kernel built: a camera boots, records on a press,
# is emptied at the dock, and its evidence is checked here. Where that cannot be run it says why, and that is no failure.
#
#   BODYCAM_VM_SMOKE=may     must: it is a failure where the machine could, and lacks something today: room, memory, Debian's archive
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
images=${OUT:-.cache/vm} test=tests/vm/test_vm_boots.py::test_it_records_delivers_and_lets_go
needs_mib=6000 memory_mib=2000
# In all, and of that for the disk, however often it is tried; the camera has what is left. On two quiet cores the disk takes three
# minutes where nothing was fetched yet and one where it was, the camera two and a half.
bound_s=880 disk_s=460 archive_s=60
SECONDS=0
wish=${BODYCAM_VM_SMOKE:-may}
case $wish in may | must) ;; *) echo "vm-smoke: error: BODYCAM_VM_SMOKE=$wish: may or must" >&2; exit 2 ;; esac

not_run() {
    echo "vm-smoke: not run: $*"
    exit 0
}
lacks() {
    [ "$wish" = must ] || not_run "$@"
    echo "vm-smoke: error: not run, and it must be: $*; next: help that, or say that it may be left out: BODYCAM_VM_SMOKE=may" >&2
    exit 1
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
    [ "$free_mib" -ge $needs_mib ] || lacks "$place has room for $free_mib MiB, and the camera's disks take up to $needs_mib"
done
available_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
[ "$available_mib" -ge $memory_mib ] || lacks "$available_mib MiB of memory are free, and the camera takes up to $memory_mib"
timeout --kill-after=10 $archive_s apt-get update -qq -o APT::Update::Error-Mode=any >/dev/null 2>&1 ||
    lacks "apt-get update fails, so Debian's archive is not reached"

# In the background, since a signal is to end what runs: timeout(1) takes it into a process group of its own, which Ctrl-C does not reach.
bounded() { # SECONDS COMMAND...
    local status=0
    trap 'kill -TERM $(jobs -p) 2>/dev/null || true; wait || true; exit 130' INT TERM
    timeout --kill-after=10 "$@" &
    wait $! || status=$?
    trap - INT TERM
    return $status
}

begun_s=$SECONDS
disk_end_s=$((begun_s + disk_s))
disk() { OUT=$images bounded $((disk_end_s - SECONDS)) "$here/build-image.sh"; }
# Once more, in what is left of its time: what was fetched is kept, and a mirror may stumble.
disk || { status=$?; [ $SECONDS -lt $disk_end_s ] && disk; } || {
    echo "vm-smoke: error: the camera's disk is not there after $((SECONDS - begun_s)) s (of $disk_s s)" >&2
    exit "${status:-1}"
}
image_s=$((SECONDS - begun_s)) left_s=$((bound_s - SECONDS))
begun_s=$SECONDS status=0
# A minute before its end it says where it stands.
BODYCAM_VM=qemu BODYCAM_VM_IMAGES=$(realpath "$images") \
    bounded $left_s .venv/bin/python -m pytest -o faulthandler_timeout=$((left_s - 60)) "$test" || status=$?
echo "vm-smoke: the camera's disk took $image_s s, the camera $((SECONDS - begun_s)) s$([ $status = 0 ] || echo "; it failed, status $status")"
exit $status
