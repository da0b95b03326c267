"""Runs into one table of ratios, and into docs/results/benchmark.json. Pure but for `write`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal, Protocol, TypeVar

from agent import durable
from benchmarks.measure import Cost
from benchmarks.sides import SideRun
from tests.campaigns import RESULTS, commit

CLIPS = "recorder-vs-ffmpeg"
"""The comparison that is made for more than one clip."""
_HEAD = ("comparison", "input", "side", "CPU s", "wall s", "ratio", "startup s", "peak MiB", "pictures", "kbit/s")


class Compared(Protocol):
    """One comparison, as the table and the results show it."""

    @property
    def name(self) -> str: ...
    def side_names(self) -> list[str]: ...
    def row(self, side: str) -> tuple[str, ...]:
        """The cells under `_HEAD`."""
        ...

    def words(self) -> str:
        """One sentence."""
        ...

    def missed(self) -> list[str]:
        """The figures that are not as they are wanted."""
        ...

    def to_dict(self) -> dict[str, Any]: ...


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
    more: Mapping[str, float] = field(default_factory=dict)
    """Figures that only this comparison has."""
    aims: Mapping[str, float] = field(default_factory=dict)
    """Of those: each at most so much."""

    def side_names(self) -> list[str]:
        return [run.side for run in self.rounds[0]]

    def missed(self) -> list[str]:
        """The figures that are above their aims."""
        figures = {"ratio": round(self.ratio(self.side_names()[0]), 3), **self.more}
        return _above({"ratio": self.aim, **self.aims}, figures)

    def ratios(self, side: str) -> list[float]:
        """CPU seconds of `side` by those of the base in the same round, for each round; for as many pictures."""
        return [_of(r, side).cpu_s_of_a_picture / _of(r, self.base).cpu_s_of_a_picture for r in self.rounds]

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

    def row(self, side: str) -> tuple[str, ...]:
        f = self.figures(side)
        startup = "-" if f["startup_cpu_s"] is None else f"{f['startup_cpu_s']:.2f}"
        return (
            *(self.name, self.clip, side, f"{f['cpu_s']:.2f}", "-", f"{f['ratio']:.3f}", startup),
            *(f"{f['peak_rss_mib']}", f"{f['pictures_encoded'][-1]}", f"{f['media_kbps']}"),
        )

    def words(self) -> str:
        first = self.side_names()[0]
        versions = ", ".join(f"{name}: {version}" for name, version in (*self.more.items(), *self.versions.items()))
        aims = "".join(f", {key} at most {most:g}" for key, most in self.aims.items())
        missed = f"MISSED: {', '.join(self.missed())}; " if self.missed() else ""
        return (
            f"{self.name}, {self.clip}: {first} takes {self.ratio(first):.3f} of {self.base}'s CPU (aim {self.aim}"
            f"{aims}; rounds {_spread(self.ratios(first))}); {missed}{self.seconds} s a side; {versions}"
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "comparison": self.name,
            "clip": self.clip,
            "seconds": self.seconds,
            "rounds": len(self.rounds),
            "base": self.base,
            "aim": self.aim,
            "ratio": round(self.ratio(self.side_names()[0]), 3),
            **self.more,
            "aims": dict(self.aims),
            "missed": self.missed(),
            "versions": self.versions,
            "sides": {side: self.figures(side) for side in self.side_names()},
        }


@dataclass(frozen=True, slots=True)
class CostRun:
    """One side, once: what it cost, how long it took, and figures that only this comparison has."""

    side: str
    cost: Cost
    wall_s: float
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CostComparison:
    """Rounds of the same sides in the same order. The ratio is that of the time that passed (`by` "wall") or of the CPU
    that was used; `base` is what the first side is compared with. Further sides are the first on another input.
    """

    name: str
    given: str
    base: str
    aim: float | None
    rounds: tuple[tuple[CostRun, ...], ...]
    versions: Mapping[str, str]
    by: Literal["wall", "cpu"] = "wall"
    aims: Mapping[str, float] = field(default_factory=dict)
    """Of further figures of the result: each at most so much."""

    def side_names(self) -> list[str]:
        return [run.side for run in self.rounds[0]]

    def ratios(self, by: str) -> list[float]:
        """Of the first side to the base, within each round."""
        return [_spent(r[0], by) / _spent(_of(r, self.base), by) for r in self.rounds]

    def figures(self, side: str) -> dict[str, Any]:
        """Medians of one side; its largest peak of memory."""
        runs = [_of(r, side) for r in self.rounds]
        return {
            "cpu_s": round(median(r.cost.cpu_s for r in runs), 2),
            "wall_s": round(median(r.wall_s for r in runs), 2),
            "peak_rss_mib": round(max(r.cost.peak_rss_mib for r in runs)),
            **{key: round(median(r.more[key] for r in runs), 2) for key in runs[0].more},
        }

    def row(self, side: str) -> tuple[str, ...]:
        f = self.figures(side)
        ratio = {self.side_names()[0]: f"{median(self.ratios(self.by)):.3f}", self.base: "1.000"}.get(side, "-")
        return (
            *(self.name, self.given, side, f"{f['cpu_s']:.2f}", f"{f['wall_s']:.2f}", ratio, "-"),
            *(f"{f['peak_rss_mib']}", "-", "-"),
        )

    def words(self) -> str:
        first, aim = self.side_names()[0], f"aim {self.aim}; " if self.aim else ""
        told = [
            f"{median(self.ratios(by)):.3f} of {self.base}'s {unit} (rounds {_spread(self.ratios(by))})"
            for by, unit in (("wall", "time"), ("cpu", "CPU"))
        ]
        base = self._more(self.base)
        # A figure that the other side has none of stands alone.
        more = [f"{key} {v} ({base[key]})" if key in base else f"{key} {v}" for key, v in self._more(first).items()]
        versions = [f"{name}: {version}" for name, version in self.versions.items()]
        peaks = [f"peak {self.figures(side)['peak_rss_mib']} MiB with {side}" for side in self.side_names()]
        figures = self._figures()
        aims = [f"{key} {figures[key]:g} (aim {most:g})" for key, most in self.aims.items()]
        missed = [f"MISSED: {', '.join(self.missed())}"] if self.missed() else []
        return f"{self.name}: {aim}{first} takes {'; '.join([*told, *more, *peaks, *aims, *missed, *versions])}"

    def missed(self) -> list[str]:
        """The figures that are above their aims."""
        return _above({"ratio": self.aim, **self.aims} if self.aim else self.aims, self._figures())

    def _figures(self) -> dict[str, float]:
        """Those that may have an aim."""
        return {
            "ratio": round(median(self.ratios(self.by)), 2),
            "wall_ratio": round(median(self.ratios("wall")), 2),
            "cpu_ratio": round(median(self.ratios("cpu")), 2),
            "peak_rss_mib": self.figures(self.side_names()[0])["peak_rss_mib"],
        }

    def _more(self, side: str) -> dict[str, float]:
        figures = self.figures(side)
        return {key: figures[key] for key in _of(self.rounds[0], side).more}

    def to_dict(self) -> dict[str, Any]:
        first = self.side_names()[0]
        sides = {side: self.figures(side) for side in self.side_names()}
        return {
            "comparison": self.name,
            "input": self.given,
            "rounds": len(self.rounds),
            "base": self.base,
            "aim": self.aim,
            "ratio_of": self.by,
            **({"aims": dict(self.aims), "missed": self.missed()} if self.aims else {}),
            **self._figures(),
            **without_start({"sides": sides}),
            "ratio_of_each_round": [round(ratio, 3) for ratio in self.ratios(self.by)],
            "peak_rss_mib_of_less": self.figures(self.side_names()[-1])["peak_rss_mib"],
            **self._more(first),
            "versions": dict(self.versions),
            "sides": sides,
        }


def _above(aims: Mapping[str, float], figures: Mapping[str, float]) -> list[str]:
    return [key for key, most in aims.items() if figures[key] > most]


def without_start(told: Mapping[str, Any]) -> dict[str, float]:
    """The ratios of time and of CPU less what both processes cost that find nothing to send, from a result's two sides;
    none where they tell of no start, or did no more than that.
    """
    sides = list(told.get("sides", {}).values())
    if len(sides) != 2 or not all("start_cpu_s" in side for side in sides):
        return {}
    found = {}
    for by in ("wall", "cpu"):
        ours, theirs = (side[f"{by}_s"] - side[f"start_{by}_s"] for side in sides)
        if ours > 0 < theirs:
            found[f"{by}_ratio_without_start"] = round(ours / theirs, 2)
    return found


def _spent(run: CostRun, by: str) -> float:
    return run.wall_s if by == "wall" else run.cost.cpu_s


Run = TypeVar("Run", SideRun, CostRun)


def _of(round_: Sequence[Run], side: str) -> Run:
    return next(run for run in round_ if run.side == side)


def table(comparisons: Sequence[Compared]) -> str:
    """One line a side, columns aligned; then what was compared, in words."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for comparison in comparisons:
        rows += [comparison.row(side) for side in comparison.side_names()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(_cell(row[n], widths[n], n) for n in range(len(_HEAD))).rstrip() for row in rows]
    return "\n".join(lines + [""] + [c.words() for c in comparisons])


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < 3 else text.rjust(width)


def _spread(ratios: list[float]) -> str:
    return ", ".join(f"{ratio:.3f}" for ratio in ratios)


def document(comparisons: Sequence[Compared], command: str) -> dict[str, Any]:
    """The results with what is needed to repeat them."""
    return {**_made_by(command), "comparisons": [comparison.to_dict() for comparison in comparisons]}


def _made_by(command: str) -> dict[str, Any]:
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
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def write(comparisons: Sequence[Compared], command: str) -> list[Path]:
    """Replace docs/results/benchmark.json, with all clips that were compared there, and benchmark-NAME.json of all
    others.
    """
    films = [c for c in comparisons if c.name == CLIPS]
    files = {"benchmark.json": document(films, command)} if films else {}
    for other in comparisons:
        if other.name != CLIPS:
            files[f"benchmark-{other.name}.json"] = {**_made_by(command), **other.to_dict()}
    durable.make_dir(RESULTS, 0o755)
    for name, told in files.items():
        durable.write_file(RESULTS / name, json.dumps(told, indent=2).encode("utf-8") + b"\n", 0o644)
    return [RESULTS / name for name in files]
