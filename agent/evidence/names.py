"""File names against contents: renamed, swapped and repeated segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.evidence.findings import Finding, Sure, What
from agent.evidence.result import SegmentResult
from agent.formats import pack


def tell_names(results: Sequence[SegmentResult]) -> Iterator[Finding]:
    """`results` in order of the log."""
    stems: dict[str, set[str]] = {}
    for name in {r.name for r in results}:
        stems.setdefault(name, set()).add(name)
        if name.startswith("e"):
            # Of an event segment only the log index is in its content.
            stems.setdefault(name[:11], set()).add(name)
    before: SegmentResult | None = None
    for result in results:
        follows = before is not None and before.end == result.first and before.recording == result.recording
        if result.own_name is not None and result.own_name != result.name:
            expected = before.seq + 1 if follows and before is not None else None
            yield _misnamed(result, stems, expected)
        before = result


def _misnamed(result: SegmentResult, stems: dict[str, set[str]], expected_seq: int | None) -> Finding:
    """`stems` are the names of all files, by the name, or the part of it, that a segment's content can give."""
    own = result.own_name or ""
    name = result.name
    if result.recording and name == f"{result.recording}-{expected_seq or 0:04d}" and expected_seq != result.seq:
        text = f"{pack.HEADER} numbers the segment {result.seq}, its place in the log says {expected_seq or 0}"
        return Finding(What.ALTERED_BYTES, text, name, result.recording, result.first, result.end - 1)
    other = stems.get(own[:11] if own.startswith("e") else own, set()) - {name}
    text = f"the file named {name!r} holds the segment {own}"
    if other:
        return Finding(What.SWAPPED_SEGMENTS, text, name, result.recording, result.first, result.end - 1)
    text += ", which no other file does: the file was renamed"
    return Finding(What.SWAPPED_SEGMENTS, text, name, result.recording, result.first, result.end - 1, sure=Sure.LIKELY)
