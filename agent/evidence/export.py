"""Recordings as playable files, each with its proof beside it. Verifies first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from agent import durable
from agent.errors import EvidenceError, Exit, KeyTrustError, UnreadableError, UsageError
from agent.evidence import report
from agent.evidence.clip import Exported, ExportOptions, RecordingExport
from agent.evidence.logview import LogView
from agent.evidence.proof import json_bytes
from agent.evidence.purged import told_for
from agent.evidence.sources import Sources
from agent.evidence.verify import Report, verify
from agent.formats import age

Progress = Callable[[str, int], None]


@dataclass
class ExportResult:
    report: Report
    exports: list[Exported] = field(default_factory=list)
    refused: bool = False
    locked: KeyTrustError | None = None
    unread: bool = False
    """The disk gave something when it was checked, and no more when it was to be handed out."""

    @property
    def all_read(self) -> bool:
        return self.report.all_read and not self.unread

    @property
    def whole(self) -> bool:
        """Everything asked for is there, without gap or problem."""
        return not self.refused and not any(e.gaps or e.problems for e in self.exports)

    @property
    def exit_status(self) -> Exit:
        if self.unread:
            return Exit.STORAGE
        if self.locked and self.report.all_read:
            return Exit.KEYS
        return self.report.exit_status or (Exit.OK if self.whole else Exit.EVIDENCE)

    def lines(self) -> Iterator[str]:
        yield from report.lines(self.report)
        if self.refused:
            yield "nothing was exported; with --even-if-damaged what is sound of it will be"
        for exported in self.exports:
            yield from exported.lines()

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "exports": [{k: getattr(e, k) for k in e.__dataclass_fields__} for e in self.exports],
            "refused": self.refused,
            "locked": self.locked is not None,
            "all_read": self.all_read,
            "verification": report.to_json(self.report),
        }


def export(
    sources: Sources,
    root: x509.Certificate,
    identities: Sequence[age.Identity],
    options: ExportOptions,
    head: Path | None = None,
    progress: Progress = lambda name, count: None,
) -> ExportResult:
    """Verify, then write below `options.out`; a recording beside others that no identity opens is told of in its place.
    Raises UsageError, StorageError, KeyTrustError where none opens anything.
    """
    if sources.ranges and not sources.segments:
        name = sources.ranges[0].blob.name
        raise UsageError(
            f"{name} is of a range, an export already: none is made of it again",
            f"`bodycam-evidence decrypt {name} -i KEYFILE -o DIR` writes its parts in the clear",
        )
    result = ExportResult(verify(sources, root, head, progress))
    durable.make_dir(options.out)
    if not result.report.verified and not options.even_if_damaged:
        result.refused = True
    else:
        refusals: list[UsageError | KeyTrustError] = []
        for log, name in _chosen(result.report, options):
            job = RecordingExport(log, name, sources, root, identities, options, head, progress)
            try:
                exported = job.run(result.report)
            except (EvidenceError, UsageError, KeyTrustError, UnreadableError) as err:
                # What cannot be proven, opened or read is not handed out; the others are.
                exported = Exported(name, problems=[err.message])
                result.locked = result.locked or (err if isinstance(err, KeyTrustError) else None)
                result.unread |= isinstance(err, UnreadableError)
                refusals += [err] if isinstance(err, UsageError | KeyTrustError) else []
            if exported is not None:
                result.exports.append(exported)
        if refusals and not any(exported.proof for exported in result.exports):
            raise refusals[0]
        if not result.exports and result.all_read:
            raise UsageError("no part of a recording lies in that time", "widen --from and --to, or leave them out")
    written = result.to_json()
    if options.ranged:
        # It lies beside what is handed out, and names nothing else of the log either.
        written["verification"] = {"verified": result.report.verified}
        written["exports"] = [one for one in written["exports"] if one["mp4"] or one["proof"]]
    durable.write_file(options.out / "report.json", json_bytes(written))
    return result


def _chosen(report: Report, options: ExportOptions) -> list[tuple[LogView, str]]:
    found = [(log, s.recording) for log in report.logs for s in log.watch.recordings.values() if s.parts]
    if options.recording is not None:
        found = [f for f in found if f[1] == options.recording]
    # Where something could not be read nobody knows what is in it: that is what there is to tell.
    if not found and report.all_read:
        for log in report.logs if options.recording else ():
            if told := told_for(log.purges, str(options.recording)):
                raise UsageError(f"{options.recording} was purged: {told}", "the note is what there is of it; keep it")
        wanted = f"recording {options.recording}" if options.recording else "recording"
        known = ", ".join(s for log in report.logs for s, state in log.watch.recordings.items() if state.parts)
        raise UsageError(f"no {wanted} with media in what was given", f"name one of: {known}" if known else "")
    return found
