"""What is known of a range, and how the members of its proof are called (docs/evidence-format.md, section 9)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from agent.evidence.epochwatch import EpochWatch
from agent.evidence.marks import Keeper
from agent.evidence.rangehead import RangeHead
from agent.evidence.sealedfile import HEADER
from agent.evidence.sources import ENTRIES, PROOF, ProofMembers
from agent.evidence.tally import Tally
from agent.evidence.told import Told
from agent.evidence.watch import LogWatch, RecordingState
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind

TIMESTAMP, AUTHORITY = "timestamp.tsr", "trust/tsa.pem"
PROOF_SUFFIX = "tlog-proof"
NO_PART = -1


@dataclass(frozen=True, slots=True)
class Proven:
    """What is kept of a leaf: of a day of parts all of them are in memory. `part` and `start_ns` are a media leaf's,
    `kind`, `body` and `chain` (the SHA-256 of its session's) an event's.
    """

    recording: str | None
    part: int | None = None
    start_ns: int = 0
    kind: Kind | None = None
    body: str = ""
    chain: str = ""

    @classmethod
    def of(cls, leaf: leaves.Leaf) -> Proven:
        recording = sys.intern(leaf.recording) if leaf.recording is not None else None
        if isinstance(leaf, leaves.MediaLeaf):
            return cls(recording, leaf.part, leaf.start_ns)
        return cls(recording, None, 0, leaf.kind, leaf.body, sys.intern(leaf.common.chain))


@dataclass
class RangeView:
    """What is known of one range.

    `proven` are the leaves that lead to the signed checkpoint, by index; `sound` those of them whose sealed bytes are
    what the camera wrote. `accused` are entries that are here and not proven, with the part number that they say,
    NO_PART for an event, None where they say nothing; each has a finding of its own. `init` is the SHA-256 that the
    first media leaf names. `opened` counts what a key opened, None where there was none. `stamped` is the time in a
    timestamp over the checkpoint, its signature not checked.
    """

    source: ProofMembers
    head: RangeHead
    told: Told | None = None
    watch: LogWatch = field(default_factory=lambda: LogWatch(EpochWatch("")))
    proven: dict[int, Proven] = field(default_factory=dict)
    init: str | None = None
    sound: set[int] = field(default_factory=set)
    init_sound: bool = False
    opened: int | None = None
    stamped: str | None = None
    tally: Tally = field(default_factory=Tally)
    accused: dict[int, int | None] = field(default_factory=dict)
    marks: Keeper = field(default_factory=Keeper)

    @property
    def name(self) -> str:
        return self.source.blob.name.removesuffix(PROOF)

    @property
    def origin(self) -> str | None:
        """The log it is of; None where nothing signed says so."""
        return self.head.head.point.origin if self.head.head else None

    @property
    def state(self) -> RecordingState | None:
        """The recording it is of; None where no part of it is proven."""
        state = self.watch.recordings.get(self.told.recording) if self.told else None
        return state if state is not None and state.parts else None

    @property
    def rewrapped(self) -> bool:
        return any(name.endswith(f".{HEADER}") for name in self.source.members)


def entry_name(index: int, kind: str = "json") -> str:
    return f"{ENTRIES}/{index:010d}.{kind}"
