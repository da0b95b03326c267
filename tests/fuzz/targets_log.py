"""Targets: leaves and the other JSON of a log, and proofs about its tree."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from typing import Any

from agent import events
from agent.errors import EvidenceError, KeyTrustError
from agent.formats import bundle, epoch, merkle, note, pack, seal, timestamp, tlogproof
from agent.formats import leaf as leaves
from tests.fuzz.engine import Target, demand
from tests.fuzz.keys import ORIGIN, whole_camera
from tests.fuzz.mutate import change_json, havoc, json_line, number
from tests.fuzz.shapes import Node, change_der, parse_der

BODIES: list[dict[str, Any]] = [
    {"type": "state", "state": "ready", "reason": "it is", "actor": "recorder"},
    {"type": "clock", "why": "suspend", "source": "none", "bound_ms": 5, "divergence_ns": 9 * 10**9,
     "suspended_ns": 4 * 10**9, "step_ns": -1},
    {"type": "heartbeat", "faults": ["x"], "state": "fault"},
    {"type": "mute", "actor": "officer", "mono_ns": 7 * 10**9, "late": True, "boottime_ns": 8 * 10**9},
    {"type": "unknown.here"},
    {"type": "sleep", "actor": "officer"},
]  # fmt: skip
"""Of the kinds by which a boot's time is accounted for."""


def run_leaf(data: bytes) -> None:
    """A leaf, an event's body, a segment header, a seal record: whichever it is."""
    with contextlib.suppress(EvidenceError):
        leaf = leaves.parse(data)
        demand(leaves.parse(leaves.to_bytes(leaf)) == leaf, "a leaf reads otherwise when written again")
    with contextlib.suppress(EvidenceError):
        body = leaves.open_body(data, hashlib.sha256(data).hexdigest())
        plain, digest = leaves.seal_body(body, bytes(32))
        demand(leaves.open_body(plain, digest) == body, "a body reads otherwise when written again")
        told = events.parse(body)
        if told.event is not None:
            demand(events.parse(told.event.body()).event == told.event, "an event reads otherwise when written again")
    with contextlib.suppress(EvidenceError):
        demand(pack.SegmentHeader.parse(data).to_bytes() == data, "segment.json has two spellings")
    with contextlib.suppress(EvidenceError):
        record = seal.SealRecord.parse(data)
        demand(seal.SealRecord.parse(record.to_bytes()) == record, "a seal record reads otherwise when written again")
    with contextlib.suppress(KeyTrustError):
        answer = bundle.parse(data)
        demand(bundle.parse(answer.to_bytes()) == answer, "an answer reads otherwise when written again")
    with contextlib.suppress(EvidenceError, ValueError, RecursionError):
        link = epoch.parse_link(json.loads(data.decode("ascii")), ORIGIN[:-1] + "7")
        demand(epoch.parse_link(link.facts(), ORIGIN[:-1] + "7") == link, "a link reads otherwise when written again")


def mutate_leaf(data: bytes, rng: random.Random, other: bytes) -> bytes:
    if rng.random() < 0.3:
        return havoc(data, rng, other)
    salt, text = (data[:32], data[32:]) if data[:1] != b"{" and len(data) > 32 else (b"", data)
    try:
        value = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError):
        return havoc(data, rng, other)
    for _ in range(rng.choice((1, 1, 2))):
        value = change_json(value, rng)
    line = json_line(value, rng)
    if rng.random() < 0.05:
        line = line[:1] + line[1 : 1 + line.find(b",")] + line[1:]
    return salt + line


def seeds_leaf() -> dict[str, bytes]:
    made = whole_camera()
    entries = [e for s in made.segments for e in s.entries]
    found = {f"leaf-{e.index}": e.leaf for e in entries}
    found |= {f"header-{i}": s.header.to_bytes() for i, s in enumerate(made.segments)}
    heads = [note.Checkpoint(ORIGIN[:-1] + number, 3, bytes(32)) for number in "12"]
    link = epoch.Link(epoch.Why.BEHIND, *heads)
    answer = bundle.Bundle("cam-0001", "x", "y", "z", {"sealing": {"recipients": ["age1"]}})
    return found | {
        "epoch": json.dumps(link.facts()).encode(),
        "answer": answer.to_bytes(),
        "seal": made.segments[1].record().to_bytes(),
        **{f"body-{n}": leaves.seal_body(body, bytes(32))[0] for n, body in enumerate(BODIES)},
        "body": leaves.seal_body({"type": "heartbeat", "faults": []}, bytes(range(32)))[0],
    }


# -- proofs --------------------------------------------------------------------------------------------------------

LEAVES = [merkle.leaf_hash(bytes([n])) for n in range(40)]


def _subtree(start: int, end: int) -> bytes:
    frontier = merkle.Frontier()
    for value in LEAVES[start:end]:
        frontier = frontier.append(value)
    return frontier.root()


def run_proofs(data: bytes) -> None:
    """A proof is accepted only where it is the one and only proof: kind, two numbers, then hashes of 32 bytes."""
    kind, rest = data[:1], data[17:]
    one, two = int.from_bytes(data[1:9], "big"), int.from_bytes(data[9:17], "big")
    values = [rest[i : i + 32] for i in range(0, len(rest) - 31, 32)]
    if kind == b"i" and values:
        root = _subtree(0, two) if 0 < two <= len(LEAVES) else bytes(32)
        with contextlib.suppress(EvidenceError):
            merkle.verify_inclusion(values[0], one, two, values[1:], root)
            demand(values[0] == LEAVES[one], "a leaf is proven that is not there")
            demand(values[1:] == merkle.inclusion_proof(one, two, _subtree), "a leaf has two proofs")
    elif kind == b"c":
        roots = [_subtree(0, n) if n <= len(LEAVES) else bytes(32) for n in (one, two)]
        old = values[0] if values else roots[0]
        with contextlib.suppress(EvidenceError):
            merkle.verify_consistency(one, old, two, roots[1], values[1:])
            if two <= len(LEAVES):
                demand(old == roots[0], "a tree is extended that was another")
                demand(values[1:] == merkle.consistency_proof(one, two, _subtree), "an extension has two proofs")
    elif kind == b"f":
        _run_frontier(one, values)
    elif kind == b"t":
        _run_texts(data[1:])
    elif kind == b"p":
        _run_tile_path(data[1:].decode("utf-8", "replace"))


def _run_frontier(size: int, values: list[bytes]) -> None:
    with contextlib.suppress(EvidenceError):
        frontier = merkle.Frontier(size, tuple(values))
        for value in LEAVES[:5]:
            frontier = frontier.append(value)
        demand(len(frontier.root()) == 32, "a root of another length")


def _run_texts(data: bytes) -> None:
    with contextlib.suppress(EvidenceError):
        demand(tlogproof.InclusionProof.parse(data).to_bytes() == data, "an inclusion proof has two spellings")
    with contextlib.suppress(EvidenceError):
        told = tlogproof.consistency_text(tlogproof.parse_consistency(data))
        demand(told == data, "a consistency proof has two spellings")


def _run_tile_path(path: str) -> None:
    with contextlib.suppress(EvidenceError):
        tile = merkle.parse_tile_path(path)
        demand(tile.path == path, "a tile has two paths")
        demand(".." not in path and not path.startswith("/"), "a tile path leaves its directory")


def mutate_proofs(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A true proof, and then mostly one thing wrong with it."""
    if rng.random() < 0.3 or data[:1] == b"t":
        return havoc(data, rng, other)
    two = rng.randrange(1, len(LEAVES) + 1)
    one = rng.randrange(two)
    if rng.random() < 0.15:
        path = merkle.TileId(rng.choice((0, 1, 63, 64)), abs(number(rng)), rng.choice((1, 255, 256, 0))).path
        return b"p" + havoc(path.encode(), rng) if rng.random() < 0.5 else b"p" + path.encode()
    if rng.random() < 0.5:
        made = [b"i", LEAVES[one], *merkle.inclusion_proof(one, two, _subtree)]
    else:
        one = rng.choice((one, two))
        made = [b"c", _subtree(0, one), *merkle.consistency_proof(one, two, _subtree)]
    if rng.random() < 0.15:
        two = rng.choice((number(rng, two), one)) % (1 << 64)
    hashes_ = made[1:]
    match rng.randrange(8):
        case 0:
            hashes_.insert(rng.randrange(len(hashes_) + 1), rng.choice((bytes(32), *hashes_)))
        case 1 if hashes_:
            del hashes_[rng.randrange(len(hashes_))]
        case 2:
            rng.shuffle(hashes_)
        case 3:
            hashes_ += [bytes(32)] * 65
        case 4:
            one = number(rng, one) % (1 << 64)
        case 5 if hashes_:
            hashes_[0] = rng.choice((bytes(32), merkle.EMPTY_ROOT, LEAVES[0]))
    return (
        rng.choice((made[0], made[0], made[0], b"f"))
        + one.to_bytes(8, "big")
        + two.to_bytes(8, "big")
        + b"".join(hashes_)
    )


def seeds_proofs() -> dict[str, bytes]:
    rng = random.Random(1)
    path = b"p" + merkle.TileId(0, 1_234_067, 5).path.encode()
    frontier = b"f" + (3).to_bytes(8, "big") + bytes(8) + LEAVES[0] + LEAVES[1]
    proof = tlogproof.InclusionProof(5, tuple(LEAVES[:3]), b"checkpoint\n").to_bytes()
    texts = {"inclusion": b"t" + proof, "consistency": b"t" + tlogproof.consistency_text(LEAVES[:3])}
    return texts | {"path": path, "frontier": frontier} | {f"made-{n}": mutate_proofs(b"", rng, b"") for n in range(6)}


# -- timestamps ----------------------------------------------------------------------------------------------------


def run_timestamp(data: bytes) -> None:
    """A response of RFC 3161: a digest and a time, or EvidenceError."""
    with contextlib.suppress(EvidenceError):
        said = timestamp.parse(data)
        demand(len(said.sha256) == 64 and said.time.isprintable() and said.time.isascii(), "a time that is none")


def mutate_timestamp(data: bytes, rng: random.Random, other: bytes) -> bytes:
    nodes = parse_der(data)
    if rng.random() < 0.3 or not nodes:
        return havoc(data, rng, other)
    change_der(rng.choice(nodes), rng, None)
    return b"".join(node.to_bytes() for node in nodes)


def seeds_timestamp() -> dict[str, bytes]:
    """As an authority answers, without its signature, which is not looked at."""
    sha256, signed, info = (bytes.fromhex(h) for h in ("608648016503040201", "2a864886f70d010702", TST_INFO))
    imprint = Node(0x30, inner=[Node(0x30, inner=[Node(6, sha256)]), Node(4, bytes(32))])
    told = [Node(2, b"\1"), Node(6, b"\x2a\3"), imprint, Node(2, b"\7"), Node(0x18, b"20260301080000.25Z")]
    content = Node(0x30, inner=[Node(6, info), Node(0xA0, inner=[Node(4, Node(0x30, inner=told).to_bytes())])])
    data = Node(0x30, inner=[Node(2, b"\3"), Node(0x31), content])
    status = Node(0x30, inner=[Node(2, b"\0")])
    whole = Node(0x30, inner=[status, Node(0x30, inner=[Node(6, signed), Node(0xA0, inner=[data])])])
    return {"granted": whole.to_bytes()}


TST_INFO = "2a864886f70d0109100104"

TARGETS = (
    Target("timestamp", run_timestamp, mutate_timestamp, seeds_timestamp, share=40),
    Target("leaf", run_leaf, mutate_leaf, seeds_leaf, share=230),
    Target("proofs", run_proofs, mutate_proofs, seeds_proofs, share=80),
)
