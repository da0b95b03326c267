"""What a camera must make of any state a power cut may leave: it starts, keeps its promises, and its log stays one."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.config import Config
from agent.errors import AgentError
from agent.evidence.findings import What
from agent.evidence.ledger import CameraAccounts, accounts_of
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import Report, verify
from agent.formats import age, note, pack
from agent.formats import leaf as leaves
from agent.formats.epoch import number_of
from agent.formats.leaf import Kind
from agent.model import NS, SegmentState
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests.camera_kit import ORIGIN, FakeClock, read
from tests.fault.replay.cuts import Cut
from tests.fault.replay.disk import Disk, Image
from tests.fault.replay.lives import INIT, Hardware, start_vault
from tests.fault.replay.tape import Do, Op, Tape

BOUND_NS = NS
LIVE_NS = NS // 2
"""A part that is durable within this after its end was written live: nothing older waits."""
RING_TIMES = 10
"""So many times as fast as it was recorded a ring becomes durable, the aim of benchmarks/ring_flush.py; what is not
caught up by then is judged as live.
"""
STEM = ORIGIN.rpartition("/")[0]
NOTE = re.compile(rb"%s/([0-9]{1,6})\n([0-9]{1,18})\n([A-Za-z0-9+/]{43}=)\n\n" % STEM.encode())
Place = tuple[int, int]
"""Epoch, and index or size in its log."""


@dataclass(frozen=True)
class Kept:
    """One entry that was promised, and where."""

    leaf: bytes
    segment: str


@dataclass
class Promises:
    """What the camera said before the cut. `leaves` were durable; `roots` are those of every checkpoint that stood
    outside open/, or was durable; `deleted` are the segments that a deletion leaf allows to be gone.
    `counter` is where the hardware counter stands, None where there is none. `caught_up` are the recordings of which
    what lay before the press was durable, and what came live meanwhile.
    """

    leaves: dict[Place, Kept] = field(default_factory=dict)
    roots: dict[Place, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    counter: int | None = None
    caught_up: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, ops: Sequence[Op], start: Disk, before: Promises | None = None) -> list[Promises]:
        """After each number of operations, beginning with none. What an earlier life promised stays promised."""
        now = before.copy() if before else Promises()
        now.faults.clear()
        all_of_them, disk = [now], start.copy()
        for op in ops:
            if op.do in (Do.PROMISE, Do.COUNT, Do.RENAME):
                now = now.copy()
            if op.do is Do.COUNT:
                now.counter = op.size
            if op.do is Do.PROMISE:
                now._entry(op)
            disk.play(op)
            if op.do is Do.RENAME:
                now._shown(op, disk)
            all_of_them.append(now)
        return all_of_them

    def copy(self) -> Promises:
        said = dict(self.leaves), dict(self.roots), set(self.deleted)
        return Promises(*said, self.counter, set(self.caught_up), list(self.faults))

    def _entry(self, op: Op) -> None:
        (entry,) = pack.PackReader(io.BytesIO(op.data).read).entries()
        epoch = number_of(note.parse_checkpoint(note.parse(entry.note).text).origin)
        self.leaves[epoch, entry.index] = Kept(entry.leaf, Path(op.path).stem)
        leaf = leaves.parse(entry.leaf)
        self.deleted.update(str(item["segment"]) for item in _deleted(leaf))
        if isinstance(leaf, leaves.MediaLeaf) and op.at_ns - _end_ns(leaf) <= LIVE_NS:
            self.caught_up.add(leaf.recording)
        self._roots(entry.note)

    def _shown(self, op: Op, disk: Disk) -> None:
        """A name appears only when what it names is durable, and a checkpoint only when its leaves are."""
        if any(not p.names and p.op.file == op.file for p in disk.pending):
            self.faults.append(f"{op.to} appears before its bytes are durable")
        data = disk.files[op.file].data if op.file in disk.files else b""
        for epoch, size in self._roots(data) if op.to.endswith("/checkpoint") else ():
            if size - 1 > max((index for e, index in self.leaves if e == epoch), default=-1):
                self.faults.append(f"the checkpoint of {size} leaves is shown before the last of them is durable")

    def _roots(self, data: bytes) -> list[Place]:
        found = roots_in(data)
        for place, root in found:
            if self.roots.setdefault(place, root) != root:
                self.faults.append(f"two checkpoints of {place}")
        return [place for place, _ in found]


def roots_in(data: bytes) -> list[tuple[Place, bytes]]:
    """Every checkpoint's place and root, wherever it stands in these bytes."""
    return [((int(epoch), int(size)), root) for epoch, size, root in NOTE.findall(data)]


@dataclass(frozen=True, slots=True)
class Lost:
    """Of the recording that was cut, from the end of what is there to the cut: live media, or, where the power went
    while a ring was flushed, all of it.
    """

    live_ns: int = 0
    flush_ns: int = 0


class BrokenError(AssertionError):
    """What a state was made of that must not be."""


class Judge:
    """For states that the tapes of one camera leave."""

    def __init__(
        self,
        agency: AgencyPaths,
        config: Config,
        parts: Mapping[tuple[str, int], bytes],
        scratch: Path,
        last_epoch: int = 1,
        ring_ns: int = 0,
        deaf: Callable[[Do, str], bool] = lambda do, path: False,
        keyed: bool = False,
    ) -> None:
        """`parts` are the bytes of each by recording and number, where they are known; `last_epoch` is where the life
        came to; `ring_ns` lay in memory at each press; `deaf` is that of the tapes of starts; what its events say is
        looked at where it is `keyed`.
        """
        self._ring_ns, self._deaf, self._keyed = ring_ns, deaf, keyed
        self._last_epoch, self._true = last_epoch, frozenset[What]()
        self._config, self._parts, self._scratch = config, parts, scratch
        self._root = load_root(agency.trust_root)
        self._identities = age.parse_identity_file(agency.agency_identity.read_text())
        self._opened: dict[str, bytes] = {}
        self._number = 0

    def judge(self, cut: Cut, promises: Promises, before: Promises, at_ns: int) -> Lost:
        """What media is lost: captured until the first cut, which came at `at_ns`, when what is in `before` had been
        promised, and not there now. Raises BrokenError.
        """
        with self._laid_out(cut.image) as spool:
            try:
                self._look_before(spool, promises)
                vault = self._start(spool, at_ns, Hardware(promises.counter, lambda value: None))
                self._go_on(vault)
                return self._look_after(vault, promises, before, at_ns)
            except AgentError as err:
                raise BrokenError(f"{type(err).__name__}: {err.message}") from err

    def start_taped(self, image: Image, counter: int | None, at_ns: int, phase: str) -> tuple[Tape, Disk]:
        """A start from this state, written down, and the disk it began on. Raises AgentError where there is none."""
        with self._laid_out(image) as spool:
            tape = Tape(spool, lambda: at_ns, deaf=self._deaf)
            disk = Disk.of(image, tape.names)
            with tape.running(), tape.during(phase):
                hardware = Hardware(counter, tape.counted)
                vault = self._start(spool, at_ns, hardware, lambda size: tape.promise())
            vault.sealer.close()
            return tape, disk

    @contextmanager
    def _laid_out(self, image: Image) -> Iterator[Path]:
        self._number += 1
        base = self._scratch / f"{self._number}"
        base.mkdir(parents=True)
        try:
            image.lay_out(base / "spool")
            yield base / "spool"
        finally:
            shutil.rmtree(base)

    def _start(
        self, spool: Path, at_ns: int, counter: Hardware, on_durable: Callable[[int], None] = lambda size: None
    ) -> Vault:
        """As the recorder starts, after a boot."""
        config = replace(self._config, spool=replace(self._config.spool, dir=spool))
        clock = FakeClock(boot_id=f"99999999-2222-3333-4444-{self._number:012d}", now_ns=at_ns)
        return start_vault(config, clock, counter, on_durable)

    def _go_on(self, vault: Vault) -> None:
        _must(vault.rollback is None, f"the camera suspects its card: {vault.rollback}")
        refusals = vault.accept_receipts()[1]
        vault.renew()
        _must(not refusals, f"a receipt is refused: {refusals}")
        vault.sealer.event(Kind.EVENT, {"type": "heartbeat"})
        vault.close()
        _must(not vault.sealer.owes, "something is still owed")

    # -- as the card is taken out ------------------------------------------------------------------------------------

    def _look_before(self, spool: Path, promises: Promises) -> None:
        """A card that is read before the camera started again."""
        if any(spool.rglob("*.tar")):
            self._verify(spool)
        self._one_log(spool, promises)

    def learn(self, spool: Path) -> None:
        """What the verifier rightly says of the life without a cut."""
        self._true = frozenset(f.what for f in verify(collect([spool]), self._root).findings if f.fails)

    def _verify(self, spool: Path) -> Report:
        found = verify(collect([spool]), self._root)
        false = [f for f in found.findings if f.fails and f.what not in self._true]
        lines = [f.line() for f in found.findings if f in false or "tiles do not lead" in f.text]
        _must(not lines, f"the verifier says: {lines}")
        return found

    def _one_log(self, spool: Path, promises: Promises) -> None:
        """Outside open/ no checkpoint contradicts another one there, or one that was shown or durable. What was
        being written aside, in inbox/ or receipts/, is no file of its directory yet: torn over old blocks, it holds
        what open/ held.
        """
        roots = dict(promises.roots)
        for path in spool.rglob("*"):
            if path.parent.name in ("inbox", "receipts") and path.suffix == ".tmp":
                continue
            if path.parent.name != "open" and path.is_file() and path.name != "reserve":
                for place, root in roots_in(path.read_bytes()):
                    _must(roots.setdefault(place, root) == root, f"{path.name}: a second checkpoint of {place}")

    # -- when it has started ----------------------------------------------------------------------------------------

    def _look_after(self, vault: Vault, promises: Promises, before: Promises, at_ns: int) -> Lost:
        spool = vault.spool
        _must(not list(spool.open_dir.iterdir()), "something is left in open/")
        aside = [path for path in spool.root.rglob("*.tmp") if path.parent != spool.inbox_dir]
        _must(not aside, f"something is left aside: {aside}")
        self._look_at_directories(spool.root)
        report = self._verify(spool.root)
        self._one_log(spool.root, promises)
        entries = dict(self._entries(spool.root))
        gone = promises.deleted | {str(item["segment"]) for leaf, _ in entries.values() for item in _deleted(leaf)}
        for place, kept in promises.leaves.items():
            if place in entries:
                _must(entries[place][1] == kept.leaf, f"leaf {place} is not what it was")
            else:
                _must(kept.segment in gone, f"leaf {place} of {kept.segment} is gone")
        for epoch in {epoch for epoch, _ in entries}:
            end = max(index for e, index in entries if e == epoch) + 1
            missing = [i for i in range(end) if (epoch, i) not in entries and (epoch, i) not in promises.leaves]
            _must(not missing, f"leaves {missing} of epoch {epoch} are nowhere")
        reached = max((epoch for epoch, _ in promises.leaves), default=1)
        _must(reached <= vault.epoch <= self._last_epoch, f"epoch {vault.epoch} began: {vault.began}")
        gone_leaves = [kept.leaf for place, kept in promises.leaves.items() if place not in entries]
        accounts = accounts_of(report, self._identities if self._keyed else ())
        check_accounts(accounts, gone_leaves, self._last_epoch > 1, before, at_ns)
        return self._lost([leaf for leaf, _ in entries.values()], report, before, at_ns)

    def _look_at_directories(self, root: Path) -> None:
        _must((root / "inbox").stat().st_mode & 0o777 == 0o770, "the uploader cannot write to inbox/")

    def _entries(self, root: Path) -> Iterator[tuple[Place, tuple[leaves.Leaf, bytes]]]:
        """Place, leaf and its bytes; all of them open."""
        for state in (SegmentState.SEALED, SegmentState.DELIVERED):
            for path in (root / state.value).glob("*.tar"):
                header, reader, entries = read(path)
                epoch = number_of(header.origin)
                _must(reader.init is None or self._is_init(self._open(reader.init)), f"{path.name}: another init")
                for entry, leaf in entries:
                    self._check_opens(entry, leaf)
                    yield (epoch, entry.index), (leaf, entry.leaf)

    def _is_init(self, data: bytes) -> bool:
        return data == INIT or data[4:8] == b"ftyp"

    def _is_part(self, data: bytes, recording: str, part: int) -> bool:
        """The bytes that were given, where the test gave them."""
        given = self._parts.get((recording, part))
        return data == given if given is not None else data[4:8] == b"moof"

    def _check_opens(self, entry: pack.Entry, leaf: leaves.Leaf) -> None:
        data = self._open(entry.sealed, leaf.common.sealed.sha256)
        if isinstance(leaf, leaves.EventLeaf):
            leaves.open_body(data, leaf.body)
        else:
            _must(self._is_part(data, leaf.recording, leaf.part), f"part {leaf.part} holds other bytes")

    def _open(self, sealed: bytes, digest: str | None = None) -> bytes:
        """What has the same digest is the same; it need not be opened again."""
        if digest is None:
            return age.decrypt(sealed, self._identities)
        if digest not in self._opened:
            self._opened[digest] = age.decrypt(sealed, self._identities)
        return self._opened[digest]

    def _lost(self, found: Sequence[leaves.Leaf], report: Report, before: Promises, at_ns: int) -> Lost:
        """Of the recording that was cut; and no more than the verifier says of it."""
        cuts = [x for x in found if isinstance(x, leaves.EventLeaf) and x.kind is Kind.RECOVERY and x.recording]
        newest = max(cuts, key=lambda leaf: leaf.common.stamp.mono_ns, default=None)
        if newest is None or leaves.to_bytes(newest) in {kept.leaf for kept in before.leaves.values()}:
            return Lost()
        name = str(newest.recording)
        of_it = [x for x in found if x.recording == name]
        ends = [_end_ns(x) for x in of_it if isinstance(x, leaves.MediaLeaf)]
        _must(newest.facts["parts"] == len(ends), f"{name} was cut with {len(ends)} parts, the log says otherwise")
        pressed_ns = min(x.common.stamp.mono_ns for x in of_it)
        # Without a part, all since the press, and what lay before it.
        lost_ns = at_ns - max(ends, default=pressed_ns - self._ring_ns)
        (said,) = (state.loss for log in report.logs if (state := log.watch.recordings.get(name)))
        _must(said is not None and (said.at_most_ns is None) == (not ends), f"the verifier knows no loss: {said}")
        if said and said.at_most_ns is not None:
            _must(
                lost_ns <= said.at_most_ns, f"{lost_ns / 1e6:.0f} ms of media are lost, the verifier says {said.short}"
            )
        flushed_ns = pressed_ns + self._ring_ns // RING_TIMES + BOUND_NS
        if self._ring_ns and name not in before.caught_up and at_ns <= flushed_ns:
            return Lost(flush_ns=lost_ns)
        _must(lost_ns <= BOUND_NS, f"{lost_ns / 1e6:.0f} ms of live media are lost")
        return Lost(live_ns=lost_ns)


def check_accounts(
    cameras: Sequence[CameraAccounts], gone: Sequence[bytes], behind: bool, before: Promises, at_ns: int
) -> None:
    """Each second up to the last leaf has its account, but for those before all that is here, where leaves are `gone`
    with the segments that were deleted, and for what a station says of a log that is `behind`; and the power went no
    later after the last leaf than the accounts say.
    """
    (camera,) = cameras
    lived = {leaves.parse(kept.leaf).common.stamp.boot for kept in list(before.leaves.values())[-1:]}
    for powered in camera.boots:
        tiles = [0, *(account.end_ns for account in powered.accounts)]
        _must([a.begin_ns for a in powered.accounts] == tiles[:-1], f"the accounts do not tile: {powered.accounts}")
        _must(tiles[-1] == powered.last.boottime_ns, "the accounts do not end with the last leaf")
        for account in powered.unaccounted:
            why = account.reason
            true = (gone and "not given" in why) or (behind and "not here" in why)
            _must(bool(true), f"not accounted for: {account}")
        if powered.boot in lived and powered.tail_ns is not None:
            late_ns = at_ns - powered.last.mono_ns
            _must(
                late_ns <= powered.tail_ns,
                f"the power went {late_ns / NS:.3f} s after the last leaf: {powered.tail_ns}",
            )


def _end_ns(leaf: leaves.MediaLeaf) -> int:
    return leaf.zero_mono_ns + leaf.start_ns + leaf.duration_ns


def _deleted(leaf: leaves.Leaf) -> Sequence[Mapping[str, str]]:
    named = leaf.facts["segments"] if isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.DELETION else ()
    return named


def _must(true: bool, words: str) -> None:
    if not true:
        raise BrokenError(words)
