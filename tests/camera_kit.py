"""A camera on a desk without lens or microphone: real keys, real spool, parts of random bytes. Time is the test's."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.clock import Utc
from agent.errors import StorageError
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import Report, verify
from agent.formats import age, merkle, note, pack
from agent.formats import leaf as leaves
from agent.identity import FileSigner
from agent.model import NS, MediaPart, SegmentState
from agent.own import Own
from agent.recovery import Outcome, recover
from agent.sealing.log import Log
from agent.sealing.sealer import Sealer, SealerSettings
from agent.sealing.session import open_session
from agent.sealing.tiles import TileStore
from agent.spool.store import Spool
from agent.station import admin
from agent.station.layout import AgencyPaths

CAMERA = "cam-test"
ORIGIN = f"bodycam.local/{CAMERA}/1"


@dataclass
class FakeClock:
    """Stands still until told to go on; every reading adds a microsecond, so that no two are alike."""

    boot_id: str = "11111111-2222-3333-4444-555555555555"
    now_ns: int = 1_000 * NS
    utc_source: str = "synchronised"
    suspended_ns: int = 5 * NS
    stepped_ns: int = 0
    utc_bound_ms: int | None = 12

    def _read(self) -> int:
        self.now_ns += 1_000
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self._read()

    def boottime_ns(self) -> int:
        return self._read() + self.suspended_ns

    def utc(self) -> Utc:
        passed_ns = self._read() + self.suspended_ns
        return Utc(1_780_000_000 * NS + self.stepped_ns + passed_ns, self.utc_source, self.utc_bound_ms)


def make_agency(root: Path) -> AgencyPaths:
    """An agency with one enrolled camera, as `bodycam-station init` and `enrol` leave it."""
    paths = admin.init(root, "test agency")
    admin.enrol(root, CAMERA)
    return paths


@dataclass
class Desk:
    """One life of a camera: open it, use `sealer`, drop it (that is a power cut) or `shut` it."""

    agency: AgencyPaths
    root: Path
    clock: FakeClock = field(default_factory=FakeClock)
    segment_ns: int = 60 * NS
    segment_bytes: int = 64 << 20
    reserve_bytes: int = 1 << 16
    late: list[StorageError] = field(default_factory=list)
    """What the disk refused of what is owed."""

    def open(self) -> Desk:
        keys = self.agency.camera(CAMERA)
        session = open_session(
            FileSigner(keys.identity_key), keys.identity_chain.read_bytes(), CAMERA, self.clock.boot_id
        )
        self.spool = Spool(self.root)
        own, log = Own(ORIGIN.rpartition("/")[0], session.chain_pem), self.spool.log_dir(1)
        self.tiles = TileStore(log, own.head_beside(log / "chain.pem", 1))
        self.outcome: Outcome = recover(self.spool, self.tiles, own, 1)
        self.log = Log(ORIGIN, session, self.tiles, 300 * NS)
        recipients = tuple(age.parse_recipient(r) for r in self.agency.recipients.read_text().split())
        settings = SealerSettings(
            camera=CAMERA,
            recipients=recipients,
            open_dir=self.spool.open_dir,
            sealed_dir=self.spool.sealed_dir,
            log_reserve=self.root / "log" / "reserve",
            segment_ns=self.segment_ns,
            segment_bytes=self.segment_bytes,
            media_reserve_bytes=self.reserve_bytes,
        )
        self.sealer = Sealer(
            settings, self.log, self.clock, unannounced=self.outcome.unannounced, on_late=self.late.append
        )
        return self

    def identity(self) -> age.Identity:
        """What only the agency has."""
        return age.parse_identity_file(self.agency.agency_identity.read_text())[0]

    def record(self, parts: int, part_bytes: int = 3_000, first_start_ns: int = 0) -> str:
        """A recording of half-second parts that begin with an IDR every second one; left open."""
        name = self.sealer.start_recording({"type": "record.start", "trigger": "test"})
        self.begin_media(name)
        for number in range(parts):
            self.add(number, part_bytes, first_start_ns)
        return name

    def begin_media(self, name: str) -> None:
        """The init of a recording that was started; `add` then gives its parts, and settles after each."""
        self._name = name
        self.sealer.begin_media(name, b"ftyp-and-moov", self.clock.monotonic_ns())

    def add(self, number: int, part_bytes: int = 3_000, first_start_ns: int = 0) -> None:
        start = first_start_ns + number * NS // 2
        self.clock.now_ns += NS // 2
        self.sealer.media(
            self._name, MediaPart(number, os.urandom(part_bytes), start, NS // 2, number % 2 == 0, 15, 24_000)
        )
        self.sealer.settle()


def begin(desk: Desk) -> Desk:
    """This life's session leaf, and the recovery leaves it owes, as the recorder writes them first of all."""
    size = desk.log.next_index
    facts = {
        "session_cert": desk.log.session.cert_sha256,
        "resumes": {"size": size, "root": note.b64(desk.log.frontier.root())} if size else None,
        "receipt": None,
        "agent": "test",
    }
    desk.sealer.event(leaves.Kind.SESSION, {"type": "session"}, None, facts)
    for found in desk.outcome.recovered:
        desk.sealer.event(leaves.Kind.RECOVERY, {"type": "recovery"}, found.cut_recording, found.facts())
    return desk


def report(desk: Desk, *paths: Path) -> Report:
    """What the verifier says of the whole spool, or of these."""
    return verify(collect(paths or (desk.spool.root,)), load_root(desk.agency.trust_root))


def failing(found: Report) -> list[str]:
    return [f.line() for f in found.findings if f.fails]


def check_log(desk: Desk) -> list[leaves.Leaf]:
    """The sealed log has no gap, and its tiles lead to its head. Returns its leaves."""
    found = all_leaves(desk)
    assert [x.common.index for x in found] == list(range(len(found)))
    frontier = merkle.Frontier()
    for leaf in found:
        frontier = frontier.append(merkle.leaf_hash(leaves.to_bytes(leaf)))
    assert frontier == desk.log.frontier == desk.tiles.frontier()
    return found


def read(path: Path) -> tuple[pack.SegmentHeader, pack.PackReader, list[tuple[pack.Entry, leaves.Leaf]]]:
    with path.open("rb") as file:
        reader = pack.PackReader(file.read)
        header = reader.head()
        entries = [(e, leaves.parse(e.leaf)) for e in reader.entries()]
    return header, reader, entries


def all_leaves(desk: Desk) -> list[leaves.Leaf]:
    return all_leaves_of(desk.spool)


def all_leaves_of(spool: Spool) -> list[leaves.Leaf]:
    """Every leaf in sealed and delivered segments, in order of index."""
    found = []
    for state in (SegmentState.SEALED, SegmentState.DELIVERED):
        for path in spool.dir(state).glob("*.tar"):
            found += [leaf for _, leaf in read(path)[2]]
    return sorted(found, key=lambda leaf: leaf.common.index)
