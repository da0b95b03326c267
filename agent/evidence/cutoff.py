"""What a cut cost a recording, as its leaves tell it (docs/evidence-format.md, section 8). Pure.

The leaf of a part has the instant at which it was made, and where its media ends on the same clock: between the two
lies what the camera had seen by then and not written. A live part is written as soon as it is encoded. What lay in
memory before the press, and what comes in behind it, waits its turn; if the power goes meanwhile, all of it is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.model import NS

PART_NS = NS // 2
ENCODE_NS = NS // 5
WRITE_NS = 3 * NS // 10
"""What the promise of a second is made of: a part's media, to encode and mux it, to write it."""
MORE_NS = PART_NS + ENCODE_NS + WRITE_NS
"""So long after the end of one part the next is durable, where the disk answers and nothing waits before it."""
LIVE_NS = MORE_NS - 2 * WRITE_NS
"""Of a part whose leaf is made within this after its end that still holds: its leaf is made before it is written, and
the next one waits for that. After a later leaf the next part comes later than MORE_NS, by as much.
"""


@dataclass(frozen=True, slots=True)
class Loss:
    """`at_most_ns`: None where the leaves do not tell. `why` stands after the number of parts, `short` in brackets."""

    at_most_ns: int | None
    why: str
    short: str


NO_PART = Loss(
    None,
    "it was cut before its first part was written: what lay before the press is lost, and at most 1 s after it",
    "what lay before the press is lost, and at most 1 s after it",
)
UNSEEN = Loss(
    None,
    "how much after them is lost, the leaf of the last one would tell, which is not here",
    "how much is lost is not known: its last part is not here",
)


POWER, RECORDER = "where the power failed", "where the recorder acted until it ended"
"""What the bounds hold for: of a boot that ended, and of one that went on."""
_LIKELY, _SURE = "likely the power", "the recorder ended, not the power; if it acted until then"


def loss(end_ns: int, leaf_ns: int, start_ns: int | None, went_on: bool = False) -> Loss:
    """After a part that ends at `end_ns`, whose leaf was made at `leaf_ns`, in a recording whose start leaf was made at
    `start_ns`; all on CLOCK_MONOTONIC. `went_on`: the boot did, so it was not the power.
    """
    behind_ns, so = leaf_ns - end_ns, RECORDER if went_on else POWER
    if behind_ns <= LIVE_NS:
        return Loss(MORE_NS, f"{so}, at most 1 s after them is lost, if the disk answered", "at most 1 s more is lost")
    flushed = start_ns is not None and end_ns < start_ns
    what = "what lay before the press was being written" if flushed else "disk or encoder was behind"
    behind = f"{behind_ns / NS:.3f} s"
    return Loss(
        behind_ns + MORE_NS,
        f"it was cut while {what}: {so}, the {behind} between their end and the last leaf of them, "
        "and at most 1 s more, are lost",
        f"{behind} that were not yet written, and at most 1 s more, are lost",
    )


def cause(went_on: bool) -> str:
    """What cut it, as far as one can tell; before `Loss.short`."""
    return _SURE if went_on else _LIKELY
