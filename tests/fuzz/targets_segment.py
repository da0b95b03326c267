"""Target: one segment, verified and opened as a whole."""

from __future__ import annotations

import contextlib
import json
import random
from functools import cache
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from agent.errors import EvidenceError, KeyTrustError
from agent.evidence import report as reports
from agent.evidence.decrypt import decrypt
from agent.evidence.findings import What, merged
from agent.evidence.ledger import accounts_of
from agent.evidence.sources import collect
from agent.evidence.verify import Report, verify
from agent.formats import note, pack
from agent.formats.leaf import Kind
from tests.fuzz import place
from tests.fuzz.engine import CORPUS, Target, demand, load
from tests.fuzz.keys import IDENTITIES, FixedCamera, fixed_agency, whole_camera
from tests.fuzz.mutate import change_json, havoc
from tests.fuzz.repair import as_json, line, repaired
from tests.fuzz.shapes import change_members, join_archive, split_archive
from tests.fuzz.targets_files import TRAILERS, change_member

# -- what must hold of any report ----------------------------------------------------------------------------------


def demand_report(report: Report) -> None:
    """Every line can be shown on a terminal, and all of it is JSON."""
    for shown in reports.lines(report):
        demand(shown.isprintable(), "a line of the report can steer a terminal")
    json.dumps(reports.to_json(report)).encode("ascii")
    demand(merged(report.findings) == report.findings, "findings are merged twice")


def run_accounts(report: Report) -> None:
    """What the camera did with each second, with keys and without."""
    for identities in ((), IDENTITIES):
        with contextlib.suppress(KeyTrustError):
            accounts = accounts_of(report, identities)
            for shown in reports.lines(report, (), accounts):
                demand(shown.isprintable(), "a line of the accounts can steer a terminal")
            json.dumps(reports.to_json(report, (), accounts)).encode("ascii")
            for powered in (p for log in accounts for p in log.boots):
                spans = [(a.begin_ns, a.end_ns) for a in powered.accounts]
                demand(all(a[1] == b[0] for a, b in pairwise(spans)), "accounts do not tile a boot")


class Originals:
    """What valid inputs hold, against which an accepted one is held."""

    def __init__(self, segments: list[bytes]) -> None:
        self.segments, self._members = set(segments), [split_archive(data) for data in segments]
        members = [member for archive in self._members for member in archive]
        self.notes = {content for name, content in members if name.endswith(".note")}
        self.chains = {content for name, content in members if name == pack.CHAIN}
        self.points = {r: s for content in self.notes for r, s in _ecdsa(content)}

    def demand_same(self, data: bytes, said: set[What]) -> None:
        """Of a segment without a failure: it is one of ours to the last byte, or somebody who holds the keys signed.
        What `verify` has `said` that it does not prove may be otherwise: the entries cut whole from a log's end, and an
        init that no leaf here names.
        """
        members = split_archive(data)
        notes = [content for name, content in members if name.endswith(".note")]
        chain = next((content for name, content in members if name == pack.CHAIN), b"")
        if all(content in self.notes for content in notes) and chain in self.chains:
            named = [one for one in members if one[0] != pack.INIT or What.UNCHECKED not in said]
            # One spelling of what is left: its headers, and nothing behind its trailer.
            begins = join_archive(members) == data and any(_is_in(named, ours) for ours in self._members)
            cut = bool(said & {What.TAIL_UNPROVEN, What.UNCHECKED}) and begins
            demand(data in self.segments or cut, "a segment verifies that nobody signed")
        for content in notes:
            for r, s in _ecdsa(content):
                demand(self.points.get(r, s) == s, "an ECDSA signature has two spellings")


def _ecdsa(data: bytes) -> list[tuple[int, int]]:
    """The numbers of each ECDSA signature in a note."""
    found = []
    with contextlib.suppress(EvidenceError):
        for signature in note.parse(data).signatures:
            with contextlib.suppress(ValueError):
                found.append(decode_dss_signature(signature.value))
    return found


# -- the target ----------------------------------------------------------------------------------------------------


@cache
def originals() -> Originals:
    return Originals([data for name, data in load(CORPUS / "segment").items() if name.startswith("seed-")])


def run_segment(data: bytes) -> None:
    """Findings, never an exception; what verifies is what was written; what is opened stays inside its directory."""
    with place.fresh() as root:
        (root / "in").mkdir()
        path = root / "in" / f"{stem_of(data)}.tar"
        path.write_bytes(data)
        sources = collect([path])
        report = verify(sources, fixed_agency().root)
        demand_report(report)
        if report.verified:
            originals().demand_same(data, {finding.what for finding in report.findings})
        run_accounts(report)
        with contextlib.suppress(KeyTrustError):
            done = decrypt(sources.segments, IDENTITIES, root / "out")
            demand(all(shown.isprintable() for shown in done.lines()), "a line of decrypt can steer a terminal")
            json.dumps(done.to_json()).encode("ascii")
        _demand_inside(root)


def _is_in(members: list[tuple[str, bytes]], ours: list[tuple[str, bytes]]) -> bool:
    """Whether these are the first of ours, but for an init that they may lack."""
    without = [one for one in ours if one[0] != pack.INIT]
    return members in (ours[: len(members)], without[: len(members)])


def _demand_inside(root: Path) -> None:
    for path in (root / "out").rglob("*"):
        demand(path.is_dir() or path.suffix in (".mp4", ".m4s", ".json"), "a file of another kind was written")


def stem_of(data: bytes) -> str:
    """The name that the header gives the file, or any."""
    for name, content in split_archive(data)[:2]:
        if name == pack.HEADER:
            with contextlib.suppress(EvidenceError):
                header = pack.SegmentHeader.parse(content)
                number = f"{header.seq:04d}"[:4]
                return f"{header.recording}-{number}" if header.recording else f"e{header.first:010d}-00000000"[:20]
    return "r0000000001-446fcec2-0000"


def mutate_segment(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Members changed with sizes and checksums that fit; then leaves, roots and signatures made right again, or not."""
    if rng.random() < 0.15:
        return havoc(data, rng, other)
    members = split_archive(data)
    if not members:
        return havoc(data, rng, other)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rng.random() < 0.35 or not members:
            members = change_members(members, rng, split_archive(other))
            continue
        at = rng.randrange(len(members))
        name, content = members[at]
        if name.endswith(".json") and rng.random() < 0.7:
            value = as_json(content)
            members[at] = (name, line(change_json(value, rng)) if value else content)
        else:
            members[at] = (name, change_member(name, content, rng))
    if rng.random() < 0.6:
        members = repaired(members, rng)
    joined = join_archive(members, rng.choice(TRAILERS) if rng.random() < 0.1 else pack.TRAILER)
    return joined if rng.random() < 0.9 else havoc(joined, rng, other)


def seeds_segment() -> dict[str, bytes]:
    made = whole_camera()
    cut = FixedCamera(seed=3).new_session()
    cut.start()
    cut.part(size=20)
    cut.crash()
    cut.event(Kind.DELETION, facts={"segments": [{"segment": "e0000000000-0", "sha256": "", "receipt": ""}]})
    cut.shutdown()
    foreign = FixedCamera(fixed_agency("elsewhere"), seed=2).new_session().shutdown()
    found = {f"own-{n}": s for n, s in enumerate(made.segments[:2])} | {
        "cut": cut.segments[-1],
        "cut-media": cut.segments[1],
    }
    return {name: segment.to_bytes() for name, segment in (found | {"foreign": foreign.segments[0]}).items()}


TARGETS = (Target("segment", run_segment, mutate_segment, seeds_segment, cpu_s=10, share=8),)
