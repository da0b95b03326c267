"""Rows: each field of a leaf, edited on the card, or written so by a camera that signs what is not so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.evidence.findings import Sure, What
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS
from tests.builders import BOOTS, replaced
from tests.evidence.matrix.case import CARD, SESSION, Case, Expect, Forge, Row, life, nothing

PART, LEAF, EVENT = 1, 4, 12
SIGNED = "is not the leaf that was signed"
BYTES = What.ALTERED_BYTES

# Each field by its path, and another value that a reader would take.
FIELDS: list[tuple[int, str, Any]] = [
    (LEAF, "v", 12),
    (LEAF, "class", "event"),
    (LEAF, "camera", "cam-0002"),
    (LEAF, "boot", BOOTS[7]),
    (LEAF, "mono_ns", 1),
    (LEAF, "boottime_ns", 1),
    (LEAF, "utc.time", "2031-11-12T13:14:15.161718Z"),
    (LEAF, "utc.source", "unverified"),
    (LEAF, "utc.bound_ms", None),
    (LEAF, "chain", "ab" * 32),
    (LEAF, "recipients", "cd" * 32),
    (LEAF, "sealed.sha256", "ef" * 32),
    (LEAF, "sealed.header.size", 77),
    (LEAF, "sealed.header.sha256", "01" * 32),
    (LEAF, "sealed.payload.size", 7_777),
    (LEAF, "sealed.payload.sha256", "23" * 32),
    (LEAF, "recording", "r0000000009-00c0ffee"),
    (LEAF, "part", 77),
    (LEAF, "idr", True),
    (LEAF, "zero_mono_ns", 12_345),
    (LEAF, "start_ns", 77 * NS),
    (LEAF, "duration_ns", 77 * NS),
    (LEAF, "init", "45" * 32),
    (LEAF, "unknown", "a key that no reader knows"),
    (EVENT, "kind", "deletion"),
    (EVENT, "facts", {"parts": 5}),
    (EVENT, "body", "67" * 32),
    (EVENT, "recording", "r0000000009-00c0ffee"),
]


def edited(index: int, path: str, value: Any) -> Callable[[Case], None]:
    """The field replaced in the leaf as it lies on the card."""

    def change(case: Case) -> None:
        entry = case.entry(index)
        leaf = json.loads(entry.leaf)
        *way, last = path.split(".")
        place = leaf
        for key in way:
            place = place[key]
        assert place.get(last) != value
        place[last] = value
        entry.leaf = json.dumps(leaf, separators=(",", ":")).encode("ascii") + b"\n"

    return change


def renumbered(case: Case) -> None:
    entry = case.entry(LEAF)
    entry.leaf = entry.leaf.replace(b'"index":4,', b'"index":44,')


def rewritten(case: Case) -> None:
    """The same values in another spelling: what is signed are the bytes."""
    entry = case.entry(LEAF)
    entry.leaf = json.dumps(json.loads(entry.leaf)).encode("ascii") + b"\n"


def forged(index: int, **changes: Any) -> Callable[[], Case]:
    """The camera itself signs this leaf with other fields; callables are given the leaf."""

    def forge(leaf: leaves.Leaf) -> leaves.Leaf:
        if leaf.common.index != index:
            return leaf
        return replaced(leaf, **{k: v(leaf) if callable(v) else v for k, v in changes.items()})

    return lambda: life(forge)


def clock(index: int, until: int | None = None, **by: int) -> Callable[[], Case]:
    """The clocks of leaf `index`, or of all from there to `until`, moved by so many nanoseconds."""

    def forge(leaf: leaves.Leaf) -> leaves.Leaf:
        if not index <= leaf.common.index <= (until or index):
            return leaf
        stamp = leaf.common.stamp
        return replaced(leaf, stamp=replace(stamp, **{k: getattr(stamp, k) + v for k, v in by.items()}))

    return lambda: life(forge)


def facts(index: int, **changes: Any) -> Callable[[], Case]:
    def with_facts(leaf: leaves.Leaf) -> dict[str, Any]:
        assert isinstance(leaf, leaves.EventLeaf)
        return {**leaf.facts, **changes}

    return forged(index, facts=with_facts)


def sealed(**changes: Any) -> Callable[[leaves.Leaf], leaves.Sealed]:
    return lambda leaf: replace(leaf.common.sealed, **changes)


def shutdown_in_the_middle(leaf: leaves.Leaf) -> leaves.Leaf:
    changed = isinstance(leaf, leaves.EventLeaf) and leaf.common.index == EVENT
    return replaced(leaf, kind=Kind.SHUTDOWN) if changed else leaf


def _signed(change: str, born: Callable[[], Case], *finds: Expect) -> Row:
    return Row("leaf", f"signed with {change}", SESSION, nothing, finds, born)


def _forge(forge: Forge) -> Callable[[], Case]:
    return lambda: life(forge)


EDITED = [
    Row("leaf", f"{path} edited" + (" in an event" if index == EVENT else ""), CARD, edited(index, path, value),
        (Expect(BYTES, "E1" if index == EVENT else "A0", index, text=SIGNED),))
    for index, path, value in FIELDS
]  # fmt: skip

ROWS = [
    *EDITED,
    Row("leaf", "index edited", CARD, renumbered, (Expect(BYTES, "A0", LEAF, text=SIGNED),)),
    Row("leaf", "spelled in another way", CARD, rewritten, (Expect(BYTES, "A0", LEAF, text=SIGNED),)),
    _signed("another camera", forged(LEAF, camera="cam-0002"),
            Expect(What.OTHER_CAMERA, "A0", LEAF, part=PART, text="the leaf is of camera cam-0002")),
    _signed("another boot", forged(LEAF, stamp=lambda leaf: replace(leaf.common.stamp, boot=BOOTS[7])),
            Expect(What.BAD_SESSION, "A0", LEAF, part=PART, text="another boot")),
    _signed("a clock moved back", clock(LEAF, mono_ns=-2 * NS),
            Expect(What.CLOCK_WENT_BACK, "A0", LEAF, part=PART, text="goes back by")),
    _signed("a clock moved back that counts time suspended", clock(LEAF, boottime_ns=-2 * NS),
            Expect(What.CLOCK_WENT_BACK, "A0", LEAF, part=PART, text="goes back by")),
    _signed("a clock moved forward, then right again", clock(LEAF, mono_ns=5 * NS),
            Expect(What.CLOCK_WENT_BACK, "A0", 5, part=2, text="goes back by 4.500 s")),
    _signed("another chain", forged(LEAF, chain="ab" * 32),
            Expect(What.BAD_LEAF, "A0", LEAF, text="names another chain.pem")),
    _signed("another init", forged(LEAF, init="45" * 32),
            Expect(What.BAD_LEAF, "A0", LEAF, part=PART, text="another timeline or init"),
            Expect(What.BAD_LEAF, "A0", LEAF, text="names another init.age")),
    _signed("another timeline", forged(LEAF, zero_mono_ns=12_345),
            Expect(What.BAD_LEAF, "A0", LEAF, part=PART, text="another timeline or init")),
    _signed("another recording", forged(LEAF, recording="r0000000001-00c0ffee"),
            Expect(What.BAD_LEAF, "A0", LEAF, part=PART, text="is of recording r0000000001-00c0ffee"),
            Expect(What.MISSING_PARTS, "A0", 5, part=2, text="skip 1 parts")),
    _signed("a part number that skips", forged(LEAF, part=3),
            Expect(What.MISSING_PARTS, "A0", LEAF, part=3, text="skip 2 parts"),
            Expect(What.BAD_LEAF, "A0", 5, part=2, text="part 2 where part 4 belongs"),
            Expect(What.BAD_LEAF, "A1", 7, part=3, text="part 3 where part 4 belongs")),
    _signed("a part number again", forged(LEAF, part=0),
            Expect(What.BAD_LEAF, "A0", LEAF, part=0, text="part 0 where part 1 belongs"),
            Expect(What.MISSING_PARTS, "A0", 5, part=2, text="skip 1 parts")),
    _signed("another digest of the sealed bytes", forged(LEAF, sealed=sealed(sha256="ef" * 32)),
            Expect(BYTES, "A0", LEAF, part=PART, text="is not what its leaf says")),
    _signed("another digest of the payload", forged(LEAF, sealed=sealed(payload_sha256="ef" * 32)),
            Expect(BYTES, "A0", LEAF, part=PART, text="payload")),
    _signed("a stop that counts other parts", facts(10, parts=9),
            Expect(What.MISSING_PARTS, None, 10, sure=Sure.LIKELY, text="says 9 parts, there are 6")),
    _signed("another certificate in its session leaf", facts(0, session_cert="ab" * 32),
            Expect(What.BAD_SESSION, "E0", 0)),
    _signed("a shutdown that is none", _forge(shutdown_in_the_middle), Expect(What.BAD_SESSION, "E1", 13)),
    _signed("a seal of other bytes", facts(6, sha256="ab" * 32),
            Expect(What.SEAL_MISMATCH, "A0", 2, 5, text="not the bytes that were sealed")),
    _signed("a seal of another segment", facts(6, segment="r0000000001-00c0ffee-0000"),
            Expect(What.SEAL_MISMATCH, "A0", 2, 5)),
    _signed("a seal that reaches further", facts(6, entries=9), Expect(What.SEAL_MISMATCH, "A0", 2, 5)),
]  # fmt: skip
