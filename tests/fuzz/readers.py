"""Which lines are a reader's, and how many of them were reached."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from tests.fuzz.cover import Place

WRITERS = {
    "agent.formats.age": ("Encryptor", "encrypt", "_check_recipients", "recipient_set_hash", "identity_file", "rewrap"),
    "agent.formats.age_header": ("write",),
    "agent.formats.age_pq": ("PqIdentity.generate",),
    "agent.formats.age_stream": ("ChunkSealer",),
    "agent.formats.age_x25519": ("X25519Identity.generate",),
    "agent.formats.certs": ("issue", "_host", "_key_usage", "request"),
    "agent.formats.epoch": ("origin_of", "number_of"),
    "agent.evidence.blobs": ("PatientWindow.sweep", "PatientWindow._lose", "_moved"),
    "agent.evidence.logview": ("LogView.beside_unread",),
    "agent.evidence.films": ("_Check._compare", "_Check._write_plain"),
    "agent.formats.merkle": ("inclusion_proof", "consistency_proof"),
    "agent.evidence.times": ("parse_time",),
    "agent.formats.leaf": ("seal_body", "to_bytes", "Sealed.size"),
    "agent.formats.note": ("sign_ed25519", "ecdsa_signature", "cosign", "vkey", "Note.with_signatures"),
    "agent.formats.order": ("sign", "Order.kind"),
    "agent.formats.signedtime": ("sign",),
    "agent.formats.pack": ("entry", "entry_of", "padding"),
    "agent.formats.possession": ("challenge", "Answering"),
    "agent.formats.seal": ("SealRecord.facts", "SealRecord.end", "SealRecord.of", "PieceDigests"),
}
"""What meets nothing that a stranger wrote: only cameras and stations call it; or it is an argument of the command; or
it hands a film to PyAV, whose reading is not ours; or it is for what the disk refuses, or what moves away while it is
read: whatever a file says, none of it runs.
"""

ELSEWHERE = {
    "agent.evidence.ahead": "runs the work of others on threads",
    "agent.evidence.apart": "runs the work of others on processes",
    "agent.evidence.remux": "libavformat reads and writes here",
    "agent.evidence.arguments": "arguments in",
    "agent.evidence.commands": "arguments in, exit status out",
    "agent.evidence.leafproofs": "verifies, and writes what is proven; the target that exports runs it",
    "agent.evidence.meter": "shows progress",
    "agent.evidence.unread": "for what the disk refuses: whatever a file says, none of it runs; test_unread.py does it",
    "agent.evidence.unreadfiles": "the same, for segments",
    "agent.evidence.unreadnotes": "the same, for receipts and purge notes",
}
"""Files of the room that read no evidence themselves."""


def is_reader(place: Place) -> bool:
    """Whether this line may meet bytes that a stranger wrote."""
    if not place.is_line or place.module in ELSEWHERE:
        return False
    return not any(place.scope == w or place.scope.startswith(w + ".") for w in WRITERS.get(place.module, ()))


def table(places: Iterable[Place], reached: set[Place]) -> list[tuple[str, int, int, list[int]]]:
    """(file, reached, of, lines that were not) for each file with readers in it."""
    files: dict[str, tuple[set[int], set[int]]] = {}
    for place in places:
        if is_reader(place):
            every, met = files.setdefault(place.module, (set(), set()))
            every.add(place.line)
            if place in reached:
                met.add(place.line)
    return [(name, len(met), len(every), sorted(every - met)) for name, (every, met) in sorted(files.items())]


def percent(rows: Iterable[tuple[str, int, int, list[int]]]) -> float:
    """Of all lines, two places, rounded down: never more than is true."""
    rows = list(rows)
    return sum(met for _, met, _, _ in rows) * 10_000 // max(1, sum(of for _, _, of, _ in rows)) / 100


def lines(rows: Iterable[tuple[str, int, int, list[int]]]) -> Iterable[str]:
    """For people."""
    rows = list(rows)
    for name, met, of, missing in rows:
        shown = ", ".join(_spans(missing))
        yield f"{name.removeprefix('agent.'):24} {met:4} of {of:4}  {100 * met / of:6.1f} %  {shown}"
    yield f"{'all readers':24} {sum(r[1] for r in rows):4} of {sum(r[2] for r in rows):4}  {percent(rows):6.2f} %"


def _spans(numbers: list[int]) -> Iterable[str]:
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        span = [number for _, number in run]
        yield str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}"
