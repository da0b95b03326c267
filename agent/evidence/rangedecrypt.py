"""The entries of a range in the clear, held against their leaves alone: who signed these, `verify` tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from agent.errors import EvidenceError, KeyTrustError, UnreadableError
from agent.evidence.opening import Opened
from agent.evidence.rangehead import read_member
from agent.evidence.rangeopen import open_sealed, sealed_pair
from agent.evidence.rangeview import entry_name
from agent.evidence.sealedfile import sealed_problem, whole_sha256
from agent.evidence.sources import ENTRIES, ProofMembers
from agent.formats import age, pack
from agent.formats import leaf as leaves


def range_pieces(source: ProofMembers, identities: Sequence[age.Identity]) -> Iterator[Callable[[], Opened]]:
    """Its init, then every entry in order of index; each is opened where it is called."""
    found = {i: _leaf(source, i) for i in _indexes(source)}
    init = next((leaf.init for leaf in found.values() if isinstance(leaf, leaves.MediaLeaf)), None)
    yield partial(_open_init, source, init, identities)
    for index, leaf in found.items():
        yield partial(_open_entry, source, index, leaf, identities)


def _indexes(source: ProofMembers) -> list[int]:
    found = (re.fullmatch(ENTRIES + r"/([0-9]{10})\.(age|json)", name) for name in source.members)
    return sorted({int(match[1]) for match in found if match})


def _leaf(source: ProofMembers, index: int) -> leaves.Leaf | None:
    try:
        leaf = leaves.parse(read_member(source, entry_name(index), pack.MAX_LEAF))
    except (EvidenceError, UnreadableError):
        return None
    return leaf if leaf.common.index == index else None


def _open_init(source: ProofMembers, wanted: str | None, identities: Sequence[age.Identity]) -> Opened:
    try:
        data, header = sealed_pair(source, pack.INIT)
        if wanted is None:
            return Opened(pack.INIT, None, None, None, "is named by no leaf")
        if whole_sha256(data, header) != wanted:
            return Opened(pack.INIT, None, None, None, "is not the one its leaves name")
        return Opened(pack.INIT, None, None, open_sealed(data, header, identities))
    except (EvidenceError, KeyTrustError) as err:
        return Opened(pack.INIT, None, None, None, err.message, no_key=isinstance(err, KeyTrustError))


def _open_entry(
    source: ProofMembers, index: int, leaf: leaves.Leaf | None, identities: Sequence[age.Identity]
) -> Opened:
    name = entry_name(index, "age")
    if leaf is None:
        return Opened(name, index, None, None, "has no leaf that can be read")
    try:
        data, header = sealed_pair(source, name)
        if problem := sealed_problem(data, header, leaf.common.sealed):
            return Opened(name, index, leaf, None, problem)
        plain = open_sealed(data, header, identities)
        if isinstance(leaf, leaves.EventLeaf):
            # The salt in front keeps its secret: what is handed out is the JSON alone.
            leaves.open_body(plain, leaf.body)
            plain = plain[leaves.SALT_SIZE :].rstrip(b" ") + b"\n"
    except (EvidenceError, KeyTrustError) as err:
        return Opened(name, index, leaf, None, err.message, no_key=isinstance(err, KeyTrustError))
    return Opened(name, index, leaf, plain)
