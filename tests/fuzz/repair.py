"""What holds the members of a segment together, made right again after one of them was changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import AgentError, EvidenceError
from agent.formats import age, age_header, merkle, note, pack
from agent.formats import leaf as leaves
from tests.fuzz.keys import IDENTITIES, ORIGIN, sign, signer_of
from tests.fuzz.shapes import Member

_ENTRY = re.compile(r"([0-9]{10})\.(age|json|note)")
Files = dict[str, bytes]


def repaired(members: list[Member], rng: random.Random) -> list[Member]:
    """As much of it as the dice say: what leaves say of sealed bytes, chain and init; the roots; signatures over them
    by the keys of the camera.
    """
    names = [name for name, _ in members]
    files = dict(members)
    if rng.random() < 0.7:
        _fit_leaves(files)
    if rng.random() < 0.8:
        _sign_again(files, rng)
    return [(name, files[name]) for name in names]


def indexes_of(files: Files) -> list[int]:
    return sorted({int(match[1]) for name in files if (match := _ENTRY.fullmatch(name))})


def as_json(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def line(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
    except (ValueError, RecursionError):
        return b"{}\n"


def _fit_leaves(files: Files) -> None:
    chain = hashlib.sha256(files.get(pack.CHAIN, b"")).hexdigest()
    init = hashlib.sha256(files.get(pack.INIT, b"")).hexdigest()
    for index in indexes_of(files):
        name = f"{index:010d}.json"
        value = as_json(files.get(name, b""))
        if value is None:
            continue
        value |= {"index": index, "chain": chain} | ({"init": init} if "init" in value else {})
        sealed = files.get(f"{index:010d}.age")
        if sealed is not None and isinstance(value.get("sealed"), dict):
            value["sealed"] = sealed_of(sealed)
            with contextlib.suppress(AgentError):
                if "body" in value:
                    value["body"] = hashlib.sha256(age.decrypt(sealed, IDENTITIES)).hexdigest()
        files[name] = line(value)


def sealed_of(data: bytes) -> dict[str, Any]:
    try:
        size = age_header.parse(data).size
    except EvidenceError:
        size = len(data) // 2
    told = leaves.Sealed.of(data, size)
    header = {"size": told.header_size, "sha256": told.header_sha256}
    return {
        "sha256": told.sha256,
        "header": header,
        "payload": {"size": told.payload_size, "sha256": told.payload_sha256},
    }


def _sign_again(files: Files, rng: random.Random) -> None:
    """A root for each leaf, from segment.json's frontier on."""
    frontier, origin = merkle.Frontier(), ORIGIN
    with contextlib.suppress(AgentError):
        header = pack.SegmentHeader.parse(files.get(pack.HEADER, b""))
        frontier, origin = header.frontier, header.origin
    session = signer_of(files.get(pack.CHAIN, b""))
    for index in indexes_of(files):
        leaf = files.get(f"{index:010d}.json")
        if leaf is None or frontier.size >= merkle.MAX_SIZE:
            continue
        frontier = frontier.append(merkle.leaf_hash(leaf))
        name = f"{index:010d}.note"
        if name in files and rng.random() < 0.97:
            files[name] = _checkpoint(leaf, origin, frontier, session, rng)


def _checkpoint(
    leaf: bytes, origin: str, frontier: merkle.Frontier, session: Ed25519PrivateKey, rng: random.Random
) -> bytes:
    strong = any(f'"{kind.value}"'.encode() in leaf for kind in leaves.IDENTITY_KINDS)
    text = note.Checkpoint(origin, frontier.size, frontier.root()).text()
    return sign(text, session, by_identity=strong if rng.random() < 0.95 else not strong)
