"""`verify` against sha256sum over the same files, `decrypt` against `age -d` on one file of the same bytes; and ours
again on a sixteenth of it, which shows whether memory grows with the evidence.

Both sides read and write the same place. `decrypt` checks each part against its leaf, and writes a file for each; age
does neither.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import footage
from benchmarks.measure import run_child
from benchmarks.report import CostComparison, CostRun

VERIFY, DECRYPT = "verify-vs-sha256sum", "decrypt-vs-age"
VERIFY_AIM, DECRYPT_AIM = 2.0, 1.5
TOOL = Path(sys.executable).with_name("bodycam-evidence")
SMALLER = 16
DEADLINE_S = 900

Say = Callable[[str], None]
Words = list[str | Path]


def verify(mib: int, repeat: int, say: Say) -> CostComparison:
    """Rounds of both sides, each after the other. Raises AgentError where one fails."""

    def ours(given: footage.Footage, _: Path) -> Words:
        return [TOOL, "verify", *given.segments, "--trust", given.root]

    def stock(given: footage.Footage, _: Path) -> Words:
        return ["sha256sum", *given.segments]

    return _compare(VERIFY, "verify", ours, "sha256sum", stock, VERIFY_AIM, mib, repeat, say)


def decrypt(mib: int, repeat: int, say: Say) -> CostComparison:
    """As `verify`."""

    def ours(given: footage.Footage, out: Path) -> Words:
        return [TOOL, "decrypt", *given.segments, "-i", given.key, "-o", out / "parts"]

    def stock(given: footage.Footage, out: Path) -> Words:
        return ["age", "-d", "-i", given.key, "-o", out / "plain", given.one_age_file]

    return _compare(DECRYPT, "decrypt", ours, "age", stock, DECRYPT_AIM, mib, repeat, say)


Command = Callable[[footage.Footage, Path], Words]


def _compare(
    name: str, side: str, ours: Command, base: str, stock: Command, aim: float, mib: int, repeat: int, say: Say
) -> CostComparison:
    say(f"{name}: {mib} MiB, {repeat} x 2")
    small = max(1, mib // SMALLER)
    with footage.workplace((3 * mib + 2 * small) << 20) as place:
        given, less = footage.make(place / "all", mib), footage.make(place / "less", small)
        rounds = []
        for number in range(repeat):
            rounds.append((
                _run(side, ours(given, place / "out"), place),
                _run(base, stock(given, place / "out"), place),
                _run(f"{side}, {small} MiB", ours(less, place / "out"), place),
            ))  # fmt: skip
            say(f"  round {number + 1}: " + ", ".join(f"{r.side} {r.wall_s:.2f} s" for r in rounds[-1]))
    versions = {base: _version(base)}
    return CostComparison(name, f"{mib} MiB, {len(given.segments)} segments", base, aim, tuple(rounds), versions)


def _run(side: str, command: Words, place: Path) -> CostRun:
    out = place / "out"
    out.mkdir()
    try:
        cost, wall_s = run_child([str(word) for word in command], place / "log", DEADLINE_S)
    finally:
        shutil.rmtree(out)
    return CostRun(side, cost, wall_s)


def _version(program: str) -> str:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return (told.stdout or told.stderr).splitlines()[0].split()[-1]
