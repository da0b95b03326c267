"""The report of a verification, in plain lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from agent.errors import printable
from agent.evidence import accountlines, cutoff
from agent.evidence.findings import Finding, What
from agent.evidence.ledger import CameraAccounts
from agent.evidence.logview import LogView
from agent.evidence.rangehead import SignedHead, camera_of
from agent.evidence.rangeview import RangeView
from agent.evidence.verify import Report
from agent.evidence.watch import RecordingState
from agent.formats import note
from agent.model import NS

if TYPE_CHECKING:
    from agent.evidence.films import FilmCheck

NOT_PROVEN = (
    "that the lens saw what happened: a camera can be shown a screen",
    "that the clock was right where its source is unverified",
    "anything about a camera whose identity key was taken out of it",
)
NEW_HEADERS = (
    "its new headers are not proven without a key: -i KEYFILE shows that each holds the file key to which the "
    "camera's own header is bound"
)
OUTSIDE_RANGE = "anything about what lies outside the parts of a range"


def lines(report: Report, films: Sequence[FilmCheck] = (), accounts: Sequence[CameraAccounts] = ()) -> Iterator[str]:
    """What was found, what is established, and the verdict; nothing in it can steer a terminal."""
    return map(printable, _lines(report, films, accounts))


def _lines(report: Report, films: Sequence[FilmCheck], accounts: Sequence[CameraAccounts]) -> Iterator[str]:
    found = _findings(report)
    for finding in found:
        yield finding.line()
    if found:
        yield ""
    for log in report.logs:
        for state in log.watch.recordings.values():
            if state.parts:
                yield _recording_line(log, state)
        yield _log_line(log)
    yield from (line for view in report.ranges if (line := _range_line(view)) is not None)
    yield from (line for film in films if (line := film.line()) is not None)
    yield ""
    yield from accountlines.lines(accounts)
    yield from _verdict(report)


def _findings(report: Report) -> list[Finding]:
    """All of them, and what no key was there to check."""
    unopened = [v for v in report.ranges if v.rewrapped and v.opened is None]
    return report.findings + [Finding(What.UNCHECKED, f"{v.name}: {NEW_HEADERS}") for v in unopened]


def _recording_line(log: LogView, state: RecordingState) -> str:
    segments = len(log.of_recording.get(state.recording, ()))
    return (
        f"recording {state.recording}: {state.parts} parts ({state.first_part} to {state.next_part - 1}), "
        f"{state.duration_s:.3f} s, {segments} segments, from {state.begin} to {state.end}, {_ending(state)}"
    )


def _range_line(view: RangeView) -> str | None:
    """None where the findings have said it: nothing of it leads to a signed checkpoint."""
    state, head = view.state, view.head.head
    if state is None or head is None:
        return None
    earlier = (
        f"; the leaves below {view.head.earlier.point.size}: {view.head.earlier.told}" if view.head.earlier else ""
    )
    return (
        f"range of recording {state.recording}: {state.parts} parts ({state.first_part} to {state.next_part - 1}), "
        f"{state.duration_s:.3f} s, from {state.begin} to {state.end}; in {head.told}{earlier}"
        + ("; rewrapped for other keys" if view.rewrapped else "")
        + (f"; all {view.opened} sealed files open" if view.opened == len(view.sound) + view.init_sound else "")
    )


def _ending(state: RecordingState) -> str:
    if state.ended is None:
        return "no end in what was given"
    loss = state.loss
    return "ended by the camera" if loss is None else f"interrupted ({cutoff.cause(state.went_on)}: {loss.short})"


def _log_line(log: LogView) -> str:
    root = _root(log)
    boots = len({boot for boot, _ in log.watch.sessions})
    return (
        f"log {log.origin}: leaves {log.first} to {log.end - 1} in {len(log.results)} segments, "
        f"{len(log.watch.sessions)} sessions begun in {boots} boots, "
        + (f"root of {log.end} leaves {root}" if root else "root hidden by damage")
        + "".join(f"; {one.told}" for one in log.cosigned)
    )


def _root(log: LogView) -> str | None:
    frontier = log.results[-1].frontier if log.results else None
    return note.b64(frontier.root()) if frontier is not None else None


def _verdict(report: Report) -> Iterator[str]:
    failures = sum(f.fails for f in report.findings)
    notes = len(_findings(report)) - failures
    said = f" ({notes} {'note' if notes == 1 else 'notes'} above)" if notes else ""
    if report.verified:
        yield f"verified{said}"
    else:
        yield f"DOES NOT VERIFY: {failures} {'finding' if failures == 1 else 'findings'}{said}"
    yield "this does not prove"
    yield from (f"  - {what}" for what in _not_proven(report))


def _not_proven(report: Report) -> list[str]:
    return [*NOT_PROVEN, *([OUTSIDE_RANGE] if report.ranges else [])]


def to_json(
    report: Report, films: Sequence[FilmCheck] = (), accounts: Sequence[CameraAccounts] | None = None
) -> dict[str, Any]:
    """The same for scripts. Keys are stable."""
    asked = {} if accounts is None else {"accounts": accountlines.to_json(accounts)}
    return {
        "v": 1,
        "verified": report.verified,
        "all_read": report.all_read,
        "locked": report.locked is not None,
        "findings": [f.to_json() for f in _findings(report)],
        "recordings": [
            _recording_json(log, state) for log in report.logs for state in log.watch.recordings.values() if state.parts
        ],
        "logs": [_log_json(log) for log in report.logs],
        "ranges": [_range_json(view) for view in report.ranges],
        "exports": [film.to_json() for film in films],
        **asked,
        "not_proven": _not_proven(report),
    }


def _recording_json(log: LogView, state: RecordingState) -> dict[str, Any]:
    return {
        "recording": state.recording,
        "camera": log.origin.split("/")[-2] if log.origin.count("/") >= 2 else None,
        "parts": state.parts,
        "first_part": state.first_part,
        "last_part": state.next_part - 1,
        "duration_s": state.duration_s,
        "begin": str(state.begin),
        "end": str(state.end),
        "ended": state.ended,
        "lost_at_most_s": state.loss.at_most_ns / NS if state.loss and state.loss.at_most_ns else None,
        "segments": [r.name for r in log.of_recording.get(state.recording, ())],
    }


def _range_json(view: RangeView) -> dict[str, Any]:
    state, head, earlier = view.state, view.head.head, view.head.earlier
    return {
        "proof": str(view.source.blob.path),
        "verified": not view.tally.fails,
        "recording": state.recording if state else None,
        "camera": camera_of(head.point.origin) if head else None,
        "origin": head.point.origin if head else None,
        "parts": [state.first_part, state.next_part - 1] if state else None,
        "duration_s": state.duration_s if state else None,
        "begin": str(state.begin) if state else None,
        "end": str(state.end) if state else None,
        "ended": state.ended if state else None,
        "entries": len(view.proven),
        "rewrapped": view.rewrapped,
        "opened": view.opened,
        "timestamp_unchecked": view.stamped,
        "checkpoint": _head_json(head) if head else None,
        "earlier": _head_json(earlier) if earlier else None,
    }


def _head_json(head: SignedHead) -> dict[str, Any]:
    return {
        "size": head.point.size,
        "root": note.b64(head.point.root),
        "station": head.station,
        "cosigned_s": head.time_s,
    }


def _log_json(log: LogView) -> dict[str, Any]:
    return {
        "origin": log.origin,
        "first": log.first,
        "end": log.end,
        "root": _root(log),
        "sessions": len(log.watch.sessions),
        "heads": [{"source": h.source, "size": h.size, "cosigned_s": h.time_s} for h in log.heads],
        "cosigned": [{"below": one.extension.old, **_head_json(one.head)} for one in log.cosigned],
        "segments": [
            {
                "segment": r.name,
                "sha256": None if r.unread else r.sha256,
                "first": r.first,
                "end": r.end,
                "verified": not r.fails,
            }
            for r in log.results
        ],
    }
