"""One recording as one playable MP4, and its proof."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import IO

from cryptography import x509

from agent import durable
from agent.errors import EvidenceError, KeyTrustError
from agent.evidence import remux
from agent.evidence import report as reports
from agent.evidence.blobs import blob_of
from agent.evidence.disclose import UNVOUCHED, Disclosure, Part, recording_parts
from agent.evidence.findings import What, told_of
from agent.evidence.logview import LogView
from agent.evidence.opening import SegmentOpener
from agent.evidence.proof import Piece, range_readme, readme, report_bytes, write_proof
from agent.evidence.purged import told_for
from agent.evidence.result import SegmentResult
from agent.evidence.sources import PROOF, Sources
from agent.evidence.stamp import Stamp
from agent.evidence.times import moment
from agent.evidence.verify import Report
from agent.evidence.wholeproof import WholeProof, inside
from agent.formats import age, certs
from agent.formats import leaf as leaves
from agent.model import NS

Progress = Callable[[str, int], None]
MOST_GAPS = 10_000
MOST_FINDINGS = 1_000
"""Of what was verified, as many are told in a proof's report.json."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`begin` and `end` (UTC) choose whole parts; the first is moved back to one that can be decoded alone. These, or a
    `stamp`, make the proof one of a range.
    """

    out: Path
    recording: str | None = None
    begin: datetime | None = None
    end: datetime | None = None
    even_if_damaged: bool = False
    stamp: Stamp | None = None

    @property
    def ranged(self) -> bool:
        return any(x is not None for x in (self.begin, self.end, self.stamp))


@dataclass
class Exported:
    """One recording's files. `gaps` are part numbers that are not in the MP4 though they belong there; of those that
    were not given at all, the first MOST_GAPS.
    """

    recording: str
    mp4: str = ""
    proof: str = ""
    mp4_sha256: str = ""
    parts: int = 0
    first_part: int | None = None
    last_part: int | None = None
    starts: str = ""
    shift_s: float = 0.0
    fragmented: str = ""
    gaps: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        for problem in self.problems:
            yield f"FAIL {problem}"
        if self.gaps:
            shown = ", ".join(map(str, self.gaps[:20])) + (", ..." if len(self.gaps) > 20 else "")
            yield f"FAIL gap: parts {shown} are not in the MP4; what follows keeps its time"
        if self.mp4:
            yield f"{self.mp4}: {self.parts} parts, begins {self.starts}" + (
                f", cut from {self.shift_s:.3f} s into the recording" if self.shift_s else ""
            )
        if self.fragmented:
            yield f"  the parts as they are (fragmented MP4): {self.fragmented}"
        if self.proof:
            yield self.proof


class RecordingExport:
    """Writes one recording's files. `run` once."""

    def __init__(
        self,
        log: LogView,
        name: str,
        sources: Sources,
        root: x509.Certificate,
        identities: Sequence[age.Identity],
        options: ExportOptions,
        head: Path | None,
        progress: Progress,
    ) -> None:
        self._log, self._name, self._sources, self._root = log, name, sources, root
        self._identities, self._options, self._head, self._progress = identities, options, head, progress
        self._results = [r for r in log.results if r.recording == name]
        # Outside open/ an open segment, without trailer, would be one cut short; one not read whole lacks something.
        # And of one that begins at the end of another export nobody asked for the rest.
        partial = log.left_out(state := log.watch.recordings[name]) or log.went_on(state)
        self._ranged = options.ranged or partial or any(r.blob.is_open or r.unread for r in inside(log, name))
        self._stem = name
        self._lacks: list[str] = []
        self.exported = Exported(name)

    def run(self, report: Report) -> Exported | None:
        """None where no part lies in the time asked for, and each has a date."""
        known = sorted(recording_parts(self._log, self._name), key=lambda p: p.leaf.part)
        parts, out = self._select(known), self.exported
        if not parts:
            return out if out.problems else None
        self._lacks = list(self._held_elsewhere(report, known, parts))
        disclosure, parts = self._disclosed(parts)
        self._describe(parts, report.verified)
        aside = self._options.out / f".{self._name}.{os.getpid()}.parts.tmp"
        try:
            self._write_parts(aside, parts)
            if out.parts:
                here = [part.leaf for part in parts if part.leaf.part not in out.gaps]
                end_ns = max(leaf.start_ns + leaf.duration_ns for leaf in here)
                begin_ns = parts[0].leaf.start_ns if out.shift_s else 0
                self._write_mp4(aside, Fraction(end_ns, NS), Fraction(begin_ns, NS))
        finally:
            aside.unlink(missing_ok=True)
        if disclosure is not None:
            self._write_range(disclosure, report.verified)
        else:
            self._write_proof(report, parts[0])
        return out

    # -- which parts -----------------------------------------------------------------------------------------------

    def _select(self, parts: list[Part]) -> list[Part]:
        """Those in the time asked for, and those before them back to a picture that can be decoded alone."""
        begin, end = self._options.begin, self._options.end
        if begin is None and end is None:
            return parts
        inside = [i for i, p in enumerate(parts) if _overlaps(p.leaf, begin, end)]
        first, last = (inside[0], inside[-1]) if inside else (0, -1)
        while first > 0 and not parts[first].leaf.idr:
            first -= 1
        unknown = [p.leaf.part for p in (*parts[:first], *parts[last + 1 :]) if _span(p.leaf) is None]
        if unknown:
            span = f"parts {min(unknown)} to {max(unknown)} ({len(unknown)} of them)"
            self.exported.problems.append(
                f"of {self._name} {span} carry no date: nobody can know whether they lie in that time; --recording "
                f"{self._name} without a time exports them"
            )
        return parts[first : last + 1]

    def _held_elsewhere(self, report: Report, known: list[Part], parts: list[Part]) -> Iterator[str]:
        """What others have of it by the verifier's word, and who, as far as it may lie in the time asked for."""
        state, around = self._log.watch.recordings[self._name], inside(self._log, self._name)
        first, last = int(self._name[1:11]), state.last_index
        if self._log.went_on(state):
            last = max(last, around[-1].end)
        begin, end = self._options.begin, self._options.end
        # Nobody knows when those were that are not here: of a time that reaches beyond what is, they may be too.
        spans = _span(parts[0].leaf), _span(parts[-1].leaf)
        if parts[0] is not known[0] or (begin is not None and spans[0] is not None and spans[0][0] <= begin):
            first = parts[0].index
        if parts[-1] is not known[-1] or (end is not None and spans[1] is not None and spans[1][1] >= end):
            last = parts[-1].index
        for found in report.findings:
            if found.what is not What.HELD_ELSEWHERE or self._log.origin not in found.of or found.first is None:
                continue
            if found.first <= last and (found.last or found.first) >= first:
                which = f"{found.segment}, " if found.segment else ""
                span = f"leaf {found.first}" + (f" to {found.last}" if found.last not in (None, found.first) else "")
                yield f"of {self._name} {which}{span}: {found.text}"

    def _describe(self, parts: list[Part], verified: bool) -> None:
        """Where nothing is missing by the verifier's word, parts before the first are such as were not given; but those
        that others have belong there.
        """
        out, numbers = self.exported, {p.leaf.part for p in parts}
        chosen = self._ranged
        out.first_part, out.last_part = min(numbers), max(numbers)
        if chosen:
            self._stem = f"{self._name}.parts-{out.first_part}-{out.last_part}"
        state = self._log.watch.recordings[self._name]
        purged = told_for(self._log.purges, self._name) if self._name in self._log.purged.recordings else ""
        out.problems += [f"of {self._name} {purged}"] if purged else []
        out.problems += self._lacks
        whole = self._lacks and not self._options.ranged
        low = 0 if whole or not (chosen or (verified and not purged)) else out.first_part
        high = out.last_part if chosen else max(state.next_part, state.said_parts or 0) - 1
        out.gaps = list(islice(_holes(numbers, low, high), MOST_GAPS))
        more = high - low + 1 - sum(low <= n <= high for n in numbers) - len(out.gaps)
        if more > 0:
            # A recording of more parts than it could have is a lie; what is listed of it is bounded.
            out.problems.append(f"{more:,} more parts are not in the MP4; the first {MOST_GAPS:,} of them are listed")
        out.starts = str(moment(parts[0].leaf, parts[0].leaf.start_ns))
        if chosen and parts[0].leaf.start_ns > 0:
            out.shift_s = parts[0].leaf.start_ns / NS

    # -- the MP4 ---------------------------------------------------------------------------------------------------

    def write_plain(self, file: IO[bytes], first: int, last: int) -> int | None:
        """Init and the parts of these numbers, in the clear. Returns where the first begins on the recording's
        timeline, in ns; None where there is none of them. What cannot be opened is in `exported.problems`.
        """
        parts = sorted(
            (p for p in recording_parts(self._log, self._name) if first <= p.leaf.part <= last),
            key=lambda p: p.leaf.part,
        )
        self._write_into(file, parts)
        return parts[0].leaf.start_ns if parts else None

    def _write_parts(self, path: Path, parts: list[Part]) -> None:
        """Into a file that only the owner can read."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with durable.storage_errors(path, "cannot write"), os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            self._write_into(file, parts)

    def _write_into(self, file: IO[bytes], parts: list[Part]) -> None:
        """Init and parts, one in memory at a time."""
        init = self._find_init()
        if init is None:
            for part in parts:
                self._missing(part.leaf.part)
            return
        file.write(init)
        for result in self._results:
            self._write_segment(file, result, [p for p in parts if p.result is result])

    def _find_init(self) -> bytes | None:
        """The same bytes stand in every segment of the recording; the first copy that is authentic will do."""
        for result in self._results:
            with result.blob.patient() as window:
                opened = SegmentOpener(window, self._identities).init()
            if opened is not None and opened.data is not None:
                return opened.data
            self._locked(opened is not None and opened.no_key)
        self.exported.problems.append(f"no init of {self._name} can be opened: none of its parts plays without it")
        return None

    def _write_segment(self, file: IO[bytes], result: SegmentResult, mine: list[Part]) -> None:
        out = self.exported
        with result.blob.patient() as window:
            opener = SegmentOpener(window, self._identities)
            for part in mine:
                opened = opener.entry(part.index)
                if opened.data is None:
                    self._locked(opened.no_key)
                    out.problems.append(f"{result.name}: part {part.leaf.part}: {opened.name} {opened.problem}")
                    self._missing(part.leaf.part)
                    continue
                file.write(opened.data)
                out.parts += 1
                self._progress(result.name, len(opened.data))

    def _missing(self, part: int) -> None:
        gaps = self.exported.gaps
        at = bisect_left(gaps, part)
        if gaps[at : at + 1] != [part]:
            gaps.insert(at, part)

    def _locked(self, no_key: bool) -> None:
        if no_key and not self.exported.parts:
            raise KeyTrustError(f"no identity given opens {self._name}", "name the key file of one recipient with -i")

    def _write_mp4(self, aside: Path, end_s: Fraction, shift_s: Fraction) -> None:
        out, target = self.exported, self._options.out / f"{self._stem}.mp4"
        fresh = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            try:
                if not remux.available():
                    raise EvidenceError("PyAV is not installed; `pip install av` gives an ordinary MP4")
                with durable.storage_errors(fresh, "cannot write"):
                    fresh.touch(0o600)
                remux.remux(aside, fresh, end_s, shift_s)
            except EvidenceError as err:
                out.fragmented, out.shift_s = err.message, 0.0
                durable.move(aside, fresh)
            self._publish(fresh, target)
        finally:
            fresh.unlink(missing_ok=True)
        out.mp4, out.mp4_sha256 = str(target), blob_of(target).sha256()

    def _publish(self, fresh: Path, target: Path) -> None:
        with durable.storage_errors(target, "cannot write"):
            fd = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        durable.move(fresh, target)

    # -- the proof -------------------------------------------------------------------------------------------------

    def _write_proof(self, whole: Report, shown: Part) -> None:
        """It goes to whoever asked for this recording: it tells of this log, and of no other that was given with it."""
        out = self.exported
        path = self._options.out / f"{self._name}{PROOF}"
        proof = WholeProof(self._log, self._name, self._sources, self._root, self._head, bool(self._lacks))
        pieces = list(proof.pieces())
        for waits in proof.unvouched:
            out.problems.append(f"of {self._name} leaf {waits.leaf} {UNVOUCHED}")
        if self._lacks and not proof.excuse:
            out.problems.append(f"of {self._name} no receipt at hand says who has that: by itself it will not verify")
        told = {"v": 1, "export": {k: getattr(out, k) for k in out.__dataclass_fields__}} | {
            "verification": reports.to_json(Report(told_of(self._log.origin, whole.findings), [self._log]))
        }
        names = self._name, f"{self._name}.mp4", path.name, shown.result.name
        words = [
            Piece("README.txt", readme(*names, shown.index, proof.cosigned is not None)),
            Piece("report.json", report_bytes(told, MOST_FINDINGS)),
            Piece("trust/root.pem", certs.pem([self._root])),
        ]
        write_proof(path, {piece.name: piece for piece in (*words, *pieces)}.values())
        out.proof = str(path)

    def _disclosed(self, parts: list[Part]) -> tuple[Disclosure | None, list[Part]]:
        """How they are proven, None by whole segments, and those that are. Raises EvidenceError."""
        try:
            return self._disclose(parts) if self._ranged else None, parts
        except EvidenceError:
            # No path leads over a leaf that the disk does not give; segments that it gives whole need none.
            whole = [part for part in parts if not part.result.unread]
            if (
                self._options.ranged
                or whole == parts
                or not whole
                or any(r.blob.is_open for r in inside(self._log, self._name))
            ):
                raise
            self._ranged = False
            return None, whole

    def _disclose(self, parts: list[Part]) -> Disclosure:
        """Before anything is opened: what cannot be proven is not handed out."""
        found = Disclosure(self._log, self._name, parts, self._sources, self._root, self._head, self._options.stamp)
        if found.left_out:
            shown = ", ".join(map(str, found.left_out[:20])) + (", ..." if len(found.left_out) > 20 else "")
            self.exported.problems.append(f"leaves {shown} are damaged or were not given: the proof lacks them")
        if found.unvouched is not None:
            self.exported.problems.append(f"leaf {found.unvouched} {UNVOUCHED}")
        return found

    def _write_range(self, disclosure: Disclosure, verified: bool) -> None:
        out, path = self.exported, self._options.out / f"{self._stem}{PROOF}"
        told = {k: getattr(out, k) for k in out.__dataclass_fields__}
        index, chain = disclosure.example
        text = range_readme(self._name, f"{self._stem}.mp4", path.name, chain, index, self._options.stamp)
        write_proof(path, disclosure.pieces(told, verified, text))
        out.proof = str(path)


def _overlaps(leaf: leaves.MediaLeaf, begin: datetime | None, end: datetime | None) -> bool:
    span = _span(leaf)
    return span is not None and (begin is None or span[1] > begin) and (end is None or span[0] < end)


def _span(leaf: leaves.MediaLeaf) -> tuple[datetime, datetime] | None:
    """From when to when its media are; None where it carries no date."""
    first, last = moment(leaf, leaf.start_ns).utc, moment(leaf, leaf.start_ns + leaf.duration_ns).utc
    return None if first is None or last is None else (first, last)


def _holes(numbers: Collection[int], low: int, high: int) -> Iterator[int]:
    """Of low to high, those that are not there, however far apart the others are."""
    at = low
    for number in sorted(n for n in numbers if low <= n <= high):
        yield from range(at, number)
        at = number + 1
    yield from range(at, high + 1)
