"""Export, verify and rewrap of a range stream: what they hold in memory does not grow with it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.formats import age
from tests import campaigns
from tests.builders import Camera, agency

PART_BYTES = 256 << 10
SEGMENT_PARTS = 120
GROWTH_BYTES = campaigns.size(sample=12, full=40) << 20


def write_recording(place: Path, parts: int) -> Path:
    """One recording of so many parts of noise; a segment is on disk, and forgotten, before the next begins."""
    camera = Camera(agency(), seed=4).new_session()
    camera.start()
    for number in range(parts):
        if number and number % SEGMENT_PARTS == 0:
            camera.rotate()
            camera.segments[-1].write(place)
            camera.segments[-1].entries.clear()
        camera.part(size=PART_BYTES)
    camera.stop()
    camera.shutdown()
    for segment in camera.segments:
        if segment.entries:
            segment.write(place)
    return place


# VmHWM is this program's alone; ru_maxrss is at least what the process that started it held.
CODE = """
import sys
from agent.evidence.commands import main
status = main(sys.argv[1:])
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmHWM")))
sys.exit(status)
"""


def peak_bytes(*words: object) -> tuple[int, float]:
    """(largest resident size, seconds) of `bodycam-evidence` run with these words."""
    began = time.monotonic()
    command = [sys.executable, "-c", CODE, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.split()[-1]) << 10, time.monotonic() - began


@pytest.mark.campaign
def test_memory_does_not_grow_with_the_range(tmp_path: Path) -> None:
    campaign = campaigns.Campaign("range-size")
    root, key = agency().write_trust(tmp_path)
    court = age.X25519Identity.generate().recipient.to_string()
    peaks: dict[str, list[int]] = {"export": [], "verify": [], "rewrap": []}
    seconds: dict[str, float] = {}
    for name, parts in (("small", 16), ("large", campaigns.size(sample=96, full=4096))):
        seg, out = write_recording(tmp_path / name / "seg", parts), tmp_path / name / "out"
        times = ("--from", "2026-03-01T08:00:00Z", "--to", "2026-03-01T23:00:00Z")
        more = ("--trust", root, "-i", key)
        for what, words in (
            ("export", (seg, *times, *more, "-o", out)),
            ("verify", (out, "--trust", root)),
            ("rewrap", (out, *more, "-r", court, "-o", tmp_path / name / "court")),
        ):
            peak, seconds[what] = peak_bytes(what, *words)
            peaks[what].append(peak)
        size = max(p.stat().st_size for p in out.glob("*.proof.tar"))
        assert size > parts * PART_BYTES
    growth = {what: large - small for what, (small, large) in peaks.items()}
    assert max(growth.values()) < GROWTH_BYTES, peaks
    campaign.finish(
        proof_bytes=size,
        **{f"{what}_peak_bytes": large for what, (_, large) in peaks.items()},
        **{f"{what}_growth_bytes": value for what, value in growth.items()},
        **{f"{what}_s": round(value, 1) for what, value in seconds.items()},
    )
