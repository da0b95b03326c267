"""What a child process cost: CPU and memory as the kernel counted them when it was reaped (wait4(2))."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError

TREE = Path(__file__).resolve().parent.parent
_LOOK_EVERY_S = 0.005
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one process with all its threads, and the most memory it ever held, in MiB."""

    user_s: float
    system_s: float
    peak_rss_mib: float

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def reap(process: subprocess.Popen[bytes], deadline_s: float, log: Path) -> Cost:
    """Wait for its end and say what it cost. Raises AgentError, with the end of its log, where it failed or had to be
    killed at the deadline.
    """
    killer = threading.Timer(deadline_s, process.kill)
    killer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        killer.cancel()
    # Popen must not wait for a process that is reaped already.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AgentError(f"{process.args!r} ended with {process.returncode}: {log.read_text('utf-8')[-1000:]}")
    return Cost(usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024)


def run_child(
    command: Sequence[str], log: Path, deadline_s: float, until: Callable[[], bool] = lambda: False
) -> tuple[Cost, float]:
    """Run a command to its end: what it cost, and how many seconds it took. Its output goes to `log`. A daemon is told
    to end (SIGTERM) when `until` says so, and took as long as until then.

    The peak is what the kernel says of its memory and of that of the processes it began (VmHWM, proc(5)), looked at
    until it ends: the figure of wait4(2) begins at what this process held when it was forked. Raises AgentError as
    `reap` does.
    """
    with log.open("wb") as words:
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=words, stderr=words, cwd=TREE)
    ended, peaks, told_s = threading.Event(), [0.0], list[float]()

    def over() -> bool:
        if found := until():
            told_s.append(time.monotonic())
        return found

    watching = threading.Thread(target=_watch, args=(process.pid, ended, peaks, over))
    watching.start()
    try:
        cost = reap(process, deadline_s, log)
        ended_s = time.monotonic()
    finally:
        ended.set()
        watching.join()
    wall_s = min([ended_s, *told_s]) - begun
    return Cost(cost.user_s, cost.system_s, peaks[-1]), wall_s


def _watch(pid: int, ended: threading.Event, peaks: list[float], until: Callable[[], bool]) -> None:
    """The peak of the process and of those it began, each with the pages that it shares with others."""
    begun: dict[int, float] = {}
    told = False
    while not ended.wait(_LOOK_EVERY_S):
        own = _peak_mib(pid)
        if own is None:
            return
        for child in _children(pid):
            begun[child] = max(begun.get(child, 0.0), _peak_mib(child) or 0.0)
        # Before exec(2) it is a copy of this process, so what counts is the last figure and not the largest.
        peaks.append(own + sum(begun.values()))
        if not told and until():
            told = True
            os.kill(pid, signal.SIGTERM)


def _peak_mib(pid: int) -> float | None:
    """VmHWM of proc(5); None of a process that is gone."""
    try:
        told = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in told.splitlines() if line.startswith("VmHWM:")), None)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def cpu_so_far_s(pid: int) -> float:
    """CPU seconds of a living process: utime and stime of proc(5), in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
