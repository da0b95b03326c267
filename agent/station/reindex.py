"""The index made anew from what is stored: each segment verified as at attestation, and, with the agency's key, the
marks and assignments that its events hold.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agent import durable, events
from agent.errors import AgentError, EvidenceError, KeyTrustError, StorageError
from agent.formats import age, note, pack, receipt
from agent.formats import leaf as leaves
from agent.formats.epoch import number_of
from agent.station import admin, check, keeping, keptleaves, layout, openedevents, purgenotes
from agent.station.access import AccessLog
from agent.station.conflicts import Conflicts
from agent.station.index import Index
from agent.station.indexed import Events, Segment
from agent.station.layout import AgencyPaths
from agent.station.logs import Logs
from agent.station.state import State

CLOCK_STEP_S = 3.0
"""Longer than any step of a file system's clock: 2 s with FAT, a few ms with ext4."""


@dataclass
class Done:
    """How many segments were added, how many opened, and why others were not."""

    added: int = 0
    opened: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Told:
    """What came of a batch: how many were opened, which are sealed to other keys, which could not be read."""

    opened: int = 0
    closed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class _Held(NamedTuple):
    """Some bytes of a segment, by all receipts that name them: when first, until when at least, where they lie now, and
    whether one says that they are evidence.
    """

    since_s: int
    until_s: int
    place: str
    proven: bool

    @classmethod
    def of(cls, told: receipt.Receipt, stored: receipt.Stored, proven: bool) -> _Held:
        return cls(told.issued_s, stored.until_s, stored.place, proven)

    def joined(self, later: _Held) -> _Held:
        until_s = max(self.until_s, later.until_s) if self.until_s and later.until_s else 0
        return _Held(min(self.since_s, later.since_s), until_s, later.place, self.proven or later.proven)


_Stamp = tuple[int, int, int]


class _Receipts:
    """Of one camera: which the index has heard of, and at which stamp (inode(7)) of their directory these were all. A
    file that comes or goes changes it, but not within one step of the file system's clock: so a stamp says nothing
    until it was there for longer than that.
    """

    def __init__(self) -> None:
        self.heard = set[str]()
        self._all_at: _Stamp | None = None
        self._seen: _Stamp | None = None
        self._since_s = 0.0

    def look(self, directory: Path, now_s: float) -> _Stamp | None:
        """Its stamp, to be taken before it is listed; None where it cannot be gone by. `now_s` is monotonic."""
        try:
            found = os.stat(directory)
        except OSError:
            # Whoever lists it says why.
            self._seen = None
            return None
        stamp = found.st_dev, found.st_ino, found.st_ctime_ns
        if stamp != self._seen:
            self._seen, self._since_s = stamp, now_s
        return stamp if now_s - self._since_s >= CLOCK_STEP_S else None

    def are_heard(self, stamp: _Stamp | None) -> bool:
        return stamp is not None and stamp == self._all_at

    def hear(self, names: Sequence[str], stamp: _Stamp | None) -> None:
        """All of them, as they were listed after the look that gave this stamp."""
        self.heard.update(names)
        self._all_at = stamp


class Reindexer:
    """Reads the station's store; writes the index alone. `now_s` is monotonic."""

    def __init__(
        self, paths: AgencyPaths, index: Index, state: State, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths, self._index, self._state = paths, index, state
        self._trust = admin.load_certificates(paths.trust_root)[0]
        self._logs = Logs(paths.station / "log", state, Conflicts(paths.station / "conflicts"))
        self._told: dict[str, _Receipts] = {}
        self._now_s = now_s

    def build(self, progress: Callable[[Path], None] = lambda path: None) -> Done:
        """Add what lacks, and what was purged."""
        done = Done()
        for camera in durable.names(self._paths.station / "segments"):
            try:
                held = self._receipts(camera, self._receipt_names(camera))
            except AgentError:
                # Until when they are kept is not known, and an end that is too late would stay. `extend` says why.
                continue
            for name, path in self._new(camera, held):
                progress(path)
                try:
                    self._add(camera, name, path, held)
                    done.added += 1
                except AgentError as err:
                    done.problems.append(f"{camera}/{path.name}: {err.message}")
        done.problems += self.extend().values()
        done.problems += self._kept_leaves()
        try:
            lines, named = AccessLog(self._paths.access).lines(), purgenotes.named(self._paths, self._trust)
            keeping.purged(self._index, lines, self._stored(), named)
        except EvidenceError as err:
            done.problems.append(f"{err.message}: what it says was purged counts as owed")
        return done

    def _kept_leaves(self) -> Iterator[str]:
        for camera in durable.names(self._paths.station / "segments"):
            try:
                keptleaves.learn(self._paths.station, self._index, self._state, self._logs, camera)
            except StorageError as err:
                yield f"{camera}: which leaves its left-overs hold is not known: {err.message}"

    def extend(self) -> dict[str, str]:
        """What is indexed is kept for as long as any receipt says, and lies where it says, also one of which the index
        has not heard. Returns the cameras of which that is not known, with the reason.
        """
        self._told.clear()
        told = {camera: self.hear(camera) for camera in durable.names(self._paths.station / "segments")}
        return {camera: why for camera, why in told.items() if why is not None}

    def hear(self, camera: str) -> str | None:
        """The same by the receipts of this camera that were signed since; why that is not known, None where it is.
        Each recording that is purged asks, with a lock in hand, of thousands of receipts: they are not listed where
        their directory has not changed.
        """
        told = self._told.setdefault(camera, _Receipts())
        stamp = told.look(self._paths.station / "receipts" / camera, self._now_s())
        if told.are_heard(stamp):
            return None
        try:
            new = [name for name in self._receipt_names(camera) if name not in told.heard]
            held = self._receipts(camera, new)
            if held:
                self._index.receipted(camera, {key: (one.until_s, one.place) for key, one in held.items()})
        except AgentError as err:
            return f"{camera}: {err.message}: {err.hint}"
        told.hear(new, stamp)
        return None

    def _stored(self) -> Callable[[str, str], bool]:
        """Whether this segment (camera, name) is indexed, and there."""
        places = {(s.camera, s.name): s.place for s in self._index.segments() if s.purged_s is None}
        return lambda *key: key in places and durable.is_there(self._paths.station / places[key])

    def closed(self) -> list[Segment]:
        """What is stored, and was not opened yet; camera by camera."""
        return [s for s in self._index.segments() if not s.opened and s.purged_s is None]

    def open(self, segments: Sequence[Segment], identities: Sequence[age.Identity], done: Done) -> Told:
        """The events of these. Raises StorageError where the index cannot take them."""
        told = Told()
        for segment in segments:
            try:
                read = self._open(segment, self._paths.station / segment.place, identities)
            except KeyTrustError:
                told.closed.append(segment.name)
            except AgentError as err:
                told.failed.append(segment.name)
                done.problems.append(f"{segment.camera}/{segment.name}: {err.message}")
            else:
                self._index.opened(segment, read)
                told.opened += 1
                done.opened += 1
        return told

    def _new(self, camera: str, held: Mapping[tuple[str, str], _Held]) -> Iterator[tuple[str, Path]]:
        """What is stored and not indexed: by name, the bytes that a receipt says were found to be evidence, else those
        that have the name.
        """
        directory = self._paths.station / "segments" / camera
        places = {name.removesuffix(".tar"): directory / name for name in durable.names(directory, ".tar")}
        proven = [(name, self._paths.station / one.place) for (name, _), one in held.items() if one.proven]
        for name, _ in proven:
            places.pop(name, None)
        places |= {name: path for name, path in proven if durable.is_there(path)}
        for segment in self._index.segments(camera):
            if segment.purged_s is None:
                places.pop(segment.name, None)
        yield from sorted(places.items())

    def _add(self, camera: str, name: str, path: Path, held: Mapping[tuple[str, str], _Held]) -> None:
        with durable.storage_errors(path, "cannot read"), path.open("rb") as file:
            origin = pack.PackReader(file.read).head().origin
        epoch = number_of(origin)
        head = self._state.head(camera, epoch)
        if head is None or head.origin != origin:
            raise EvidenceError("nothing of its log is cosigned")
        tree = self._logs.tree(camera, epoch, head.size)
        expected = check.Expected(camera, origin, self._trust, head.size, head.root, tree, head.note)
        found = check.check_segment(path, name, expected)
        place = path.relative_to(self._paths.station).as_posix()
        one = held.get((name, found.sha256)) or _Held(int(path.stat().st_mtime), 0, place, True)
        self._index.add(camera, name, epoch, found.sha256, found.size, found.told, place, one.since_s, one.until_s)

    def _receipt_names(self, camera: str) -> list[str]:
        directory = self._paths.station / "receipts" / camera
        return durable.names(directory, ".receipt") if directory.is_dir() else []

    def _receipts(self, camera: str, names: Sequence[str]) -> dict[tuple[str, str], _Held]:
        """By segment and digest."""
        found: dict[tuple[str, str], _Held] = {}
        directory = self._paths.station / "receipts" / camera
        for name in names:
            told = _receipt(directory / name)
            for proven, items in ((True, told.stored), (False, told.kept)):
                for stored in items:
                    if stored.place in layout.places(camera, stored.segment, stored.sha256):
                        key, now = (stored.segment, stored.sha256), _Held.of(told, stored, proven)
                        found[key] = found[key].joined(now) if key in found else now
        return found

    def _open(self, segment: Segment, path: Path, identities: Sequence[age.Identity]) -> Events:
        told = openedevents.Told(segment)
        with durable.storage_errors(path, "cannot read"), path.open("rb", buffering=1 << 20) as file:
            reader = pack.PackReader(file.read)
            reader.head()
            for number, entry in enumerate(reader.entries()):
                if number == 0:
                    # Of one key set throughout; a segment without events is opened by no other key either.
                    age.file_key(entry.sealed, identities)
                leaf = leaves.parse(entry.leaf)
                if number == 0:
                    told.begins(leaf)
                if not isinstance(leaf, leaves.EventLeaf) or leaf.kind is not leaves.Kind.EVENT:
                    continue
                told.add(leaf, events.parse(leaves.open_body(age.decrypt(entry.sealed, identities), leaf.body)))
        return told.read


def _receipt(path: Path) -> receipt.Receipt:
    """Raises EvidenceError, StorageError."""
    hint = "restore it from the backup, or move it away"
    try:
        with durable.storage_errors(path, "cannot read"):
            return receipt.parse(note.parse(path.read_bytes()).text)
    except StorageError as err:
        raise StorageError(err.message, hint) from err
    except EvidenceError as err:
        raise EvidenceError(f"{path}: {err.message}", hint) from err
