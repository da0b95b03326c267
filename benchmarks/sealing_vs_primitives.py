"""What a second of footage costs to seal, in CPU and in bytes, against the primitives that sealing cannot do without,
called bare on the same sizes. Each side is a child; only what it does after its keys are made is counted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import footage
from benchmarks.measure import Cost, run_child
from benchmarks.report import CostComparison, CostRun
from benchmarks.settings import PART_MS

NAME = "sealing-vs-primitives"
DEADLINE_S = 900


def run(seconds: int, repeat: int, say: Callable[[str], None]) -> CostComparison:
    """`repeat` rounds of `seconds` of footage. Raises AgentError where a side fails."""
    say(f"{NAME}: {seconds} s of footage, {repeat} x 2")
    count = seconds * 1000 // PART_MS
    rounds = []
    for number in range(repeat):
        rounds.append(tuple(_side(side, count, seconds) for side in ("sealer", "primitives")))
        told = ", ".join(f"{r.side} {r.more['cpu_ms_per_s_of_footage']:.2f} ms/s" for r in rounds[-1])
        say(f"  round {number + 1}: {told}")
    given = f"{seconds} s, parts of {footage.PART_BYTES} bytes"
    return CostComparison(NAME, given, "primitives", None, tuple(rounds), {}, by="cpu")


def _side(side: str, count: int, seconds: int) -> CostRun:
    with footage.workplace(2 * count * footage.PART_BYTES) as place:
        log = place / "log"
        command = [sys.executable, "-m", "benchmarks.seal_parts", side, str(place / "work"), str(count)]
        cost, wall_s = run_child(command, log, DEADLINE_S)
        told = _last_line(log)
    counted = Cost(told["cpu_s"], 0.0, cost.peak_rss_mib)
    more = {
        "cpu_ms_per_s_of_footage": told["cpu_s"] * 1000 / seconds,
        "overhead_bytes_per_s_of_footage": told["overhead_bytes"] / seconds,
    }
    return CostRun(side, counted, wall_s, more)


def _last_line(log: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(log.read_text("utf-8").splitlines()[-1])
    return found
