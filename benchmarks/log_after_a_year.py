"""What the log costs after a year of shifts, against the same log after an hour: to start on it, to append, to prove.

Each side is a child that starts on tiles which were written before, as a camera does, and is the same program.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from agent.identity import FileSigner
from agent.sealing.session import open_session
from agent.station.layout import AgencyPaths
from benchmarks import footage
from benchmarks.log_store import YEAR, build
from benchmarks.measure import run_child
from benchmarks.report import CostComparison, CostRun
from tests.camera_kit import CAMERA, ORIGIN, FakeClock, make_agency

NAME = "log-after-a-year"
HOUR = 7_200
DEADLINE_S = 600
BYTES_A_LEAF = 33
"""Of tiles: 32 at level 0, and 1/256 of that for each level above."""


def run(repeat: int, say: Callable[[str], None], leaves: int = YEAR) -> CostComparison:
    """`repeat` rounds on one log of `leaves` leaves. Raises AgentError where a side fails."""
    with footage.workplace(2 * leaves * BYTES_A_LEAF) as place:
        agency = make_agency(place / "agency")
        sizes = {"a year": leaves, "an hour": HOUR}
        for side, size in sizes.items():
            say(f"{NAME}: {side}: tiles of {size} leaves")
            prepare(agency, place / side, size)
        rounds = []
        for number in range(repeat):
            rounds.append(tuple(_side(side, agency, place / side) for side in sizes))
            told = ", ".join(f"{r.side} starts in {r.more['open_ms']:.0f} ms" for r in rounds[-1])
            say(f"  round {number + 1}: {told}")
    return CostComparison(NAME, f"{leaves} leaves", "an hour", None, tuple(rounds), {})


def prepare(agency: AgencyPaths, spool: Path, leaves: int) -> None:
    """A spool with the log of so many leaves, and no segment: all were delivered and deleted."""
    keys = agency.camera(CAMERA)
    chain = keys.identity_chain.read_bytes()
    session = open_session(FileSigner(keys.identity_key), chain, CAMERA, FakeClock().boot_id)
    build(spool / "log" / "1", leaves, session, ORIGIN)


def _side(side: str, agency: AgencyPaths, spool: Path) -> CostRun:
    log = spool.with_name(f"{side} log")
    command = [sys.executable, "-m", "benchmarks.log_probe", str(agency.root), str(spool)]
    cost, wall_s = run_child(command, log, DEADLINE_S)
    told: dict[str, float] = json.loads(log.read_text("utf-8").splitlines()[-1])
    return CostRun(side, cost, wall_s, told)
