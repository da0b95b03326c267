"""An export opened for another key: each age header anew for the same file key, the payload and the camera's own header
untouched, so that what the camera signed still holds (docs/evidence-format.md, section 9, "Rewrapped").

No plaintext is made: a file key is taken out of one header and wrapped into another, in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from agent import durable
from agent.errors import AgentError, EvidenceError, Exit, KeyTrustError, UnreadableError, UsageError
from agent.evidence import report as reports
from agent.evidence.blobs import Blob
from agent.evidence.disclose import UNVOUCHED, Disclosure, recording_parts
from agent.evidence.logview import LogView
from agent.evidence.proof import Piece, rewrapped_readme, write_proof
from agent.evidence.rangeopen import camera_key, sealed_pair
from agent.evidence.rangeview import RangeView
from agent.evidence.result import SegmentResult
from agent.evidence.sealedfile import HEADER, camera_file
from agent.evidence.sources import PROOF, ProofMembers, Sources, export_members
from agent.evidence.told import REPORT, Told
from agent.evidence.verify import Report, verify
from agent.formats import age, pack

Progress = Callable[[str, int], None]


@dataclass
class RewrapResult:
    report: Report
    proofs: list[str] = field(default_factory=list)
    sealed_files: int = 0
    refused: bool = False
    problems: dict[str, AgentError] = field(default_factory=dict)
    """By export: why it was not rewrapped, though others were, with the next step."""
    locked: KeyTrustError | None = None

    @property
    def exit_status(self) -> Exit:
        if self.locked and self.report.all_read:
            return Exit.KEYS
        return self.report.exit_status or (Exit.EVIDENCE if self.problems else Exit.OK)

    def lines(self) -> Iterator[str]:
        yield from reports.lines(self.report)
        if self.refused:
            yield "nothing was rewrapped: what does not verify would not verify for others either"
        for name, problem in self.problems.items():
            yield f"{name} was not rewrapped: {problem.message}"
            if problem.hint:
                yield f"  next: {problem.hint}"
        yield from self.proofs
        if self.proofs:
            count = f"{self.sealed_files} sealed files have a new header each"
            yield f"{count}; payloads and the camera's headers are as they were"

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "proofs": self.proofs,
            "sealed_files": self.sealed_files,
            "refused": self.refused,
            "problems": {name: problem.message for name, problem in self.problems.items()},
            "next": {name: problem.hint for name, problem in self.problems.items()},
            "locked": self.locked is not None,
            "verification": reports.to_json(self.report),
        }


def rewrap(
    sources: Sources,
    root: x509.Certificate,
    identities: Sequence[age.Identity],
    recipients: Sequence[age.Recipient],
    out: Path,
    progress: Progress = lambda name, count: None,
) -> RewrapResult:
    """Verify the exports, then write each one's proof for `recipients` below `out`. A whole recording becomes a range
    of all its parts. One beside others that no identity opens is told of in its place. Raises UsageError, StorageError;
    KeyTrustError, EvidenceError or UnreadableError where none of them could be rewrapped.
    """
    if not sources.proofs:
        raise UsageError("no export among what was given", "name the NAME.proof.tar that `export` wrote")
    result = RewrapResult(verify(sources, root, None, progress))
    if not result.report.verified:
        result.refused = True
        return result
    durable.make_dir(out)
    job = _Rewrap(identities, recipients, progress)
    found = [(path, out / f"{name}{PROOF}", pieces) for path, name, pieces in _exports(result.report, sources, root)]
    _hold_apart([(path, target) for path, target, _ in found])
    failed: list[AgentError] = []
    for path, target, pieces in found:
        before = job.count
        try:
            write_proof(target, job.run(pieces))
        except (EvidenceError, KeyTrustError, UnreadableError) as err:
            job.count = before
            failed.append(err)
            result.problems[str(path)] = err
            result.locked = result.locked or (err if isinstance(err, KeyTrustError) else None)
        else:
            result.proofs.append(str(target))
    if failed and not result.proofs:
        raise failed[0]
    result.sealed_files = job.count
    return result


def _hold_apart(exports: Sequence[tuple[Path, Path]]) -> None:
    """Of each export and where it goes: nothing is written over, neither an export nor what came of another."""
    sources: dict[Path, Path] = {}
    for path, target in exports:
        if target.exists() and target.samefile(path):
            raise UsageError(f"{target} is the export itself", "name another directory with -o")
        if target in sources:
            said = f"{sources[target]} and {path} would both become {target}"
            raise UsageError(said, "rewrap them one at a time, each into a directory of its own (-o)")
        sources[target] = path


# -- what there is to rewrap ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A sealed file by its name: how to read it, with the camera's header where it has another already."""

    name: str
    read: Callable[[], tuple[bytes, bytes | None]]


_Pieces = Iterable[Piece | _Sealed]


def _exports(report: Report, sources: Sources, root: x509.Certificate) -> Iterator[tuple[Path, str, _Pieces]]:
    """(proof, name, its members as those of a range) of each export."""
    for view in report.ranges:
        yield view.source.blob.path, view.name, _of_range(view)
    for log in report.logs:
        begins = _first_segments(log, sources)
        for recording, state in log.watch.recordings.items():
            start = int(recording[1:11])
            of = (path for path, r in begins.items() if r.recording == recording or r.first <= start < r.end)
            if state.parts and (path := next(of, None)) is not None:
                yield path, path.name.removesuffix(PROOF), _of_segments(log, recording, path, sources, root)


def _first_segments(log: LogView, sources: Sources) -> dict[Path, SegmentResult]:
    """Of each proof the segment that has the start of its recording, or is of it where that was not given. In its last
    ones the next recording may begin, which it is no export of.
    """
    known, found = {r.name: r for r in log.results}, dict[Path, SegmentResult]()
    for blob in (blob for blob in sources.segments if blob.start):
        if (result := known.get(blob.stem)) is not None:
            found[blob.path] = min(found.get(blob.path, result), result, key=lambda one: one.first)
    return found


def _of_range(view: RangeView) -> Iterator[Piece | _Sealed]:
    for name, blob in view.source.members.items():
        if name == "README.txt":
            yield Piece(name, rewrapped_readme(view.name, _example(view)))
        elif name == pack.INIT or (name.startswith("entries/") and name.endswith(".age")):
            yield _sealed(view.source, name)
        elif not name.endswith(f".{HEADER}"):
            yield Piece(name, blob)


def _sealed(source: ProofMembers, name: str) -> _Sealed:
    return _Sealed(name, lambda: sealed_pair(source, name))


def _example(view: RangeView) -> int:
    """The index of the first part, to show commands with."""
    assert view.told is not None
    return min(i for i, leaf in view.proven.items() if leaf.part == view.told.first)


def _of_segments(
    log: LogView, recording: str, path: Path, sources: Sources, root: x509.Certificate
) -> Iterator[Piece | _Sealed]:
    parts = sorted(recording_parts(log, recording), key=lambda p: p.leaf.part)
    disclosure = Disclosure(log, recording, parts, sources, root)
    if disclosure.unvouched is not None:
        hint = "export a time of it from its segments (--from), and rewrap that"
        raise EvidenceError(f"leaf {disclosure.unvouched} {UNVOUCHED}", hint)
    name = path.name.removesuffix(PROOF)
    text = rewrapped_readme(name, parts[0].index)
    told = _told(path, recording, parts[0].leaf.part, parts[-1].leaf.part)
    for piece in disclosure.pieces(told, True, text):
        if isinstance(piece.content, Blob) and piece.name.endswith(".age"):
            yield _Sealed(piece.name, _whole(piece.content))
        else:
            yield piece


def _whole(blob: Blob) -> Callable[[], tuple[bytes, bytes | None]]:
    return lambda: (blob.read(pack.MAX_SEALED), None)


def _told(path: Path, recording: str, first: int, last: int) -> dict[str, Any]:
    """What the export's report says of its MP4, where it is of these parts."""
    told: dict[str, Any] = {"recording": recording, "mp4_sha256": "", "first_part": first, "last_part": last}
    for member in export_members(Blob(path, path.name, 0, path.stat().st_size)):
        if member.name == REPORT:
            data = member.read(Told.MAX_BYTES)
            try:
                found = Told.parse(data)
            except EvidenceError:
                break
            if (found.recording, found.first, found.last) == (recording, first, last):
                told |= {"mp4_sha256": found.sha256, "shift_s": json.loads(data)["export"].get("shift_s", 0)}
    return told


# -- the work ------------------------------------------------------------------------------------------------------


class _Rewrap:
    def __init__(
        self, identities: Sequence[age.Identity], recipients: Sequence[age.Recipient], progress: Progress
    ) -> None:
        self._identities, self._recipients, self._progress = identities, recipients, progress
        self.count = 0

    def run(self, pieces: _Pieces) -> Iterator[Piece]:
        """One sealed file in memory at a time. Raises EvidenceError, KeyTrustError."""
        for piece in pieces:
            if isinstance(piece, Piece):
                yield piece
            else:
                yield from self._sealed(piece)

    def _sealed(self, sealed: _Sealed) -> Iterator[Piece]:
        data, header = sealed.read()
        try:
            key = camera_key(data, header, self._identities)
            own = camera_file(data, header)
            size = age.split_header(own)
            fresh = age.rewrap(own, key, self._recipients)
        except KeyTrustError as err:
            raise KeyTrustError(f"{sealed.name}: {err.message}", err.hint) from None
        except EvidenceError as err:
            raise EvidenceError(f"{sealed.name}: {err.message}", err.hint) from None
        yield Piece(sealed.name, fresh + own[size:])
        yield Piece(sealed.name.removesuffix("age") + HEADER, own[:size])
        self.count += 1
        self._progress(sealed.name, len(data))
