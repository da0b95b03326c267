"""Targets: a segment's file as such, and a log's tiles."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import random

from agent.errors import AgentError, EvidenceError
from agent.evidence.entries import assemble
from agent.evidence.heads import TileLog
from agent.evidence.layout import Scanner
from agent.evidence.trust import Trust
from agent.formats import age, merkle, note, pack
from agent.formats import leaf as leaves
from agent.prefix import later_entry, later_head, proven_place, read_prefix
from tests.fuzz import place
from tests.fuzz.engine import Target, demand
from tests.fuzz.keys import ALICE, IDENTITIES, ORIGIN, FixedCamera, fixed_agency, own, session_key, sign, whole_camera
from tests.fuzz.mutate import change_json, havoc, json_line, number
from tests.fuzz.shapes import Member, change_members, join_archive, split_archive
from tests.fuzz.targets_log import mutate_leaf
from tests.fuzz.targets_notes import mutate_certs, mutate_note

# -- pack ----------------------------------------------------------------------------------------------------------


def run_pack(data: bytes) -> None:
    """The strict reader's one spelling; the patient one agrees with it about what is whole."""
    strict = _strict(data)
    with place.window(data) as (window, path):
        layout = Scanner(window).run()
        entries = assemble(window, layout)
        demand(all(m.end <= len(data) or m is layout.members[-1] for m in layout.members), "a member beyond the end")
        with contextlib.suppress(EvidenceError):
            prefix = read_prefix(path, own())
            demand(prefix.end <= len(data), "a prefix longer than the file")
            later_entry(path, prefix.end, prefix.next_index)
            head = later_head(path, prefix.end, prefix.header.origin, prefix.session)
            demand(head is None or head.origin == prefix.header.origin, "a head of another log")
            demand(not prefix.hashes or proven_place(path, own()) == prefix.header, "leaves that prove no place")
    clean = layout.sealed and not layout.damages and layout.misfit() is None
    if strict is not None:
        demand(join_archive(strict) == data, "a segment has two spellings")
        demand(layout.sealed and not layout.damages, "the patient reader finds damage where there is none")
        demand([(m.name, m.size) for m in layout.members] == [(n, len(d)) for n, d in strict], "readers disagree")
    elif clean and all(len(slot) == 3 for slot in entries.slots.values()) and _head_is_sound(data):
        demand(False, "the strict reader refuses what the patient one finds whole")


def _strict(data: bytes) -> list[Member] | None:
    reader = pack.PackReader(io.BytesIO(data).read)
    members: list[Member] = []
    try:
        header = reader.head()
        if reader.init is not None:
            members.append((pack.INIT, reader.init))
        members += [(pack.HEADER, header.to_bytes()), (pack.CHAIN, reader.chain)]
        for e in reader.entries():
            stem = f"{e.index:010d}"
            members += [(f"{stem}.age", e.sealed), (f"{stem}.json", e.leaf), (f"{stem}.note", e.note)]
    except EvidenceError:
        return None
    return members if reader.sealed else None


def _head_is_sound(data: bytes) -> bool:
    members = dict(split_archive(data))
    try:
        header = pack.SegmentHeader.parse(members.get(pack.HEADER, b""))
    except EvidenceError:
        return False
    return pack.CHAIN in members and (header.recording is None) == (pack.INIT not in members)


TRAILERS = (pack.TRAILER, pack.TRAILER, pack.TRAILER, b"", bytes(512), bytes(1536), bytes(1000), b"x" * 1024)


def mutate_pack(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Members changed, moved and renamed under headers that fit; or the file's bytes, headers and all."""
    if rng.random() < 0.35:
        return havoc(data, rng, other)
    members = split_archive(data)
    if not members:
        return havoc(data, rng, other)
    if rng.random() < 0.6:
        members = change_members(members, rng, split_archive(other))
    if members and rng.random() < 0.6:
        at = rng.randrange(len(members))
        members[at] = (members[at][0], change_member(*members[at], rng))
    joined = join_archive(members, rng.choice(TRAILERS))
    return joined if rng.random() < 0.7 else havoc(joined, rng, other)


def change_member(name: str, content: bytes, rng: random.Random) -> bytes:
    """By what the name says it is."""
    if name.endswith(".json"):
        return mutate_leaf(content, rng, b"")
    if name.endswith((".note", "checkpoint")):
        return mutate_note(content, rng, b"")
    if name.endswith(".pem"):
        return mutate_certs(content, rng, b"")
    return change_sealed(content, rng) if rng.random() < 0.6 else havoc(content, rng)


def change_sealed(content: bytes, rng: random.Random) -> bytes:
    """An event's body changed inside, and sealed again."""
    try:
        plain = age.decrypt(content, IDENTITIES)
        value = json.loads(plain[leaves.SALT_SIZE :])
    except (AgentError, ValueError, RecursionError):
        return havoc(content, rng)
    changed = plain[: leaves.SALT_SIZE] + json_line(change_json(value, rng), rng)
    return age.encrypt(changed, [ALICE.recipient]).data


def seeds_pack() -> dict[str, bytes]:
    return {segment.name[:1] + str(n): segment.to_bytes() for n, segment in enumerate(whole_camera().segments[:2])}


# -- tiles ---------------------------------------------------------------------------------------------------------


def run_tiles(data: bytes) -> None:
    """Tiles and their checkpoint: what leads to the signed root gives proofs that hold."""
    members = split_archive(data)
    with place.fresh() as root:
        place.lay(root, members)
        log = TileLog(root)
        with contextlib.suppress(AgentError):
            head = log.load(Trust(fixed_agency().root))
            led = log.leads_to(head)
            for size in (1, head.size // 2, head.size):
                list(log.frontier(size))
            if led:
                _demand_proofs(dict(members), head.size, head.root)
    for name, _ in members[:20]:
        with contextlib.suppress(EvidenceError):
            demand(merkle.parse_tile_path(name).path == name, "a tile has two paths")


def _demand_proofs(files: dict[str, bytes], size: int, root: bytes) -> None:
    tree = merkle.TileTree(size, lambda tile: _tile(files, tile))
    for index in {0, size // 2, size - 1} if size else ():
        with contextlib.suppress(EvidenceError):
            path = merkle.inclusion_proof(index, size, tree.subtree)
            merkle.verify_inclusion(tree.subtree(index, index + 1), index, size, path, root)
    with contextlib.suppress(EvidenceError):
        demand(merkle.TileTree(size, lambda tile: _tile(files, tile)).frontier().root() == root, "tiles lead elsewhere")
    with contextlib.suppress(EvidenceError):
        first = _tile(files, merkle.TileId(0, 0)) or b""
        hashes = [first[at : at + merkle.HASH_SIZE] for at in range(0, len(first), merkle.HASH_SIZE)]
        alone = merkle.TileTree(min(len(hashes), merkle.TILE_WIDTH), lambda tile: first if tile.level == 0 else None)
        demand(merkle.tile_root(hashes[: alone.size]) == alone.frontier().root(), "a tile has two roots")
    list(itertools.islice(merkle.new_tiles(size // 2, size), 1000))
    list(itertools.islice(merkle.tiles_of(size), 1000))


def _tile(files: dict[str, bytes], tile: merkle.TileId) -> bytes | None:
    return files.get(tile.path)


def mutate_tiles(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A checkpoint signed over the root that the changed tiles give, or over any size and root."""
    if rng.random() < 0.15:
        return havoc(data, rng, other)
    files = dict(change_members(split_archive(data), rng, split_archive(other)) if rng.random() < 0.5
                 else split_archive(data))  # fmt: skip
    tiles = [name for name in files if name.startswith("tile/")]
    if tiles and rng.random() < 0.5:
        name = rng.choice(tiles)
        files[name] = havoc(files[name], rng)
    if rng.random() < 0.7:
        size = rng.choice((3, 300, abs(number(rng)), 256, 257, 1 << 20))
        try:
            top = merkle.TileTree(size, lambda tile: _tile(files, tile)).frontier().root()
        except EvidenceError:
            top = bytes(32)
        text = note.Checkpoint(rng.choice((ORIGIN, ORIGIN, "x", "a/b/c")), size, top).text()
        files["checkpoint"] = sign(text, session_key(0), by_identity=rng.random() < 0.5)
    elif "chain.pem" in files and rng.random() < 0.3:
        files["chain.pem"] = mutate_certs(files["chain.pem"], rng, b"")
    return join_archive(list(files.items()))


def seeds_tiles() -> dict[str, bytes]:
    made = FixedCamera().new_session()
    found = {}
    for size in (3, 300):
        while made.frontier.size < size:
            made.event()
        with place.fresh() as root:
            made.write_log(root)
            files = sorted(p for p in root.rglob("*") if p.is_file())
            found[str(size)] = join_archive([(str(p.relative_to(root)), p.read_bytes()) for p in files])
    return found


TARGETS = (
    Target("pack", run_pack, mutate_pack, seeds_pack, share=30),
    Target("tiles", run_tiles, mutate_tiles, seeds_tiles, share=15),
)
