"""The leaf: what is read back, what is refused, and what a finder of the card can learn."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest

from agent.errors import EvidenceError
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind

HEX = "ab" * 32
STAMP = leaves.Stamp("11111111-2222-4333-8444-555555555555", 5, 6, "2026-03-01T08:00:00.000001Z", "synchronised", 12)
COMMON = leaves.Common("cam-0001", 7, STAMP, HEX, HEX, leaves.Sealed(HEX, 200, HEX, 1000, HEX))
MEDIA = leaves.MediaLeaf(COMMON, "r0000000003-5f2c09ab", 4, True, 99, -20, 500_000_000, HEX)
EVENT = leaves.EventLeaf(COMMON, Kind.STOP, "r0000000003-5f2c09ab", {"parts": 4, "interrupted": False}, HEX)


@pytest.mark.parametrize("leaf", [MEDIA, EVENT, leaves.EventLeaf(COMMON, Kind.EVENT, None, {}, HEX)])
def test_a_leaf_round_trips(leaf: leaves.Leaf) -> None:
    data = leaves.to_bytes(leaf)
    assert data.endswith(b"\n")
    assert data.isascii()
    assert leaves.parse(data) == leaf


def test_a_leaf_without_a_date() -> None:
    stamp = leaves.Stamp(STAMP.boot, 5, 6, None, "none", None)
    leaf = leaves.EventLeaf(leaves.Common("c", 0, stamp, HEX, HEX, COMMON.sealed), Kind.EVENT, None, {}, HEX)
    assert leaves.parse(leaves.to_bytes(leaf)) == leaf


def test_order_and_white_space_do_not_matter_and_unknown_keys_are_ignored() -> None:
    value = json.loads(leaves.to_bytes(MEDIA))
    shuffled = dict(sorted(value.items(), reverse=True)) | {"later": {"key": [1, "x"]}}
    assert leaves.parse(json.dumps(shuffled, indent=1).encode() + b"\n") == MEDIA


def changed(**changes: Any) -> bytes:
    value = json.loads(leaves.to_bytes(MEDIA))
    for path, new in changes.items():
        target, *rest = path.split("__")
        holder = value
        while rest:
            holder, target = holder[target], rest.pop(0)
        if new is KeyError:
            del holder[target]
        else:
            holder[target] = new
    return json.dumps(value).encode() + b"\n"


def test_every_key_is_needed() -> None:
    for key in json.loads(leaves.to_bytes(MEDIA)):
        with pytest.raises(EvidenceError):
            leaves.parse(changed(**{key: KeyError}))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": "1"},
        {"v": True},
        {"class": "other"},
        {"camera": "Cam"},
        {"camera": "c" * 28},
        {"index": -1},
        {"index": 1 << 63},
        {"index": "7"},
        {"index": None},
        {"boot": "x"},
        {"mono_ns": -1},
        {"utc": None},
        {"utc__time": "2026-03-01 08:00:00"},
        {"utc__bound_ms": -1},
        {"utc__bound_ms": KeyError},
        {"chain": "ab"},
        {"chain": HEX.upper()},
        {"sealed": []},
        {"sealed__sha256": 1},
        {"sealed__header__size": "1"},
        {"recording": 7},
        {"recording": "r1-0"},
        {"recording": None},
        {"part": -1},
        {"idr": 1},
        {"init": "../../etc/passwd"},
    ],
)
def test_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError):
        leaves.parse(changed(**change))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"{}",
        b"[]\n",
        b"null\n",
        b"{}\n",
        b"\xff\n",
        b"[" * 50_000 + b"\n",
        b'{"v":1.0}\n',
        b'{"v":1e0}\n',
        b'{"v":NaN}\n',
        b'{"v":1,"v":1}\n',
        b'{"v":' + b"9" * 5000 + b"}\n",
        b" " * (16 << 10) + b"\n",
    ],
)
def test_what_is_no_leaf_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        leaves.parse(data)


def test_a_key_twice_is_refused_at_any_depth() -> None:
    data = leaves.to_bytes(MEDIA)
    with pytest.raises(EvidenceError):
        leaves.parse(data.replace(b'"index":7,', b'"index":7,"index":8,'))
    with pytest.raises(EvidenceError):
        leaves.parse(data.replace(b'"source":', b'"source":"none","source":'))


def test_a_flipped_bit_is_another_leaf_or_none_and_never_a_crash() -> None:
    data, chosen = leaves.to_bytes(EVENT), random.Random(2)
    for offset in range(len(data)):
        flipped = bytearray(data)
        flipped[offset] ^= 1 << chosen.randrange(8)
        try:
            leaves.parse(bytes(flipped))
        except EvidenceError:
            continue


def test_a_leaf_that_would_be_too_long_is_refused() -> None:
    long = leaves.EventLeaf(COMMON, Kind.DELIVERY, None, {"segments": ["s" * 100] * 200}, HEX)
    with pytest.raises(EvidenceError, match="bytes long"):
        leaves.to_bytes(long)


def test_an_event_body_is_salted_padded_and_bound_to_its_leaf() -> None:
    plain, digest = leaves.seal_body({"type": "dock", "state": "docked"}, bytes(32))
    other, other_digest = leaves.seal_body({"type": "dock", "state": "docked"}, b"\1" * 32)
    assert len(plain) % leaves.BODY_BLOCK == 0
    assert len(plain) == len(other)
    assert digest != other_digest
    assert leaves.open_body(plain, digest) == {"type": "dock", "state": "docked"}
    for wrong in (plain[:-1], plain + b" ", bytes(32), other, b""):
        with pytest.raises(EvidenceError):
            leaves.open_body(wrong, digest)


@pytest.mark.parametrize("text", [b"[]", b"", b"1", b"\xff", b"{" * 2000])
def test_a_body_that_is_no_object_is_refused(text: bytes) -> None:
    plain = bytes(32) + text
    with pytest.raises(EvidenceError):
        leaves.open_body(plain, hashlib.sha256(plain).hexdigest())


def test_a_body_of_any_length_is_not_read_as_json() -> None:
    """JSON takes up to thirty times its size in memory."""
    for size, fits in ((leaves.MAX_BODY, True), (leaves.MAX_BODY + 1, False)):
        plain = bytes(leaves.SALT_SIZE) + b'{"a":1' + b" " * (size - leaves.SALT_SIZE - 7) + b"}"
        assert len(plain) == size
        digest = hashlib.sha256(plain).hexdigest()
        if fits:
            assert leaves.open_body(plain, digest) == {"a": 1}
        else:
            with pytest.raises(EvidenceError, match="at most"):
                leaves.open_body(plain, digest)
