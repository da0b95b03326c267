#!/usr/bin/env bash
# The published vectors of the proof of possession, by printf, od and sha256sum alone:
#   tests/vectors/possession/generate.sh > tests/vectors/possession/vectors.json
# Challenges come from labels, so they are known to everybody and ask for nothing.
set -euo pipefail
cd "$(dirname "$0")"
tests='' work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

hex() { od -An -v -tx1 | tr -d ' \n'; }

bytes() { # of hex
    local at
    for ((at = 0; at < ${#1}; at += 2)); do printf '%b' "\\x${1:at:2}"; done
}

add() { # label, name of the segment or "", file, its bytes in hex or ""
    local challenge answer segment
    challenge=$(printf 'bodycam-agent challenge: %s' "$1" | sha256sum | cut -c1-32)
    answer=$({ printf 'bodycam-possession/v1\n'; bytes "$challenge"; cat "$3"; } | sha256sum | cut -c1-32)
    segment="\"hex\": \"${4-}\""
    [[ ! $2 ]] || segment="\"file\": \"../evidence/$2.tar\""
    tests+="${tests:+,}"$'\n'"    {\"what\": \"$1\", \"challenge\": \"$challenge\", $segment, \"answer\": \"$answer\"}"
}

: >"$work/none"
printf abcd >"$work/some"
head -c 64 /dev/zero >"$work/block"
add 'no bytes at all' '' "$work/none" ''
add 'four bytes' '' "$work/some" "$(hex <"$work/some")"
add 'a block of zeros' '' "$work/block" "$(hex <"$work/block")"
for path in ../evidence/*.tar; do
    add "segment $(basename "$path" .tar)" "$(basename "$path" .tar)" "$path"
done
printf '{\n  "prefix": "%s",\n  "tests": [%s\n  ]\n}\n' "$(printf 'bodycam-possession/v1\n' | hex)" "$tests"
