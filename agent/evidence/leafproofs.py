"""The inclusion proof of each leaf of a recording as a C2SP tlog-proof of its own, with what somebody needs who checks
one by another's program. No key is asked for (docs/evidence-format.md, section 9, "One leaf by itself").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from agent import durable
from agent.errors import UsageError
from agent.evidence import report as reports
from agent.evidence.disclose import Disclosure, recording_parts
from agent.evidence.rangehead import STATION, station_of
from agent.evidence.rangeview import PROOF_SUFFIX
from agent.evidence.sources import Sources
from agent.evidence.trust import Trust
from agent.evidence.verify import Report, verify
from agent.formats import note, pack

VKEYS = "keys.vkey"
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class LeafProofs:
    """Where those of one recording lie, of which leaves, and the head they lead to, in words."""

    recording: str
    directory: str
    leaves: tuple[int, ...]
    head: str


@dataclass
class ProofsResult:
    report: Report
    written: list[LeafProofs] = field(default_factory=list)
    refused: bool = False

    def lines(self) -> list[str]:
        told = list(reports.lines(self.report))
        if self.refused:
            told.append("no proof was written: a leaf of evidence that does not verify is not to be shown by itself")
        for one in self.written:
            count = f"{len(one.leaves)} proof" + ("s" if len(one.leaves) != 1 else "")
            told.append(f"{one.directory}: {count} of {one.recording}, to {one.head}")
        return told

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "proofs": [{k: getattr(one, k) for k in LeafProofs.__slots__} for one in self.written],
            "refused": self.refused,
            "verification": reports.to_json(self.report),
        }


def write_proofs(
    sources: Sources,
    root: x509.Certificate,
    out: Path,
    recording: str | None = None,
    wanted: Collection[int] = (),
    head: Path | None = None,
    progress: Progress = lambda name, count: None,
) -> ProofsResult:
    """Verify, then write the proofs of the `wanted` leaves, or of all, of each recording below `out`. Raises
    UsageError, EvidenceError where nothing signed is led to, KeyTrustError, StorageError.
    """
    if sources.ranges and not sources.segments:
        name = sources.ranges[0].blob.name
        raise UsageError(f"{name} is of a range, which holds a proof of each leaf", f"tar -xf {name}: entries/")
    result = ProofsResult(verify(sources, root, head, progress))
    if not result.report.verified:
        result.refused = True
        return result

    def disclosures() -> Iterator[tuple[str, Disclosure, tuple[int, ...]]]:
        """One in memory at a time; those of which something is asked."""
        for log in result.report.logs:
            for name, state in log.watch.recordings.items():
                if state.parts and recording in (None, name):
                    parts = sorted(recording_parts(log, name), key=lambda part: part.leaf.part)
                    shown = Disclosure(log, name, parts, sources, root, head)
                    if indexes := tuple(i for i in shown.indexes if not wanted or i in wanted):
                        yield name, shown, indexes

    found = {index for *_, indexes in disclosures() for index in indexes} if wanted else set()
    if missing := sorted(set(wanted) - found):
        of = recording or "a recording that was given"
        raise UsageError(f"no leaf of {of}: {', '.join(map(str, missing))}", "leave out --leaf, or name others")
    for name, shown, indexes in disclosures():
        result.written.append(_written(out / name, shown, indexes, root))
    if not result.written:
        raise UsageError(f"{recording or 'a recording'} is not among what was given", "leave out --recording")
    return result


def _written(place: Path, shown: Disclosure, indexes: tuple[int, ...], root: x509.Certificate) -> LeafProofs:
    durable.make_dir(place)
    if durable.names(place):
        # Proofs to another head, beside keys that did not sign it, would be taken for false.
        raise UsageError(f"{place} is not empty", "name another directory with -o")
    _write_keys(shown, root, place)
    for index in indexes:
        leaf, proof = shown.proven(index)
        durable.write_copy(place / f"{index:010d}.json", leaf)
        durable.write_copy(place / f"{index:010d}.{PROOF_SUFFIX}", proof)
    return LeafProofs(place.name, str(place), indexes, shown.anchor.head.told)


def _write_keys(shown: Disclosure, root: x509.Certificate, place: Path) -> None:
    """Verifier keys of the signatures on the head as C2SP has them, and the certificates that vouch for them."""
    anchor = shown.anchor
    session = Trust(root).learn(anchor.chain)
    keys = [note.vkey(anchor.head.point.origin, note.ED25519, session.key)]
    durable.write_file(place / pack.CHAIN, anchor.chain)
    if anchor.station is not None:
        station, key = station_of(anchor.station, root)
        keys.append(note.vkey(station, note.COSIGNATURE, key))
        durable.write_file(place / STATION, anchor.station)
    durable.write_file(place / VKEYS, "".join(f"{key}\n" for key in keys).encode("ascii"))
