"""One camera's life, and many states of its disk, each judged: what a campaign is made of."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import AgentError
from agent.station.layout import AgencyPaths
from tests.fault.replay.cuts import START, START_AGAIN, Cut, Cutter, Write
from tests.fault.replay.disk import Disk
from tests.fault.replay.judge import BrokenError, Judge, Lost, Promises
from tests.fault.replay.lives import COUNTER, PART_NS, RING_PARTS, Camera, busy, long_log, pressed, renewed
from tests.fault.replay.tape import Do, Tape

MEMORY = Path("/dev/shm")
NO_NEWS = 200
"""So many states in a row that were met before: there are no others of this class in this life."""
CUT_AGAIN = (
    Write.PART,
    Write.EVENT,
    Write.HEAD,
    Write.SEAL,
    Write.RECORD,
    Write.RENAME,
    Write.CHECKPOINT,
    Write.RECEIPT,
    Write.EPOCH,
)
"""Starts after a cut in one of these are cut again."""
Deaf = Callable[[Do, str], bool]
Writes = frozenset[Write] | None
"""The classes to cut in; None is all."""


@dataclass
class Tally:
    """`states` are the digests of those that were judged, by class of write; the losses are of live media, and of
    what a ring held while it was flushed.
    """

    states: dict[str, set[bytes]] = field(default_factory=dict)
    worst_loss_ns: int = 0
    worst_flush_loss_ns: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name, digests in other.states.items():
            self.states.setdefault(name, set()).update(digests)
        self.lost(Lost(other.worst_loss_ns, other.worst_flush_loss_ns))
        self.failures += other.failures

    def lost(self, lost: Lost) -> None:
        self.worst_loss_ns = max(self.worst_loss_ns, lost.live_ns)
        self.worst_flush_loss_ns = max(self.worst_flush_loss_ns, lost.flush_ns)

    @property
    def distinct(self) -> int:
        return len(set().union(*self.states.values()))


@contextmanager
def memory() -> Iterator[Path]:
    """A directory in memory, where there is one: no state needs a real disk."""
    directory = Path(tempfile.mkdtemp(prefix="replay-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


class Series:
    """`quota` distinct states of each class, or all there are."""

    def __init__(self, agency: AgencyPaths, root: Path, seed: int, quota: int) -> None:
        self._agency, self._root, self._seed, self._quota = agency, root, seed, quota
        self._chance = random.Random(seed)
        self.tally = Tally()

    def run(
        self,
        script: Callable[[Camera], None],
        writes: Writes = None,
        deaf: Deaf | None = None,
        refused: float = 0.0,
        deaf_start: Deaf = lambda do, path: False,
        ring_ns: int = 0,
    ) -> None:
        """Live, cut, and judge. `deaf` and `refused` are the camera's, `deaf_start` that of its starts after a cut;
        `ring_ns` lies in memory at each press.
        """
        camera = Camera(self._agency, self._root / "camera", self._chance, refused)
        tape = camera.live(script, deaf) if deaf else camera.live(script)
        states, epoch = self._root / "states", camera.vault.epoch
        judge = Judge(self._agency, camera.config, camera.parts, states, epoch, ring_ns, deaf_start)
        if camera.vault.epoch > 1:
            judge.learn(camera.root)
        self.cut(tape, judge, writes, COUNTER)

    def cut(self, tape: Tape, judge: Judge, writes: Writes = None, counter: int | None = None) -> None:
        """Cut a life that is on tape, and judge. `counter` is where the hardware counter stood before it."""
        self._judge = judge
        promises = Promises.of(tape.ops, Disk(), Promises(counter=counter))
        self.tally.failures += promises[-1].faults
        cutter = Cutter(tape.ops, Disk(), self._chance)
        for write in cutter.writes():
            if writes is None or write in writes:
                for cut in self._new(cutter, write, self._quota):
                    self._try(cut, tape, promises[cut.step], promises[cut.step])
        if writes is None or Write.RECOVERY in writes:
            self._cut_again(cutter, tape, promises, writes)

    def _new(self, cutter: Cutter, write: Write, quota: int) -> Iterator[Cut]:
        """Cuts whose state was not met before in this class; what is the same in every life, in the first alone."""
        seen, stale = self.tally.states.setdefault(write.value, set()), 0
        until = len(seen) + quota
        for cut in cutter.cuts(write):
            digest = cut.image.digest
            old = digest in seen or (self._seed > 0 and cut.image.bare)
            stale = stale + 1 if old else 0
            if not old:
                seen.add(digest)
                yield cut
            if len(seen) >= until or stale >= NO_NEWS:
                return

    def _try(self, cut: Cut, tape: Tape, promises: Promises, before: Promises, at_ns: int | None = None) -> None:
        """`before` is what was promised in the life that was cut first, at `at_ns`."""
        when = _latest_ns(tape, cut.step) if at_ns is None else at_ns
        try:
            lost = self._judge.judge(cut, promises, before, when)
        except BrokenError as err:
            self.tally.failures.append(f"{cut.write.value}, step {cut.step}, {cut.how}: {err}")
        else:
            self.tally.lost(lost)

    # -- the power goes while the camera starts after a cut --------------------------------------------------------

    def _cut_again(self, cutter: Cutter, tape: Tape, promises: list[Promises], asked: Writes) -> None:
        writes = [write for write in CUT_AGAIN if write in cutter.writes() and (asked is None or write in asked)]
        share = -(-self._quota // len(writes))
        for write in writes:
            cuts = cutter.cuts(write)
            first = next(cut for number, cut in enumerate(cuts) if number >= self._chance.randrange(40))
            at_ns = tape.ops[first.step].at_ns
            before = promises[first.step]
            again = self._start_cut(first, before, before, at_ns, START, share)
            if again is not None:
                self._start_cut(*again, before, at_ns, START_AGAIN, share)

    def _start_cut(
        self, cut: Cut, promises: Promises, before: Promises, at_ns: int, phase: str, quota: int
    ) -> tuple[Cut, Promises] | None:
        """Judge cuts of the start after `cut`. Returns one of them, and what was promised by then."""
        try:
            tape, disk = self._judge.start_taped(cut.image, promises.counter, at_ns, phase)
        except AgentError as err:
            self.tally.failures.append(f"{cut.write.value}, step {cut.step}, {cut.how}: {err.message}")
            return None
        promised = Promises.of(tape.ops, disk, promises)
        self.tally.failures += promised[-1].faults
        cutter = Cutter(tape.ops, disk.copy(), self._chance)
        write = Write.RECOVERY if phase == START else Write.RECOVERY_AGAIN
        chosen = None
        for number, again in enumerate(self._new(cutter, write, quota)):
            self._try(again, tape, promised[again.step], before, at_ns)
            if chosen is None or self._chance.random() < 1 / (number + 1):
                chosen = again, promised[again.step]
        return chosen


def _latest_ns(tape: Tape, step: int) -> int:
    """When the power may go and still leave the state of this step: until the sync that follows it has returned, or
    that of something written after it. (A file made ahead is synced with its head, seconds later.)
    """
    files = {tape.ops[step].file}
    for op in tape.ops[step + 1 :]:
        if op.do in (Do.SYNC, Do.SYNC_DATA) and op.file in files:
            return op.at_ns
        if op.do is Do.WRITE:
            files.add(op.file)
    return tape.ops[step].at_ns


def run(agency_root: Path, seed: int, quota: int) -> Tally:
    """The lives of one seed, in memory: a busy one, one of two epochs, one cut while a ring is flushed or just after,
    one whose log is long enough for a full tile.
    """
    tally = Tally()
    with memory() as root:
        agency = AgencyPaths(agency_root)
        shift = Series(agency, root / "shift", seed, quota)
        # Every second camera has a disk that refuses now and then.
        shift.run(busy, refused=0.04 if seed % 2 else 0.0)
        tally.add(shift.tally)
        two = Series(agency, root / "two", seed, quota)
        two.run(renewed, frozenset({Write.EPOCH, Write.RECOVERY}))
        tally.add(two.tally)
        ring = Series(agency, root / "ring", seed, quota)
        ring.run(pressed, frozenset({Write.PART}), ring_ns=RING_PARTS * PART_NS)
        tally.add(ring.tally)
        if seed % 3 == 0:
            long = Series(agency, root / "long", seed, 3 * quota)
            long.run(long_log, frozenset({Write.FULL_TILE}))
            tally.add(long.tally)
    return tally
