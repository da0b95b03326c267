"""Whether a receipt names a segment's bytes rightly, and shows that the station had them when it signed. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from agent.formats import receipt
from agent.formats.seal import SealRecord

SILENT = "the station's receipt does not answer the challenge for"
WRONG = "the station's receipt answers the challenge wrongly for"
UNKNOWN = "the card did not read, and cannot compare with the receipt,"
OTHER = "the station stores other bytes than ours for"
LEAVES = "the station's receipt gives other leaves than ours to"
_NEXT = {
    SILENT: "the station is of an earlier version: update it",
    WRONG: "if it goes on, the station does not have its bytes: look at its disk",
    UNKNOWN: "look at the card",
}


def differing(told: receipt.Receipt, sealed: Sequence[SealRecord]) -> dict[str, str]:
    """Of our segments, those for which a receipt names other bytes or leaves than their records do, and that in words.
    They stay, and keep no other from delivery.
    """
    ours = {record.segment: record for record in sealed}
    lines = [line for line in (*told.stored, *told.kept) if line.segment in ours]
    found = {line.segment: _other(line, ours[line.segment]) for line in lines}
    return {
        name: f"{what} {name}, which stays: look at the card, and at the station's disk"
        for name, what in found.items()
        if what
    }


def _other(line: receipt.Stored, record: SealRecord) -> str:
    if (line.sha256, line.size) != (record.sha256, record.size):
        return OTHER
    # Who checks a card years later goes by it: one that says too much would hide what was never delivered.
    wrong = line.entries and (line.first, line.entries) != (record.first, record.entries)
    return LEAVES if wrong else ""


def unshown(told: receipt.Receipt, proven: Sequence[SealRecord]) -> dict[str, str]:
    """Of the segments that a receipt names rightly: those of which it does not show that the station had the bytes, and
    why, in words. One that an earlier version sealed has no challenge, and its line alone counts.
    """
    answers = {stored.segment: stored.answer for stored in (*told.stored, *told.kept)}
    found = {}
    for record in proven:
        what = _lacks(answers[record.segment], record.answer) if record.challenge else ""
        if what:
            found[record.segment] = f"{what} {record.segment}, which stays: {_NEXT[what]}"
    return found


def _lacks(answer: str, right: str) -> str:
    if not answer:
        return SILENT
    if not right:
        return UNKNOWN
    return "" if hmac.compare_digest(answer, right) else WRONG
