"""The bench's child processes: started in sessions of their own, so that Ctrl-C reaches the bench alone and it
stops them in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from agent.errors import AgentError, DeviceError, Exit

STOP_S = 45.0
HURRY_S = 10.0
ENDS_S = 1.0
RECORDER, RECORDER_NICE = "recorder", -5
"""As its unit has it: pictures are not to wait for anything else on the machine."""


def _end_with_parent() -> None:
    """PR_SET_PDEATHSIG (prctl(2)): a killed bench leaves no process behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def prefer(name: str, pid: int) -> None:
    """Give a recorder that has just begun, in a session of its own, the priority that its unit gives it, where the user
    may. Against other sessions that of its autogroup counts (sched(7)).
    """
    if name == RECORDER:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, RECORDER_NICE)
            Path(f"/proc/{pid}/autogroup").write_text(f"{RECORDER_NICE}\n", "ascii")


class Child:
    """One process, a recorder with the priority of its unit; its standard error goes to a log file, which is read when
    it fails.
    """

    def __init__(self, name: str, log_dir: Path, arguments: list[str]) -> None:
        self.name = name
        self.log = log_dir / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
                # Its log is the place for a defect's traceback: it cannot be run again by itself.
                env={**os.environ, "PYTHONUNBUFFERED": "1", "BODYCAM_TRACEBACK": "1"},
            )
        prefer(name, self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    def first_line(self, deadline_s: float) -> str:
        """The first line it prints, or "" where none comes in time."""
        stdout, line, end_s = self._process.stdout, b"", time.monotonic() + deadline_s
        while stdout and not line.endswith(b"\n"):
            if not select.select([stdout], [], [], max(0.0, end_s - time.monotonic()))[0]:
                return ""
            if not (byte := os.read(stdout.fileno(), 1)):
                break
            line += byte
        return line.decode("utf-8", "replace")

    def ended(self) -> bool:
        """Whether it is gone, given a moment where it may be about to."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_S)
        return self.status is not None

    def obituary(self) -> str:
        """How it ended and the last lines of its log, as one line."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return ": ".join([f"the {self.name} {self._end()}", *([" / ".join(lines[-2:])] if lines else [])])

    def _end(self) -> str:
        status = self.status
        if status is not None and status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def its_error(self, hint: str = "") -> AgentError:
        """What a child that ended said, with its exit status; `hint` is the next step where it named none."""
        _, found, text = self.log.read_text("utf-8", "replace").rpartition("error: ")
        message, _, its_hint = (text if found else "").partition("\n  next: ")
        error = DeviceError(message.strip() or self.obituary(), its_hint.strip() or hint or f"see {self.log}")
        with contextlib.suppress(ValueError):
            error.exit_status = Exit(self.status or Exit.DEVICE)
        return error

    def stop(self, deadline_s: float = STOP_S) -> None:
        """SIGTERM, and SIGKILL where that is not heard within the deadline."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                # One that waits for a device in the kernel ends with that, and not now.
                self.ended()
        if self._process.stdout:
            self._process.stdout.close()


class Children:
    """All of them; leaving the `with` block stops whatever still runs, last started first."""

    def __init__(self, log_dir: Path) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._log_dir = log_dir
        self._running: dict[str, Child] = {}

    def start(self, name: str, entry: str, *arguments: str) -> Child:
        """Run one of the console commands in this interpreter's environment; `entry` is its function in agent.cli."""
        code = f"import sys; from agent.cli import {entry}; sys.exit({entry}())"
        child = Child(name, self._log_dir, [sys.executable, "-c", code, *arguments])
        self._running[name] = child
        return child

    def __getitem__(self, name: str) -> Child:
        return self._running[name]

    def stop(self, *names: str) -> None:
        for name in names:
            self._running[name].stop()

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Everything together may take as long as one patient stop: a second Ctrl-C must not hang for minutes.
        deadline = time.monotonic() + (HURRY_S if kind is KeyboardInterrupt else STOP_S)
        for child in reversed(self._running.values()):
            with contextlib.suppress(AgentError):
                child.stop(max(1.0, deadline - time.monotonic()))
