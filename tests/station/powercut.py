"""A station's disk, written down call by call, and what of it a power cut cannot take: so that each answer it gave can
be held against what is durable at that moment, and at every later one.

A process may also be killed between two calls, and the next one goes on with what the kernel still has, durable or not.
SQLite makes its calls past Python: what it commits counts as durable where its own settings say that it syncs.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.formats import merkle, note, receipt
from agent.model import SegmentState
from agent.station.app import open_app
from agent.station.layout import AgencyPaths
from agent.station.state import State
from tests.camera_kit import CAMERA, Desk
from tests.fault.replay.disk import EMPTY, Disk
from tests.fault.replay.tape import Do, Op, Tape, _Opened
from tests.station.kit import PATCH, TUS, Answer, Bench, announcement, checkpoint_request, digest

FULL = 2
"""PRAGMA synchronous: with the WAL, each commit is synced before it returns (sqlite.org/pragma.html)."""
Deaf = Callable[[Do, str], bool]


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Promises:
    """What was said to the camera: how far uploads are, heads that were cosigned, chains taken, receipts."""

    uploads: dict[str, tuple[str, int, bytes]] = field(default_factory=dict)
    cosigned: int = 0
    chains: dict[str, bytes] = field(default_factory=dict)
    receipts: list[receipt.Receipt] = field(default_factory=list)


class StationTape(Tape):
    """The station's directory. `kill_at` is the call after which the process is killed, by its number."""

    def __init__(self, root: Path, deaf: Deaf = lambda do, path: False) -> None:
        super().__init__(root, lambda: 0, deaf=deaf)
        self.kill_at: int | None = None
        self.commits: list[bytes] = []
        self._dead = False

    def _note(self, do: Do, path: str = "", **what: Any) -> None:
        super()._note(do, path, **what)
        if self.kill_at is not None and len(self.ops) >= self.kill_at:
            self._dead = True
            raise Killed

    def _wrap(self, hook: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        whole = super()._wrap(hook, real)

        def call(*arguments: Any, **keywords: Any) -> Any:
            if self._dead and real is not _CLOSE:
                raise Killed
            return whole(*arguments, **keywords)

        return call

    def _of(self, fd: int) -> _Opened | None:
        """Also one that was opened past os.open."""
        path = self._inside(os.readlink(f"/proc/self/fd/{fd}"))
        if path is None:
            return None
        return _Opened(path, self.names.get(path, 0))

    def born_again(self) -> None:
        """The next process begins."""
        self.kill_at, self._dead = None, False
        self._opened.clear()

    def commit(self, db: sqlite3.Connection) -> None:
        """A change of the state was committed."""
        if db.execute("PRAGMA synchronous").fetchone()[0] >= FULL:
            self.commits.append(db.serialize())


_CLOSE = os.close


def _without_wal(image: bytes) -> bytes:
    """A database that can be opened in memory (sqlite.org/fileformat2.html, bytes 18 and 19)."""
    return image[:18] + b"\1\1" + image[20:]


def _begins(op: Op) -> int:
    """From which byte on it changes something."""
    return op.size if op.do is Do.TRUNCATE else op.offset


class _Database:
    """The state's connection, which tells of what it commits."""

    def __init__(self, db: sqlite3.Connection, tape: StationTape) -> None:
        self._db, self._tape = db, tape

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        done = self._db.execute(statement, values)
        if not self._db.in_transaction and statement.split()[0] in ("INSERT", "UPDATE", "COMMIT"):
            self._tape.commit(self._db)
        return done

    def close(self) -> None:
        self._db.close()


class Life:
    """Processes of one station, one after the other, and the camera that docks there."""

    def __init__(
        self, paths: AgencyPaths, desk: Desk, deaf: Deaf = lambda do, path: False, synchronous: str = ""
    ) -> None:
        """`synchronous` sets SQLite's pragma of that name to something else than the product does."""
        self._paths, self._desk, self._synchronous = paths, desk, synchronous
        paths.station.mkdir()
        self.tape = StationTape(paths.station, deaf)
        self.promises = Promises()
        self._read: tuple[bytes, tuple[int, int, list[tuple[str]]]] = b"", (0, 0, [])
        self.disk, self._played, self.broken = Disk(), 0, list[str]()

    @contextmanager
    def process(self) -> Iterator[Bench]:
        """One of the station's, until its end or until it is killed."""
        self.tape.born_again()
        state = None
        try:
            with contextlib.suppress(Killed), self.tape.running():
                state = State(self._paths.state)
                if self._synchronous:
                    state._db.execute(f"PRAGMA synchronous={self._synchronous}")
                state._db = _Database(state._db._db, self.tape)  # type: ignore[assignment]
                yield Bench(self._paths, open_app(self._paths, state), state)
        finally:
            if state:
                state.close()

    def visit(self, kill_at: int | None = None, impatient: bool = False) -> None:
        """One visit of the camera, from its beginning; an impatient one asks for the receipt first of all."""
        with self.process() as station:
            self.tape.kill_at = kill_at
            if impatient:
                self._attest(station)
            self._log(station)
            # Junk that came first under a name: what is genuine is put aside.
            records = self._desk.spool.records(SegmentState.SEALED)
            self._send(station, records[-1].segment, b"junk")
            for record in records:
                data = self._desk.spool.segment(SegmentState.SEALED, record.segment).read_bytes()
                self._send(station, record.segment, data)
            self._attest(station)

    def _log(self, station: Bench) -> None:
        log = self._desk.spool.log_dir(1)
        signed = (log / "checkpoint").read_bytes()
        size = note.parse_checkpoint(note.parse(signed).text).size
        told = json.loads(self._ask(station, "GET", "/log/1").body)
        if told["proven"] < size:
            for tile in merkle.tiles_of(size):
                self._ask(station, "PUT", f"/log/1/{tile.path}", (log / tile.path).read_bytes())
        chain = self._desk.log.session.chain_pem
        self._ask(station, "PUT", "/log/1/chain", chain)
        self.promises.chains[digest(chain)] = chain
        self.check()
        if told["cosigned"] < size:
            self._ask(station, "POST", "/add-checkpoint", checkpoint_request(told["cosigned"], [], signed))
            self.promises.cosigned = size
            self.check()

    def _send(self, station: Bench, name: str, data: bytes) -> None:
        """In two pieces, as far as it is not there."""
        sha256 = digest(data)
        path = self._ask(station, "POST", "/files", b"", announcement(name, sha256, len(data))).headers["Location"]
        offset = int(self._ask(station, "HEAD", path, b"", TUS).headers["Upload-Offset"])
        self._told(path, name, offset, data)
        while offset < len(data):
            piece = data[offset : offset + len(data) // 2 + 1]
            answer = self._ask(station, "PATCH", path, piece, {**PATCH, "Upload-Offset": str(offset)})
            offset = int(answer.headers["Upload-Offset"])
            self._told(path, name, offset, data)

    def start_over(self) -> None:
        """One upload whose bytes come wrong at first, and then half of the right ones."""
        record = self._desk.spool.records(SegmentState.SEALED)[0]
        data = self._desk.spool.segment(SegmentState.SEALED, record.segment).read_bytes()
        with self.process() as station:
            said = announcement(record.segment, digest(data), len(data))
            path = self._ask(station, "POST", "/files", b"", said).headers["Location"]
            wrong = station.ask("PATCH", path, bytes(len(data)), {**PATCH, "Upload-Offset": "0"})
            assert wrong.status == 460
            assert self._ask(station, "HEAD", path, b"", TUS).headers["Upload-Offset"] == "0"
            half = len(data) // 2
            self._ask(station, "PATCH", path, data[:half], {**PATCH, "Upload-Offset": "0"})
            self._told(path, record.segment, half, data)

    def _told(self, path: str, name: str, offset: int, data: bytes) -> None:
        self.promises.uploads[path.rsplit("/", 1)[1]] = name, offset, data
        self.check()

    def _attest(self, station: Bench) -> None:
        named = [[r.segment, r.sha256] for r in self._desk.spool.records(SegmentState.SEALED)]
        answer = station.ask("POST", "/attest", json.dumps({"epoch": 1, "segments": named}).encode())
        if self.tape._dead:
            raise Killed
        if answer.status == 409:
            return
        told = json.loads(answer.body)
        said = receipt.parse(note.parse(told["receipt"].encode()).text)
        for stored in said.stored:
            for upload, (_, _, data) in list(self.promises.uploads.items()):
                if digest(data) == stored.sha256:
                    # Its record has done its work; from here on it is the receipt that counts.
                    del self.promises.uploads[upload]
        self.promises.receipts.append(said)
        self.check()

    def _ask(self, station: Bench, *words: Any) -> Answer:
        answer = station.ask(*words)
        assert answer.status in (200, 201, 204), (words[:2], answer)
        return answer

    # -- what must hold --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """All that was promised so far is durable now, whatever becomes of the rest."""
        for op in self.tape.ops[self._played :]:
            self.disk.play(op)
        self._played = len(self.tape.ops)
        for upload, (name, offset, data) in self.promises.uploads.items():
            self._check_upload(upload, name, offset, data)
        for name, chain in self.promises.chains.items():
            if self.durable(f"log/{CAMERA}/1/chain/{name}.pem") != chain:
                self.broken.append(f"the chain {name} was taken, and is not durable")
        if self.promises.cosigned or self.promises.receipts:
            self._check_state()
        for said in self.promises.receipts:
            for stored in said.stored:
                held = self.durable(stored.place)
                if held is None or digest(held) != stored.sha256:
                    self.broken.append(f"a receipt says {stored.place}, which is not durable")

    def _check_upload(self, upload: str, name: str, offset: int, data: bytes) -> None:
        record, part = self.durable(f"uploads/{upload}.json"), self.durable(f"uploads/{upload}.part", offset)
        places = f"segments/{CAMERA}/{name}.tar", f"conflicts/{CAMERA}/{name}.{digest(data)}.tar"
        if data in map(self.durable, places):
            return
        if offset == len(data):
            self.broken.append(f"all of {name} was told, and is not durable")
        elif record is None or (part or b"")[:offset] != data[:offset]:
            self.broken.append(f"{offset} bytes of {name} were told, and are not durable")

    def _check_state(self) -> None:
        size, proven, files = self._state()
        if size < self.promises.cosigned:
            self.broken.append(f"{self.promises.cosigned} leaves were cosigned, and the state has {size}")
        if len(files) < len({said.text() for said in self.promises.receipts}):
            self.broken.append("a receipt was given, and the state does not know it")
        for (file,) in files:
            if self.durable(f"receipts/{file}") is None:
                self.broken.append(f"receipts/{file} is not durable")
        log = self._desk.spool.log_dir(1)
        for tile in merkle.tiles_of(proven):
            if self.durable(f"log/{CAMERA}/1/{tile.path}") != (log / tile.path).read_bytes():
                self.broken.append(f"{tile.path} counts as proven, and is not durable")

    def _state(self) -> tuple[int, int, list[tuple[str]]]:
        """Size of the head and how much of it is proven, and the receipts: as the last durable commit has them."""
        if not self.tape.commits:
            return 0, 0, []
        if self._read[0] is self.tape.commits[-1]:
            return self._read[1]
        with contextlib.closing(sqlite3.connect(":memory:")) as db:
            db.deserialize(_without_wal(self.tape.commits[-1]))
            (head,) = db.execute("SELECT size, proven FROM head").fetchall() or [(0, 0)]
            found = (*head, db.execute("SELECT file FROM receipt").fetchall())
        self._read = self.tape.commits[-1], found
        return found

    def durable(self, path: str, size: int | None = None) -> bytes | None:
        """What the file of this name holds, where no cut can take the name or change the bytes, or so many of them."""
        parents = [str(p) for p in Path(path).parents if str(p) != "."]
        file = self.disk.names.get(path)
        if file is None or any(p not in self.disk.names for p in parents):
            return None
        for change in self.disk.pending:
            if any(n.path == path and n.file != file for n in change.names):
                return None
            if not change.names and change.op.file == file and (size is None or _begins(change.op) < size):
                return None
        content = self.disk.files.get(file, EMPTY)
        return content.data + bytes(content.size - len(content.data))
