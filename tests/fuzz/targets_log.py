"""Targets: leaves and the other JSON of a log, and proofs about its tree."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random

from agent.errors import EvidenceError
from agent.formats import leaf as leaves
from agent.formats import merkle, pack, seal
from tests.fuzz.engine import Target, demand
from tests.fuzz.keys import whole_camera
from tests.fuzz.mutate import change_json, havoc, json_line, number


def run_leaf(data: bytes) -> None:
    """A leaf, an event's body, a segment header, a seal record: whichever it is."""
    with contextlib.suppress(EvidenceError):
        leaf = leaves.parse(data)
        demand(leaves.parse(leaves.to_bytes(leaf)) == leaf, "a leaf reads otherwise when written again")
    with contextlib.suppress(EvidenceError):
        body = leaves.open_body(data, hashlib.sha256(data).hexdigest())
        plain, digest = leaves.seal_body(body, bytes(32))
        demand(leaves.open_body(plain, digest) == body, "a body reads otherwise when written again")
    with contextlib.suppress(EvidenceError):
        demand(pack.SegmentHeader.parse(data).to_bytes() == data, "segment.json has two spellings")
    with contextlib.suppress(EvidenceError):
        record = seal.SealRecord.parse(data)
        demand(seal.SealRecord.parse(record.to_bytes()) == record, "a seal record reads otherwise when written again")


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
    return found | {
        "seal": made.segments[1].record().to_bytes(),
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
    elif kind == b"p":
        _run_tile_path(data[1:].decode("utf-8", "replace"))


def _run_frontier(size: int, values: list[bytes]) -> None:
    with contextlib.suppress(EvidenceError):
        frontier = merkle.Frontier(size, tuple(values))
        for value in LEAVES[:5]:
            frontier = frontier.append(value)
        demand(len(frontier.root()) == 32, "a root of another length")


def _run_tile_path(path: str) -> None:
    with contextlib.suppress(EvidenceError):
        tile = merkle.parse_tile_path(path)
        demand(tile.path == path, "a tile has two paths")
        demand(".." not in path and not path.startswith("/"), "a tile path leaves its directory")


def mutate_proofs(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A true proof, and then mostly one thing wrong with it."""
    if rng.random() < 0.3:
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
    return {"path": path, "frontier": frontier} | {f"made-{n}": mutate_proofs(b"", rng, b"") for n in range(6)}


TARGETS = (
    Target("leaf", run_leaf, mutate_leaf, seeds_leaf, share=14),
    Target("proofs", run_proofs, mutate_proofs, seeds_proofs, share=8),
)
