"""An exported MP4 against the proof beside it: by its digest; with a key, packet by packet against the sealed parts.

No signature of the camera covers an MP4: it is made afterwards, by whoever holds a key. The digest in the proof's
report.json shows that the file is the one exported; only the comparison shows that it is the recording.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import IO, Any

from cryptography import x509

from agent.durable import storage_errors
from agent.errors import EvidenceError, KeyTrustError, UnreadableError, UsageError, printable
from agent.evidence import remux
from agent.evidence.apart import confined
from agent.evidence.blobs import blob_of
from agent.evidence.clip import ExportOptions, RecordingExport
from agent.evidence.findings import Finding, What
from agent.evidence.logview import LogView
from agent.evidence.rangeopen import RangeOpener
from agent.evidence.rangeview import RangeView
from agent.evidence.sources import Film, Sources
from agent.evidence.told import Told
from agent.evidence.verify import Report
from agent.formats import age, pack
from agent.model import NS

Progress = Callable[[str, int], None]
COMPARE_BYTES = 512 << 20
"""Memory that a comparison may take, PyAV's libraries included; and as much again as the parts are long, of which the
index of a film is a hundredth.
"""


@dataclass(frozen=True, slots=True)
class FilmCheck:
    """What was found of one MP4. `compared`: "nothing", "digest" or "packets", whichever reached furthest."""

    film: Film
    sha256: str | None
    compared: str
    recording: str | None
    parts: tuple[int, int] | None
    finding: Finding | None

    def line(self) -> str | None:
        """What is established; None where a finding says what is not."""
        if self.finding is not None or self.parts is None:
            return None
        span = "parts {} to {}".format(*self.parts)
        if self.compared == "packets":
            what = f"every packet is that of {span} of {self.recording}"
        else:
            what = (
                f"the bytes its proof names for {span}; that is unsigned, -i KEYFILE compares them with the recording"
            )
        return printable(f"export {self.film.mp4.name}: {what}")

    def to_json(self) -> dict[str, Any]:
        return {
            "mp4": str(self.film.mp4.path),
            "sha256": self.sha256,
            "recording": self.recording,
            "parts": None if self.parts is None else list(self.parts),
            "compared": self.compared,
            "verified": self.finding is None,
        }


def check_films(
    report: Report,
    sources: Sources,
    root: x509.Certificate,
    identities: Sequence[age.Identity] = (),
    progress: Progress = lambda name, count: None,
) -> list[FilmCheck]:
    """Check every exported MP4 among `sources`; what is wrong is added to the report's findings.

    With identities the packets are compared too; of a recording that none of them opens this is noted, and the report
    is `locked`. Raises UsageError where the media library is missing, StorageError.
    """
    if identities and sources.films and not remux.available():
        raise UsageError("PyAV is not installed, so no MP4 can be compared", "pip install av, or leave -i out")
    checks = [_Check(film, report, sources, root, identities, progress).run() for film in sources.films]
    report.findings += [check.finding for check in checks if check.finding is not None]
    return checks


class _Check:
    def __init__(
        self,
        film: Film,
        report: Report,
        sources: Sources,
        root: x509.Certificate,
        identities: Sequence[age.Identity],
        progress: Progress,
    ) -> None:
        self._film, self._report, self._sources, self._root = film, report, sources, root
        self._identities, self._progress = identities, progress
        self._sha256: str | None = None
        self._compared = "nothing"
        self._told: Told | None = None

    def run(self) -> FilmCheck:
        finding: Finding | None = None
        name = self._film.mp4.name
        if self._film.unchecked:
            finding = Finding(What.UNCHECKED, f"{name} {self._film.unchecked}")
        else:
            try:
                self._check()
            except (EvidenceError, UnreadableError) as err:
                recording = self._told.recording[:40] if self._told else None
                what = What.UNREADABLE if isinstance(err, UnreadableError) else What.ALTERED_EXPORT
                finding = Finding(what, f"{name}: {err.message}", recording=recording)
            except KeyTrustError as err:
                self._report.locked = self._report.locked or err
                text = f"{name}: its packets were not compared with the recording: {err.message}"
                finding = Finding(What.UNCHECKED, text, recording=self._told.recording[:40] if self._told else None)
        told = self._told
        parts = (told.first, told.last) if told else None
        return FilmCheck(self._film, self._sha256, self._compared, told.recording if told else None, parts, finding)

    def _check(self) -> None:
        """Raises EvidenceError with what is wrong."""
        film = self._film
        told = self._told = Told.parse(self._report_bytes())
        stem = film.mp4.path.stem.partition(".parts-")[0]
        if pack.RECORDING_ID.fullmatch(stem) and stem != told.recording:
            raise EvidenceError(f"the proof beside it is of the recording {told.recording[:40]}")
        unread = film.told is not None and film.told.path in self._report.unread
        held = None if unread else self._held(told.recording)
        if held is not None:
            self._check_parts(held, told)
        self._check_size()
        self._sha256 = film.mp4.sha256()
        if self._sha256 != told.sha256:
            raise EvidenceError(
                f"it is not the file that was exported: SHA-256 {self._sha256}, its proof names {told.sha256[:64]}"
            )
        self._compared = "digest"
        if held is not None and self._identities:
            self._compare(held, told)
            self._compared = "packets"

    def _check_parts(self, held: LogView | RangeView, told: Told) -> None:
        """A range says itself which parts it is of. A film of a whole recording has all that are there: who cuts one
        could write the numbers of what is left into its proof, which nobody signed. So what else is given may name no
        more of it, whichever recording the segments are asked for. Raises EvidenceError.
        """
        if isinstance(held, RangeView):
            return
        state = held.watch.recordings[told.recording]
        if state.first_part is None:
            return
        if (told.first, told.last) != (state.first_part, state.next_part - 1):
            raise EvidenceError(
                f"its proof says that it has parts {told.first} to {told.last}, and holds {state.first_part} to "
                f"{state.next_part - 1}"
            )
        counted = state.ended is None or state.said_parts == state.next_part or told.recording in held.purged.recordings
        if held.went_on(state) or not counted:
            raise EvidenceError("it is of a whole recording, of which more is named here than was given")

    def _check_size(self) -> None:
        """A film has no more bytes than the sealed parts it was made of, with all that proves them: one that has many
        more is not read. Raises EvidenceError.
        """
        size, told = self._film.mp4.size, self._film.told
        most = 2 * blob_of(told.path).size + (1 << 20) if told is not None else size
        if size > most:
            raise EvidenceError(f"it is not the file that was exported: {size} bytes are more than its proof can hold")

    def _report_bytes(self) -> bytes:
        if self._film.told is None:
            raise EvidenceError("the proof beside it does not say which file was exported")
        try:
            return self._film.told.read(Told.MAX_BYTES)
        except UsageError:
            raise EvidenceError("report.json in the proof beside it is too long to be one") from None

    def _held(self, recording: str) -> LogView | RangeView:
        """Where its parts are: in the range beside it, or in segments of a log."""
        for view in self._report.ranges:
            if view.source is self._film.part_of and view.state is not None:
                return view
        for log in self._report.logs:
            state = log.watch.recordings.get(recording)
            if state is not None and state.parts:
                return log
        raise EvidenceError(f"the proof beside it holds no part of the recording {recording[:40]} it names")

    def _compare(self, held: LogView | RangeView, told: Told) -> None:
        """The sealed parts in the clear pass through a file without a name, gone with this process."""
        with storage_errors(Path(tempfile.gettempdir()), "cannot write below"), tempfile.TemporaryFile() as file:
            if isinstance(held, RangeView):
                begin_ns = RangeOpener(held, self._identities).write_plain(file, told.first, told.last)
            else:
                begin_ns = self._write_plain(file, held, told)
            if begin_ns is None:
                raise EvidenceError(f"the proof beside it holds none of the parts {told.first} to {told.last} it names")
            file.flush()
            state = held.state if isinstance(held, RangeView) else held.watch.recordings[told.recording]
            assert state is not None
            end_s, shift_s = Fraction(state.end_ns, NS), Fraction(begin_ns if told.shifted else 0, NS)
            plain, film = Path(f"/dev/fd/{file.fileno()}"), self._film.mp4.path
            # What it says of the number of its samples costs a reader memory, and it is a stranger's file.
            most = COMPARE_BYTES + os.fstat(file.fileno()).st_size
            try:
                confined(partial(remux.compare, plain, film, end_s, shift_s), most)
            except MemoryError as err:
                said = f"it was not compared: to read it took more than {most >> 20} MiB, or ended the process that did"
                raise EvidenceError(said) from err

    def _write_plain(self, file: IO[bytes], log: LogView, told: Told) -> int | None:
        options = ExportOptions(Path(tempfile.gettempdir()))
        job = RecordingExport(
            log, told.recording, self._sources, self._root, self._identities, options, None, self._progress
        )
        begin_ns = job.write_plain(file, told.first, told.last)
        if job.exported.problems:
            raise EvidenceError(f"it cannot be compared: {job.exported.problems[0]}")
        return begin_ns
