#!/usr/bin/env bash
# host-packages.sh NAME...: install those Debian packages of this machine that are missing.
set -euo pipefail
missing=()
for name in "$@"; do
    dpkg -s "$name" 2>/dev/null | grep -q '^Status: install ok' || missing+=("$name")
done
((${#missing[@]})) || exit 0
[ "$(id -u)" = 0 ] || {
    echo "host-packages: error: missing: ${missing[*]}; next: as root: apt-get install ${missing[*]}" >&2
    exit 2
}
echo "host-packages: apt-get install ${missing[*]}" >&2
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
