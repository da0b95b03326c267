"""Targets: a directory of everything, as a camera, a station or a court holds it; and the proof of a range."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from functools import cache
from pathlib import Path

from agent.errors import AgentError, EvidenceError, KeyTrustError, StorageError, UsageError
from agent.evidence import report as reports
from agent.evidence.blobs import blob_of
from agent.evidence.decrypt import decrypt
from agent.evidence.films import check_films
from agent.evidence.naming import directories
from agent.evidence.opening import load_identities, load_recipients
from agent.evidence.rangeopen import open_ranges
from agent.evidence.sources import PROOF, collect, export_members
from agent.evidence.stamp import load_stamp
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats import certs, merkle, note, pack, tlogproof
from agent.formats.leaf import Kind
from tests.fuzz import place, stories
from tests.fuzz.engine import CORPUS, Target, demand, load
from tests.fuzz.exports import export_of, export_stories
from tests.fuzz.keys import IDENTITIES, ORIGIN, RECEIPT_KEY, FixedCamera, fixed_agency, session_key, sign, whole_camera
from tests.fuzz.lives import life_or_none
from tests.fuzz.mutate import change_json, havoc, number
from tests.fuzz.repair import as_json, line, sealed_of
from tests.fuzz.shapes import Member, change_members, join_archive, split_archive
from tests.fuzz.targets_files import change_member, mutate_tiles
from tests.fuzz.targets_log import BODIES, seeds_timestamp
from tests.fuzz.targets_notes import mutate_note, mutate_receipt, purge_of, revocation_of
from tests.fuzz.targets_segment import Originals, demand_report, mutate_segment, run_accounts

HEAD, ROOT, KEYS = stories.HEAD, "root.pem", "keys"
"""Members of a tree that are options of the command, not files in the directory."""


# -- a directory ---------------------------------------------------------------------------------------------------


@cache
def originals() -> Originals:
    held = [data for name, data in load(CORPUS / "tree").items() if name.startswith("seed-")]
    return Originals([content for data in held for content in _segments(split_archive(data))])


def _segments(members: list[Member]) -> list[bytes]:
    found = []
    for name, content in members:
        if name.endswith(PROOF):
            found += _segments(split_archive(content))
        elif name.endswith(".tar"):
            found.append(content)
    return found


def run_tree(data: bytes) -> None:
    """Findings or a plain error; what verifies holds no segment that nobody signed."""
    members = split_archive(data)
    options = {name: content for name, content in members if name in (HEAD, ROOT, KEYS)}
    with place.fresh() as root:
        place.lay(root / "in", [m for m in members if m[0] not in options])
        for name, content in options.items():
            (root / name).write_bytes(content)
        with contextlib.suppress(UsageError, StorageError, KeyTrustError):
            _verify_tree(root, options, members)


def _verify_tree(root: Path, options: dict[str, bytes], members: list[Member]) -> None:
    anchor = load_root(root / ROOT) if ROOT in options else fixed_agency().root
    for name in options:
        with contextlib.suppress(KeyTrustError):
            load_identities(root / name)
        with contextlib.suppress(KeyTrustError):
            load_recipients([], root / name)
        with contextlib.suppress(UsageError):
            load_stamp(root / name, root / ROOT if ROOT in options else None)
    sources = collect([root / "in"])
    report = verify(sources, anchor, root / HEAD if HEAD in options else None)
    films = check_films(report, sources, anchor)
    demand_report(report)
    run_accounts(report)
    names = [name for _, name in directories([*sources.segments, *sources.ranges])[0]]
    demand(len(names) == len(set(names)), "two files are opened into one directory")
    json.dumps(reports.to_json(report, films)).encode("ascii")
    demand(all(film.line() is None or str(film.line()).isprintable() for film in films), "a film can steer a terminal")
    if report.verified and ROOT not in options:
        said = {finding.what for finding in report.findings}
        for blob in sources.segments:
            if blob.path.parent.name != "open":
                originals().demand_same(blob.read(1 << 20), said)


def mutate_tree(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Files moved, renamed, left out; one of them changed as its own target would."""
    members = split_archive(data)
    if rng.random() < 0.4 and (life := life_or_none(rng)):
        members = life
        if rng.random() < 0.7:
            return join_archive(members)
    if rng.random() < 0.05 or not members:
        return havoc(data, rng, other)
    if rng.random() < 0.1:
        members = [(name, _renamed(name, content, rng)) for name, content in members]
    if rng.random() < 0.4:
        members = change_members(members, rng, split_archive(other))
    if members and rng.random() < 0.75:
        at = rng.randrange(len(members))
        members[at] = (members[at][0], _change_file(*members[at], rng, members))
    if rng.random() < 0.1:
        members.append(
            (HEAD, rng.choice([m[1] for m in members if m[0].endswith((".receipt", "checkpoint"))] or [b""]))
        )
    return join_archive(members)


def _renamed(name: str, content: bytes, rng: random.Random) -> bytes:
    """A segment whose sessions nobody vouches for, and some notes of which are of another log."""
    if not name.endswith(".tar") or name.endswith(PROOF) or rng.random() < 0.4:
        return content
    other = f"{ORIGIN[:-1]}9\n".encode()
    members, share = split_archive(content), rng.choice((0.3, 1))
    for at, (member, held) in enumerate(members):
        if member == pack.CHAIN:
            members[at] = (member, held.replace(b"M", b"N", 1))
        elif member.endswith(".note") and rng.random() < share:
            members[at] = (member, held.replace(f"{ORIGIN}\n".encode(), other, 1))
    return join_archive(members)


def _change_file(name: str, content: bytes, rng: random.Random, members: list[Member]) -> bytes:
    if name.endswith(PROOF):
        return mutate_tree(content, rng, b"") if rng.random() < 0.6 else mutate_range(content, rng, b"")
    if name.endswith(".tar"):
        return mutate_segment(content, rng, rng.choice(members)[1])
    if name.endswith((".receipt", ".revocation", ".purge")) or (name == HEAD and rng.random() < 0.5):
        return mutate_receipt(content, rng, b"")
    if name.endswith(".vouched"):
        proof, _, checkpoint = content.partition(b"\n\n")
        proof = havoc(proof, rng) if rng.random() < 0.5 else proof
        return proof + b"\n\n" + (mutate_note(checkpoint, rng, b"") if rng.random() < 0.5 else checkpoint)
    if name == "report.json":
        value = as_json(content)
        return line(value) if value and rng.random() < 0.1 else havoc(content, rng)
    if name.endswith("checkpoint"):
        files = dict(split_archive(mutate_tiles(join_archive([("checkpoint", content)]), rng, b"")))
        return files.get("checkpoint", b"")
    return change_member(name, content, rng)


def seeds_tree() -> dict[str, bytes]:
    ranged = seeds_range()["cosigned"]
    with place.fresh() as root:
        made = whole_camera()
        spool = root / "spool"
        made.write(spool / "sealed")
        (spool / "delivered").mkdir()
        made.segments[0].write(spool / "open")
        made.write_log(spool / "log" / "1")
        (spool / "log" / "1" / "chain").mkdir()
        (spool / "log" / "1" / "chain" / "x.pem").write_bytes(made.chain)
        (spool / "a.receipt").write_bytes(made.receipt(made.segments))
        picked = root / "picked"
        made.segments[1].write(picked)
        made.write(root / "all")
        exported = root / "exported"
        export_of(root / "all", exported)
        found = {name: _tree(root / name) for name in ("spool", "picked", "exported")}
    agency = fixed_agency()
    found["picked"] += [(HEAD, made.checkpoint(made.frontier.size)), (ROOT, certs.pem([agency.root])),
                        (KEYS, b"# \n" + IDENTITIES[0].to_string().encode())]  # fmt: skip
    found["stamped"] = [*found["picked"][:1], (HEAD, seeds_timestamp()["granted"]), (ROOT, certs.pem([agency.root])),
                        (KEYS, IDENTITIES[0].recipient.to_string().encode())]  # fmt: skip
    found["life"] = _life()
    found["epochs"] = _epochs()
    found |= _stories()
    found["ranged"] = [("x.proof.tar", ranged), ("a.revocation", revocation_of(made)),
                       (HEAD, made.checkpoint(made.frontier.size, True))]  # fmt: skip
    return {name: join_archive(members) for name, members in found.items()}


def _stories() -> dict[str, list[Member]]:
    told = [stories.purged, stories.promised, stories.card, stories.second_halves, stories.left_over, stories.station]
    told += [stories.healed, stories.silent, stories.vouched, stories.holes, stories.counted, stories.strange]
    told += [stories.deep, stories.kept_heads, stories.emptied_card, stories.emptied_station]
    return {story.__name__.replace("_", "-"): story() for story in told} | export_stories()


def _epochs() -> list[Member]:
    """A log that ended before its card was damaged, the one that follows it, a receipt, a revocation, a purge note."""
    first = whole_camera()
    made = first.next_epoch()
    held = first.segments[1].to_bytes()
    kept = {"epoch": 1, "size": len(held), "sha256": hashlib.sha256(held).hexdigest(), "whole": True}
    damaged = {"segment": first.segments[0].name, **kept, "whole": False}
    made.event(Kind.KEPT, facts={"segments": [{"segment": first.segments[1].name, **kept}, damaged]})
    made.shutdown()
    files = [(f"{s.name}.tar", s.to_bytes()) for s in (*first.segments, *made.segments)]
    said = [("a.receipt", first.receipt(first.segments[:1])), ("a.revocation", revocation_of(first))]
    return [*files, *said, ("a.purge", purge_of(first))]


def _life() -> list[Member]:
    """Two boots, one cut off in a recording; a fork beside it; a new epoch's first leaf."""
    made = FixedCamera(seed=5).new_session()
    made.start()
    made.part(size=20)
    made.rotate()
    made.part(size=20)
    made.crash()
    made.event(Kind.DELETION, facts={"segments": [{"segment": made.segments[1].name, "sha256": "", "receipt": ""}]})
    made.new_session(same_boot=True)
    for body in BODIES:
        made.event(Kind.EVENT, body)
    made.shutdown()
    return [(f"{segment.name}.tar", segment.to_bytes()) for segment in made.segments]


def _tree(directory: Path) -> list[Member]:
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.parent.name != "all")
    return [(str(p.relative_to(directory)), p.read_bytes()) for p in files if p.name != "report.json"]


# -- a range -------------------------------------------------------------------------------------------------------


@cache
def originals_of_range() -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = {}
    for name, data in load(CORPUS / "range").items():
        if name.startswith("seed-"):
            for member, content in split_archive(data):
                found.setdefault(member, set()).add(content)
    return found


def run_range(data: bytes) -> None:
    """Findings; what verifies under a checkpoint of ours holds our entries, and what a key opens was sealed."""
    with place.fresh() as root:
        path = root / f"x{PROOF}"
        path.write_bytes(data)
        with contextlib.suppress(ValueError):
            members = {m.name: m.read(1 << 20) for m in export_members(blob_of(path))}
            demand(bool(members) or data == bytes(1024), "a proof without members that is not the empty one")
        with contextlib.suppress(UsageError, KeyTrustError):
            sources = collect([path])
            report = verify(sources, fixed_agency().root)
            verified = report.verified
            report.findings += open_ranges(report, IDENTITIES)
            demand_report(report)
            done = decrypt([], IDENTITIES, root / "out", ranges=sources.ranges)
            demand(all(shown.isprintable() for shown in done.lines()), "a line of decrypt can steer a terminal")
            json.dumps(done.to_json()).encode("ascii")
            if verified and report.ranges:
                _demand_ours(members)
    for name, content in split_archive(data)[:40]:
        if name.endswith("tlog-proof"):
            with contextlib.suppress(EvidenceError):
                demand(
                    tlogproof.InclusionProof.parse(content).to_bytes() == content,
                    "an inclusion proof has two spellings",
                )
        elif name.endswith("consistency"):
            with contextlib.suppress(EvidenceError):
                told = tlogproof.consistency_text(tlogproof.parse_consistency(content))
                demand(told == content, "a consistency proof has two spellings")


def _demand_ours(members: dict[str, bytes]) -> None:
    ours = originals_of_range()
    if members.get("checkpoint") in ours["checkpoint"] and not any(n.endswith(".header") for n in members):
        for name, content in members.items():
            if name.startswith("entries/") or name == "init.age":
                demand(content in ours.get(name, set()), f"{name} verifies, and nobody signed it")


def mutate_range(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """One entry changed; its leaf fitted, and the checkpoint signed over the root that its path gives."""
    members = split_archive(data)
    if rng.random() < 0.1 or not members:
        return havoc(data, rng, other)
    files = dict(members)
    if rng.random() < 0.4:
        files = dict(change_members(members, rng, split_archive(other)))
    name = rng.choice(list(files) or [""])
    if rng.random() < 0.15 and (told := as_json(files.get("report.json", b""))):
        files["report.json"] = line(change_json(told, rng))
    if name and rng.random() < 0.8:
        files[name] = change_member(name, files[name], rng)
        if rng.random() < 0.5:
            _lead_again(files, name, rng)
    if rng.random() < 0.1:
        files["entries/0000000003.header"] = havoc(files.get("entries/0000000003.age", b"x")[:300], rng)
    trailer = rng.choice((bytes(1024), bytes(1024), bytes(1024), bytes(512), b"", bytes(2048)))
    return join_archive(list(files.items()), trailer)


def _lead_again(files: dict[str, bytes], name: str, rng: random.Random) -> None:
    """Leaf, root, checkpoint and every proof's copy of it."""
    stem = name[:18]
    leaf, proof = as_json(files.get(f"{stem}.json", b"")), files.get(f"{stem}.tlog-proof", b"")
    if leaf is None:
        return
    leaf["sealed"] = sealed_of(files.get(f"{stem}.age", b""))
    if rng.random() < 0.7:
        files[f"{stem}.json"] = line(leaf)
    with contextlib.suppress(AgentError):
        parsed = tlogproof.InclusionProof.parse(proof)
        size = note.parse_checkpoint(note.parse(files.get("checkpoint", b"")).text).size
        size = size if rng.random() < 0.9 else abs(number(rng))
        root = root_by_path(files[f"{stem}.json"], parsed.index, size, parsed.hashes)
        signed = sign(note.Checkpoint(ORIGIN, size, root).text(), session_key(0), by_identity=rng.random() < 0.5)
        if rng.random() < 0.3:
            text = note.parse(signed).text
            cosigned = note.cosign(text, "station.test", RECEIPT_KEY, abs(number(rng)) % (1 << 64))
            signed = note.parse(signed).with_signatures([cosigned]).to_bytes()
        old, files["checkpoint"] = files["checkpoint"], signed
        for other in files:
            if other.endswith("tlog-proof"):
                files[other] = files[other].replace(old, signed)


def root_by_path(leaf: bytes, index: int, size: int, path: tuple[bytes, ...]) -> bytes:
    """The root that this leaf and path lead to."""
    value, last = merkle.leaf_hash(leaf), size - 1
    for other in path:
        if index & 1 or index == last:
            value = merkle.node_hash(other, value)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            value = merkle.node_hash(value, other)
        index, last = index >> 1, last >> 1
    return value


def _longer() -> FixedCamera:
    """A recording of six parts with an event between them."""
    made = FixedCamera(seed=9).new_session()
    made.start()
    for part in range(6):
        made.part(size=10)
        if part == 3:
            made.event()
    made.stop()
    made.shutdown()
    return made


def seeds_range() -> dict[str, bytes]:
    from agent.evidence.times import parse_time

    found = {}
    with place.fresh() as root:
        longer = _longer()
        longer.write(root / "longer")
        span = {
            "begin": parse_time("2026-03-01T08:00:07.6Z", "--from"),
            "end": parse_time("2026-03-01T08:00:09Z", "--to"),
        }
        found["longer"] = export_of(root / "longer", root / "zero", **span).read_bytes()
        made = whole_camera()
        made.write(root / "all")
        times = {
            "begin": parse_time("2026-03-01T00:00:00Z", "--from"),
            "end": parse_time("2027-03-01T00:00:00Z", "--to"),
        }
        found["camera"] = export_of(root / "all", root / "one", **times).read_bytes()
        (root / "all" / "a.receipt").write_bytes(made.receipt(made.segments))
        found["cosigned"] = export_of(root / "all", root / "two", **times).read_bytes()
        part = next(e.index for s in made.segments for e in s.entries if b'"class":"media"' in e.leaf)
        (root / "all" / "a.receipt").write_bytes(made.receipt(made.segments, size=part + 1))
        found["earlier"] = export_of(root / "all", root / "three", **times).read_bytes()
    return found


TARGETS = (
    Target("tree", run_tree, mutate_tree, seeds_tree, cpu_s=20, share=2, beside=("segment", "range")),
    Target("range", run_range, mutate_range, seeds_range, cpu_s=10, share=20),
)
