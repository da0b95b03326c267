"""Lives of a camera by chance, each leaf signed as a camera does: some true, some told by whoever stole its keys."""

from __future__ import annotations

import dataclasses
import random

from agent.errors import AgentError
from agent.formats import leaf as leaves
from agent.formats import merkle
from agent.formats.epoch import Why
from agent.formats.leaf import Kind
from tests.builders import Camera, replaced
from tests.fuzz.keys import FixedCamera
from tests.fuzz.mutate import change_json, number
from tests.fuzz.shapes import Member
from tests.fuzz.stories import kept_by, spans
from tests.fuzz.targets_log import BODIES
from tests.fuzz.targets_notes import revocation_of

LIAR = 0.15
"""How likely a leaf of a stolen camera says something else than is so."""


def random_life(rng: random.Random) -> list[Member]:
    """The files of one or two logs, some of them left out, moved or renamed; receipts, tiles, a revocation."""
    made = FixedCamera(seed=rng.randrange(1 << 30))
    lying = rng.random() < 0.6
    made.forge = lambda leaf: _forged(leaf, rng) if lying and rng.random() < LIAR else leaf
    made.new_session()
    _live(made, rng)
    members = _files(made, rng)
    if rng.random() < 0.3:
        follows = made.head(rng.randrange(made.frontier.size + 1)) if rng.random() < 0.3 else None
        left = made.head(rng.randrange(made.frontier.size + 1)) if rng.random() < 0.4 else None
        after = made.next_epoch(rng.choice(list(Why)), follows, left)
        after.forge = made.forge
        _live(after, rng)
        members += _files(after, rng)
    return members


def _live(made: Camera, rng: random.Random) -> None:
    for _ in range(rng.randrange(2, 12)):
        match rng.randrange(10):
            case 0 if made.recording is None:
                made.start()
            case 0 | 1 if made.recording:
                made.rotate() if rng.random() < 0.3 else made.part(size=10)
            case 2 | 3 if made.recording:
                made.part(size=10)
            case 4 if made.recording:
                made.stop()
            case 5 if made.open is not None:
                made.crash(rng.choice((0, 0, 1)))
            case 6:
                made.new_session(same_boot=rng.random() < 0.5)
            case 7:
                made.event(Kind.EVENT, rng.choice(BODIES))
            case 8:
                made.event(rng.choice(list(Kind)), facts=_facts(made, rng), recording=made.recording)
            case _:
                made.mono_ns += rng.choice((0, 10**9, 70 * 10**9, -(10**9)))
    if rng.random() < 0.6:
        made.shutdown()
    made.close_segment()


def _facts(made: Camera, rng: random.Random) -> dict[str, object]:
    named = rng.choice([s.name for s in made.segments] or ["e0000000000-00000000"])
    item = {"segment": named, "epoch": 1, "size": 1024, "sha256": "0" * 64, "whole": True, "receipt": "0" * 64}
    facts = {"segments": rng.choice(([item], [named], [])), "parts": made.parts, "interrupted": rng.random() < 0.5,
             "segment": named, "entries": 1, "torn_bytes": 7, "size": 9, "sha256": "0" * 64, "first": 0,
             "receipt": "0" * 64, "session_cert": made.cert_sha256, "resumes": None}  # fmt: skip
    return {key: value for key, value in facts.items() if rng.random() < 0.8}


def _forged(leaf: leaves.Leaf, rng: random.Random) -> leaves.Leaf:
    stamp = leaf.common.stamp
    match rng.randrange(6):
        case 0:
            return replaced(leaf, stamp=dataclasses.replace(stamp, mono_ns=abs(number(rng, stamp.mono_ns)) % (1 << 62)))
        case 1:
            utc, source = rng.choice(((None, "none"), ("0001-01-01T00:00:00.000000Z", "unverified")))
            told = dataclasses.replace(stamp, utc=utc, utc_source=source)
            return replaced(leaf, stamp=told)
        case 2 if isinstance(leaf, leaves.MediaLeaf):
            return replaced(leaf, part=abs(number(rng, leaf.part)) % (1 << 40))
        case 3 if isinstance(leaf, leaves.MediaLeaf):
            return replaced(leaf, start_ns=number(rng, leaf.start_ns) % (1 << 61), zero_mono_ns=leaf.zero_mono_ns + 1)
        case 4 if isinstance(leaf, leaves.EventLeaf):
            return replaced(leaf, recording=rng.choice((None, "r0000000001-00000000")))
        case 5:
            return replaced(leaf, camera=rng.choice(("cam-0002", leaf.common.camera)))
    if isinstance(leaf, leaves.EventLeaf):
        changed = change_json(dict(leaf.facts), rng)
        return replaced(leaf, facts=changed if isinstance(changed, dict) else {})
    return replaced(leaf, chain="0" * 64)


def _files(made: Camera, rng: random.Random) -> list[Member]:
    folder = rng.choice(("", "", "sealed/", "delivered/", "a/"))
    members: list[Member] = []
    for segment in made.segments:
        if rng.random() < 0.12:
            continue
        place = "open/" if segment is made.segments[-1] and rng.random() < 0.2 else folder
        segment.sealed = not (place == "open/" and rng.random() < 0.5)
        name = rng.choice((segment.name, made.segments[0].name)) if rng.random() < 0.05 else segment.name
        members.append((f"{place}{name}.tar", segment.to_bytes()))
    if folder == "sealed/":
        members.append(("delivered/x.receipt", made.receipt(made.segments[:2], rng.randrange(made.frontier.size + 1))))
    size = rng.randrange(made.frontier.size + 1)
    if rng.random() < 0.3:
        told = rng.choice((lambda segment: (0, 0), spans, lambda segment: (rng.randrange(9), rng.randrange(9))))
        some = rng.choices(made.segments, k=2)
        members.append((f"{len(members)}.receipt", made.receipt(some, size, leaves_of=told)))
    if rng.random() < 0.1:
        members.append((f"{len(members)}.receipt", kept_by(made, rng.choices(made.segments, k=2))))
    members = _purged(made, members, rng) if rng.random() < 0.3 else members
    if rng.random() < 0.2:
        members.append((f"{len(members)}.revocation", revocation_of(made, size)))
    if rng.random() < 0.3:
        epoch = made.origin.rpartition("/")[2]
        tiles = [(f"log/{epoch}/{t.path}", made._tile(t)) for t in merkle.tiles_of(size)]
        members += [*tiles, (f"log/{epoch}/checkpoint", made.checkpoint(size, True))]
        members.append((f"log/{epoch}/chain.pem", made.chain))
    if rng.random() < 0.2:
        members.append(("head", made.checkpoint(size, True)))
    return members


def _purged(made: Camera, members: list[Member], rng: random.Random) -> list[Member]:
    """With a note that says so of some segments of a recording, which are mostly gone."""
    named = [segment for segment in made.segments if segment.name.startswith("r")]
    if not named:
        return members
    recording = rng.choice(named).name[:20]
    gone = [segment for segment in named if segment.name.startswith(recording)][: rng.choice((1, 9))]
    if rng.random() < 0.8:
        members = [m for m in members if not any(segment.name in m[0] for segment in gone)]
    return [*members, (f"{len(members)}.purge", made.purge(gone))]


def life_or_none(rng: random.Random) -> list[Member] | None:
    """None where what was forged cannot be written as a leaf at all."""
    try:
        return random_life(rng)
    except (AgentError, ValueError, AssertionError, LookupError, AttributeError):
        return None
