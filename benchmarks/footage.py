"""Evidence to be checked: one recording at the recorder's default bitrate, sealed by its own sealer, and the same bytes
as one age file, as somebody would have kept them without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.errors import AgentError
from agent.model import NS, MediaPart
from agent.station.layout import AgencyPaths
from benchmarks.clip import CACHE
from benchmarks.settings import AUDIO_KBPS, PART_MS, VIDEO_KBPS
from tests.camera_kit import Desk, begin, make_agency

PART_BYTES = (VIDEO_KBPS + AUDIO_KBPS) * 1000 // 8 * PART_MS // 1000
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Footage:
    """Sealed segments, and one age file of all their parts for the same key."""

    mib: int
    segments: tuple[Path, ...]
    plain_bytes: int
    one_age_file: Path
    root: Path
    key: Path


@contextmanager
def workplace(wanted_bytes: int) -> Iterator[Path]:
    """A directory in memory where it has room, so that programs are compared and not a disk; else beside the clips."""
    free = min(_free_memory(), shutil.disk_usage(_MEMORY).free) if os.access(_MEMORY, os.W_OK) else 0
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="bodycam-benchmark-", dir=_MEMORY if free > 2 * wanted_bytes else CACHE) as place:
        yield Path(place)


def make(place: Path, mib: int) -> Footage:
    """About `mib` MiB of segments below `place`."""
    agency = make_agency(place / "agency")
    desk = begin(Desk(agency, place / "spool").open())
    count = max(1, (mib << 20) // PART_BYTES)
    plain = os.urandom(PART_BYTES)
    record(desk, count, plain)
    one = place / "one.age"
    _encrypt(agency, plain, count, one)
    segments = tuple(sorted(desk.spool.sealed_dir.glob("*.tar")))
    return Footage(mib, segments, count * len(plain), one, agency.trust_root, agency.agency_identity)


def record(desk: Desk, count: int, plain: bytes) -> None:
    """A recording of `count` parts of these bytes, stopped; segments are sealed between parts, as a camera does it."""
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.begin_media(name)
    part_ns = PART_MS * 1_000_000
    for number in range(count):
        desk.clock.now_ns += part_ns
        idr = number * part_ns % NS == 0
        desk.sealer.media(name, MediaPart(number, plain, number * part_ns, part_ns, idr, 15, 24_000))
        desk.sealer.settle()
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.seal_open()


def _encrypt(agency: AgencyPaths, plain: bytes, count: int, out: Path) -> None:
    recipients = agency.recipients.read_text("ascii").split()
    command = ["age", *(word for recipient in recipients for word in ("-r", recipient)), "-o", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as age:
        assert age.stdin
        for _ in range(count):
            age.stdin.write(plain)
        age.stdin.close()
    if age.returncode:
        raise AgentError(f"age ended with {age.returncode}", "see its words above")


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
