"""What the station's index tells, as values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Segment:
    """One that is, or was, stored: `until_s` as the receipt says (0 = no end), and `place`, below what the station
    holds: where other bytes had its name first, it lies beside them. `lost`: the purge that took the rest of its
    recording found its file gone. `unexplained`: no note names it, and nothing says that it was lost. `start_ns` and
    `end_ns` as in `Summary`, None also where an earlier version indexed it.
    """

    camera: str
    name: str
    epoch: int
    sha256: str
    size: int
    recording: str | None
    seq: int
    first: int
    entries: int
    parts: int
    media_ns: int
    begins: str | None
    ends: str | None
    vouched: bool
    started: bool
    ended: bool
    stored_s: int
    until_s: int
    purged_s: int | None
    opened: bool
    place: str = ""
    lost: bool = False
    unexplained: bool = False
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def end(self) -> int:
        """The leaf behind its last one."""
        return self.first + self.entries


@dataclass(frozen=True, slots=True)
class Mark:
    camera: str
    recording: str
    epoch: int
    leaf: int
    at: str | None
    text: str
    tag: str | None


@dataclass(frozen=True, slots=True)
class Worn:
    """From this leaf on, as the log says."""

    camera: str
    epoch: int
    leaf: int
    officer: str | None
    unit: str | None
    shift: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """When a leaf was written, or, of an event that the disk refused at first, was to be: by CLOCK_MONOTONIC of that
    boot.
    """

    camera: str
    epoch: int
    leaf: int
    boot: str
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Events:
    """What one segment says that was opened: of `worn` and `dropped` (where it says that others are lost) those are
    also in `late` that count from before their leaf; in `begun` its first leaf, where it is of a recording.
    """

    marks: list[Mark] = field(default_factory=list)
    worn: list[Worn] = field(default_factory=list)
    late: list[Moment] = field(default_factory=list)
    dropped: list[Moment] = field(default_factory=list)
    begun: list[Moment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Owed:
    """A segment that a camera has sealed, or has left of an earlier epoch (then `entries` is 0: nobody said how many),
    and the station does not hold.
    """

    camera: str
    name: str
    epoch: int
    size: int
    first: int
    entries: int


@dataclass(frozen=True, slots=True)
class Held:
    """Leaves `first` up to `end` of the cosigned log of `epoch`, in bytes that are kept for themselves alone. `broken`:
    behind `end` these go on, and cannot be read.
    """

    epoch: int
    first: int
    end: int
    broken: bool


@dataclass(frozen=True, slots=True)
class Unread:
    """What is kept for its bytes alone, below what the station holds, and was not looked through to its end: not at all
    (None), or when `asked` leaves of the log of `epoch` were proven (-1 where that said nothing), which were too few.
    """

    name: str
    sha256: str
    place: str
    epoch: int | None
    asked: int | None


@dataclass(frozen=True, slots=True)
class Totals:
    """`segments`, `bytes` and `recordings` are stored, `purged` recordings were, however they went."""

    segments: int
    bytes: int
    recordings: int
    purged: int
