"""Runs into one table of ratios, and into docs/results/benchmark.json. Pure but for `write`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from agent import durable
from benchmarks.sides import SideRun
from tests.campaigns import RESULTS, commit

_HEAD = ("comparison", "clip", "side", "CPU s", "ratio", "startup s", "peak MiB", "pictures", "kbit/s")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rounds of the same sides in the same order; `base` is the side that the others are compared with, `aim` the
    ratio wanted of the first.
    """

    name: str
    clip: str
    seconds: int
    base: str
    aim: float
    rounds: tuple[tuple[SideRun, ...], ...]
    versions: dict[str, str]

    def side_names(self) -> list[str]:
        return [run.side for run in self.rounds[0]]

    def ratios(self, side: str) -> list[float]:
        """CPU seconds of `side` by those of the base in the same round, for each round."""
        return [_of(r, side).cost.cpu_s / _of(r, self.base).cost.cpu_s for r in self.rounds]

    def ratio(self, side: str) -> float:
        """The median of `ratios`."""
        return median(self.ratios(side))

    def figures(self, side: str) -> dict[str, Any]:
        """Medians of one side."""
        runs = [_of(r, side) for r in self.rounds]
        startup = [r.startup_cpu_s for r in runs if r.startup_cpu_s is not None]
        return {
            "cpu_s": round(median(r.cost.cpu_s for r in runs), 2),
            "user_s": round(median(r.cost.user_s for r in runs), 2),
            "system_s": round(median(r.cost.system_s for r in runs), 2),
            "startup_cpu_s": round(median(startup), 2) if startup else None,
            "ratio": round(self.ratio(side), 3),
            "ratio_of_each_round": [round(ratio, 3) for ratio in self.ratios(side)],
            "cpu_s_of_each_round": [round(r.cost.cpu_s, 2) for r in runs],
            "peak_rss_mib": round(max(r.cost.peak_rss_mib for r in runs)),
            "pictures_encoded": [r.frames for r in runs],
            "pictures_kept": [r.kept for r in runs],
            "media_kbps": round(median(r.media_kbps for r in runs)),
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "comparison": self.name,
            "clip": self.clip,
            "seconds": self.seconds,
            "rounds": len(self.rounds),
            "base": self.base,
            "aim": self.aim,
            "ratio": round(self.ratio(self.side_names()[0]), 3),
            "versions": self.versions,
            "sides": {side: self.figures(side) for side in self.side_names()},
        }


def _of(round_: Sequence[SideRun], side: str) -> SideRun:
    return next(run for run in round_ if run.side == side)


def table(comparisons: Sequence[Comparison]) -> str:
    """One line a side, columns aligned; then what was compared, in words."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for comparison in comparisons:
        rows += [_row(comparison, side) for side in comparison.side_names()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(_cell(row[n], widths[n], n) for n in range(len(_HEAD))).rstrip() for row in rows]
    return "\n".join(lines + [""] + [_words(c) for c in comparisons])


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < 3 else text.rjust(width)


def _row(comparison: Comparison, side: str) -> tuple[str, ...]:
    f = comparison.figures(side)
    startup = "-" if f["startup_cpu_s"] is None else f"{f['startup_cpu_s']:.2f}"
    return (
        *(comparison.name, comparison.clip, side, f"{f['cpu_s']:.2f}", f"{f['ratio']:.3f}", startup),
        *(f"{f['peak_rss_mib']}", f"{f['pictures_encoded'][-1]}", f"{f['media_kbps']}"),
    )


def _words(comparison: Comparison) -> str:
    first = comparison.side_names()[0]
    versions = ", ".join(f"{name}: {version}" for name, version in comparison.versions.items())
    return (
        f"{comparison.name}, {comparison.clip}: {first} takes {comparison.ratio(first):.3f} of {comparison.base}'s CPU "
        f"(aim {comparison.aim}; rounds {_spread(comparison.ratios(first))}); {comparison.seconds} s a side; {versions}"
    )


def _spread(ratios: list[float]) -> str:
    return ", ".join(f"{ratio:.3f}" for ratio in ratios)


def document(comparisons: Sequence[Comparison], command: str) -> dict[str, Any]:
    """The results with what is needed to repeat them."""
    return {
        "commit": commit(),
        "command": command,
        "machine": {
            "arch": platform.machine(),
            "cpus": os.cpu_count(),
            "cpu": _cpu_model(),
            "python": platform.python_version(),
            "raspberry_pi": False,
        },
        "comparisons": [comparison.to_dict() for comparison in comparisons],
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def write(told: dict[str, Any]) -> Path:
    """Replace docs/results/benchmark.json."""
    path = RESULTS / "benchmark.json"
    durable.make_dir(RESULTS, 0o755)
    durable.write_file(path, json.dumps(told, indent=2).encode("utf-8") + b"\n", 0o644)
    return path
