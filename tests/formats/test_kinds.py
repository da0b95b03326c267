"""JSON from elsewhere: true is no number, 1.0 is no version, a number is no name; each parser refuses, none crashes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.errors import EvidenceError
from agent.formats import leaf as leaves
from agent.formats.merkle import Frontier
from agent.formats.pack import SegmentHeader
from agent.formats.seal import SealRecord
from tests.formats.test_leaf import EVENT, MEDIA

OTHER_KINDS: list[Any] = [True, False, None, 1.0, "", [], {}, -1]
HEADER = SegmentHeader("bodycam.local/cam-0001/1", "cam-0001", "r0000000001-5f2c09ab", 1, Frontier(1, (bytes(32),)))
RECORD = SealRecord("r0000000001-5f2c09ab-0001", 1, "ab" * 32, 1, 1, "r0000000001-5f2c09ab", 1)


def written(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def fields(data: bytes) -> list[tuple[str, Any]]:
    return [(key, other) for key in json.loads(data) for other in OTHER_KINDS]


@pytest.mark.parametrize(("key", "other"), fields(HEADER.to_bytes()))
def test_a_segment_header(key: str, other: Any) -> None:
    value = json.loads(HEADER.to_bytes())
    assert SegmentHeader.parse(written(value)) == HEADER
    if (key, other) == ("recording", None):
        return
    with pytest.raises(EvidenceError):
        SegmentHeader.parse(written(value | {key: other}))


@pytest.mark.parametrize(("key", "other"), fields(RECORD.to_bytes()))
def test_a_seal_record(key: str, other: Any) -> None:
    value = json.loads(RECORD.to_bytes())
    assert SealRecord.parse(written(value)) == RECORD
    if (key, other) == ("recording", None) or (key == "kept" and type(other) is bool):
        return
    with pytest.raises(EvidenceError):
        SealRecord.parse(written(value | {key: other}))


@pytest.mark.parametrize("leaf", [MEDIA, EVENT], ids=["media", "event"])
def test_a_leaf(leaf: leaves.Leaf) -> None:
    data = leaves.to_bytes(leaf)
    for key, other in fields(data):
        if not is_fine(leaf, key, other):
            with pytest.raises(EvidenceError):
                leaves.parse(written(json.loads(data) | {key: other}))


def is_fine(leaf: leaves.Leaf, key: str, other: Any) -> bool:
    """Some keys have a meaning with one of these values; `facts` are what their kind makes of them."""
    return (
        (key == "idr" and type(other) is bool)
        or (key == "start_ns" and other == -1)
        or (key == "facts" and other == {} and type(other) is dict)
        or (key == "recording" and other is None and leaf is EVENT)
    )


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-32-be"])
def test_json_is_ascii_and_nothing_a_reader_could_guess(encoding: str) -> None:
    for data, parse in (
        (leaves.to_bytes(MEDIA), leaves.parse),
        (RECORD.to_bytes(), SealRecord.parse),
        (HEADER.to_bytes(), SegmentHeader.parse),
    ):
        with pytest.raises(EvidenceError):
            parse(data.decode().encode(encoding))
