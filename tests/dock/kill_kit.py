"""One run of the kill matrix: a camera with sealed segments, its recorder, an uploader and a station, of which some are
killed or cut off at random instants. The recorder deletes what it has a receipt for as fast as it can.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from agent.formats.leaf import Kind
from agent.formats.note import parse
from agent.formats.receipt import parse as parse_receipt
from agent.model import SegmentState
from agent.station.layout import AgencyPaths
from agent.station.serve import Station
from agent.vault import Vault
from tests import campaigns
from tests.camera_kit import CAMERA, Desk, FakeClock
from tests.dock.cable import Cable
from tests.ports import free_port
from tests.recorder_kit import make_config
from tests.station.kit import own_agency
from tests.uploader_child import uploader

HOUSE = Path(__file__).resolve().parents[2]
LIMIT_KBPS = 100_000
RECORDINGS = campaigns.size(sample=((10, 100_000), (42, 210_000)), full=((40, 100_000), (50, 220_000)))
"""Parts of so many bytes each."""
DEADLINE_S = 120.0
POLL_S = 0.01
SERVE = "import sys; from agent.station.commands import main; sys.exit(main(sys.argv[1:]))"
KINDS = ("client", "server", "network", "all")
MOMENTS = ("log", "segments", "receipt", "any")


def make_spool(agency: AgencyPaths, root: Path) -> Path:
    """Event segments, a short recording and a long one, which goes in pieces."""
    desk = Desk(agency, root).open()
    desk.tiles.write_chain(desk.log.session.chain_pem)
    desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {"resumes": None})
    for parts, size in RECORDINGS:
        name = desk.record(parts, size)
        desk.sealer.stop_recording(name, {"type": "record.stop"})
        desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    desk.sealer.close()
    return root


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Recorder(threading.Thread):
    """Takes receipts, and deletes what they allow at once. What it saw go that should not have is in `wrong`."""

    def __init__(self, agency: AgencyPaths, root: Path, held: Callable[[str], Path]) -> None:
        super().__init__(name="recorder")
        self._vault = Vault(make_config(agency, root), FakeClock())
        self._vault.sealer.seal_open()
        self._held = held
        self.sealed = {r.segment: r.sha256 for r in self._vault.spool.records(SegmentState.SEALED)}
        self.deleted: set[str] = set()
        self.wrong: list[str] = []
        self._over = threading.Event()

    def run(self) -> None:
        try:
            while not self._over.wait(POLL_S):
                _, refusals = self._vault.accept_receipts()
                self.wrong += refusals
                self._vault.retain(force=True)
                self._look()
        except Exception as err:
            self.wrong.append(f"{type(err).__name__}: {err}")

    def _look(self) -> None:
        spool = self._vault.spool
        here = {p.stem for s in (SegmentState.SEALED, SegmentState.DELIVERED) for p in spool.segments(s)}
        for name in self.sealed.keys() - here - self.deleted:
            self.deleted.add(name)
            told = [parse_receipt(parse(p.read_bytes()).text) for p in spool.receipts()]
            if not any(s.sha256 == self.sealed[name] and s.segment == name for t in told for s in t.stored):
                self.wrong.append(f"{name} was deleted without a receipt")
            if not self._held(name).exists() or digest(self._held(name)) != self.sealed[name]:
                self.wrong.append(f"{name} was deleted, and the station does not have it")

    def close(self) -> None:
        self._over.set()
        self.join(DEADLINE_S)
        self._vault.close()


@dataclass
class Outcome:
    """What one run came to."""

    hits: dict[str, int] = field(default_factory=dict)
    """What was killed or cut, in which state of the uploader: how often."""
    wrong: list[str] = field(default_factory=list)
    segments: int = 0


class Run:
    """`kind` is what is killed. Use as a context manager."""

    def __init__(self, agency: AgencyPaths, template: Path, root: Path, kind: str, chance: random.Random) -> None:
        self.agency = own_agency(agency, root / "agency")
        self.spool = root / "spool"
        shutil.copytree(template, self.spool)
        self.recorder = Recorder(self.agency, root, self.held)
        self._kind, self._chance = kind, chance
        self._port = free_port()
        self.outcome = Outcome(segments=len(self.recorder.sealed))
        self._total = sum(p.stat().st_size for p in self.spool.glob("sealed/*.tar"))
        self._words = (root / "words").open("wb")
        self._stack = contextlib.ExitStack()
        self._client: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def held(self, name: str) -> Path:
        return self.agency.station / "segments" / CAMERA / f"{name}.tar"

    def __enter__(self) -> Run:
        self._stack.callback(self._words.close)
        self.recorder.start()
        self._stack.callback(self.recorder.close)
        if self._kind in ("server", "all"):
            self._stack.callback(self._end, "_server")
            self._start_server()
        else:
            station = Station(self.agency.root, port=self._port)
            station.start()
            self._stack.callback(station.stop)
        self.cable = self._stack.enter_context(Cable(self._port))
        if self._kind in ("client", "all"):
            self._stack.callback(self._end, "_client")
            self._start_client()
        else:
            stop = threading.Event()
            sender = threading.Thread(
                target=uploader(self.agency, self.spool, self.cable.url, LIMIT_KBPS).run, args=(stop,)
            )
            sender.start()
            self._stack.callback(sender.join, 30)
            self._stack.callback(stop.set)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- what happens ----------------------------------------------------------------------------------------------

    def go(self, faults: int) -> Outcome:
        """So many faults, then peace until all is delivered and deleted; and a look at what the station holds."""
        for _ in range(faults):
            if not self._reach(self._chance.choice(MOMENTS)):
                break
            self._strike()
        self._until("everything is delivered and deleted", self._finished)
        self.outcome.wrong += self.recorder.wrong
        self._look()
        return self.outcome

    def _reach(self, moment: str) -> bool:
        """Wait for a random instant. False where all was over before."""
        at = self._chance.random()
        conditions: dict[str, Callable[[], bool]] = {
            "log": lambda: self.cable.carried > at * 20_000,
            "segments": lambda: self._arrived() >= at * self._total,
            "receipt": lambda: self._state() in ("attesting", "delivered"),
            "any": lambda: self.cable.connections > 0,
        }
        self._until(f"{moment} {at}", lambda: conditions[moment]() or self._finished())
        if moment in ("receipt", "any"):
            time.sleep(at * (0.05 if moment == "receipt" else 1.5))
        return not self._finished()

    def _strike(self) -> None:
        kind = self._chance.choice(KINDS[:3]) if self._kind == "all" else self._kind
        key = f"{kind} while {self._state() or 'starting'}"
        match kind:
            case "client":
                self._end("_client")
                self._start_client()
            case "server":
                self._end("_server")
                self._start_server()
            case _:
                self.cable.cut()
                time.sleep(self._chance.uniform(0, 0.3))
                self.cable.mend()
        self.outcome.hits[key] = self.outcome.hits.get(key, 0) + 1

    def _look(self) -> None:
        """The station holds each segment once, with the bytes that were sealed, and nothing else."""
        found = sorted(self.agency.station.glob("segments/*/*"))
        names = {p.stem for p in found}
        if names != self.recorder.sealed.keys() or len(found) != len(names):
            self.outcome.wrong.append(f"the station holds {sorted(p.name for p in found)}")
        for path in found:
            if digest(path) != self.recorder.sealed.get(path.stem):
                self.outcome.wrong.append(f"{path.name} has other bytes than were sealed")
        left = [*self.agency.station.glob("conflicts/*/*"), *self.agency.station.glob("uploads/*.part")]
        if left:
            self.outcome.wrong.append(f"left over: {left}")

    # -- who and where ---------------------------------------------------------------------------------------------

    def _finished(self) -> bool:
        return self.recorder.deleted == self.recorder.sealed.keys() or bool(self.recorder.wrong)

    def _arrived(self) -> int:
        sizes: dict[int, int] = {}
        for path in (*self.agency.station.glob("segments/*/*.tar"), *self.agency.station.glob("uploads/*.part")):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                sizes[status.st_ino] = status.st_size
        return sum(sizes.values())

    def _state(self) -> str:
        try:
            return str(json.loads((self.spool / "inbox" / "progress.json").read_bytes())["state"])
        except (OSError, ValueError):
            return ""

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > end:
                progress = (self.spool / "inbox" / "progress.json").read_text()
                raise AssertionError(f"never: {what}; {self.outcome}; {progress}; {self.recorder.deleted}")
            time.sleep(POLL_S)

    def _start_client(self) -> None:
        self._client = _spawn(
            self._words,
            "-m",
            "tests.uploader_child",
            str(self.agency.root),
            str(self.spool),
            self.cable.url,
            LIMIT_KBPS,
        )

    def _start_server(self) -> None:
        where = f"127.0.0.1:{self._port}"
        self._server = _spawn(self._words, "-c", SERVE, "serve", "--dir", str(self.agency.root), "--listen", where)

    def _end(self, which: str) -> None:
        process: subprocess.Popen[bytes] = getattr(self, which)
        process.kill()
        process.wait(20)


def _spawn(words: IO[bytes], *argv: str | int | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *map(str, argv)], cwd=HOUSE, stdout=words, stderr=words)


def runs(seed: int, count: int) -> Iterator[tuple[str, int, random.Random]]:
    """(kind, how many faults, randomness) of each run; the kinds take turns."""
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        yield KINDS[number % len(KINDS)], chance.choice((1, 1, 2, 3)), chance
