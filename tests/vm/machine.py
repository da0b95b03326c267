"""A virtual camera from outside: its power, its button, its dock, its lens; and a shell inside, for the tests alone."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

from tests.vm.channel import Answer, Channel, MachineError, Tick, Ticks
from tests.vm.lag import Lag, Starved

BUTTON, DOCK, LED_STATUS, LED_REC = range(4)
"""Lines of the GPIO chip "bodycam", as guest/usr/local/sbin/camhw makes them."""
_HARDWARE = "i=0; until [ -e /run/camgpio ] || [ $i -gt 300 ]; do sleep .1; i=$((i+1)); done; "
"""Early in the boot the simulated parts may not be there yet."""
PIECE = 48_000
ANSWER_S = 60.0
"""So long an answer may take, where nobody says otherwise."""
WITNESS = Path(__file__).with_name("guest_witness.py")


def end_with_parent() -> None:
    """PR_SET_PDEATHSIG (prctl(2)): the machine ends when the test process does, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Machine(ABC):
    """Off at first. `images` is where setup.sh put kernels and disks; `work` holds this machine's own disks, which a
    power cut leaves as they are.
    """

    kind: str
    host: str
    """This machine's address, as the guest sees it."""
    one_at_a_time: bool
    """It has one processor: of its processes here, at most one wants to run."""
    steady = False
    """Its clock stands while this machine does not let it run: no loss comes of that."""
    patience = 1.0
    """So much longer than asked for is waited for an answer."""

    def __init__(self, images: Path, work: Path | None = None) -> None:
        self.images = images
        self.work = work or Path(tempfile.mkdtemp(prefix="bodycam-vm-"))
        self.work.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._ticks: Ticks | None = None
        self._told: dict[str, Any] = {}
        self._starved: Starved | None = None
        self.lag = Lag()
        """Of the boot that ended last."""
        self.started = 0.0

    # -- power ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def _power_on(self) -> tuple[socket.socket, socket.socket]:
        """Start it; returns the ends of command channel and ticks."""

    @abstractmethod
    def _power_off(self) -> None:
        """What has to go before its process does."""

    def _own_clock_ns(self, told: Tick) -> int | None:
        """The guest's CLOCK_MONOTONIC now, where the machine itself can be asked after its power went."""
        return None

    @abstractmethod
    def connect(self) -> None:
        """The network, as the dock's plug brings it."""

    def start(self, timeout_s: float = 180) -> float:
        """Power on. Returns the seconds until its shell answered."""
        if self.running():
            raise MachineError("it is on already")
        self.started = time.monotonic()
        commands, ticks = self._power_on()
        self._channel, self._ticks = Channel(commands), Ticks(ticks)
        assert self._process
        self._starved = None if self.steady else Starved(self._process.pid, self.one_at_a_time)
        try:
            self._channel.wait_hello(self.started + timeout_s)
        except (MachineError, TimeoutError) as err:
            self.power_cut()
            raise MachineError(f"it did not start within {timeout_s} s: {err}; console: {self.console_tail()}") from err
        return time.monotonic() - self.started

    @property
    def boot(self) -> str | None:
        """The kernel's id of this boot."""
        return self._channel.boot if self._channel else None

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def rest(self, seconds: float) -> None:
        """So much time passes, for the guest; that is what is being tested."""
        time.sleep(seconds)

    def power_cut(self) -> int | None:
        """The battery falls out: nothing is flushed. Returns the guest's CLOCK_MONOTONIC at that instant: what it told
        last, and what has passed here since.
        """
        cut_ns = time.monotonic_ns()
        told = self.tick()
        self._power_off()
        own_ns = None
        with contextlib.suppress(MachineError):
            own_ns = self._own_clock_ns(told) if told else None
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._channel:
            self._channel.close()
        tick = self._ticks.at_the_end() if self._ticks else None
        self._told = self._ticks.told() if self._ticks else {}
        self.lag = Lag(
            self._ticks.newest_ns() if self._ticks else (), self._starved.end(cut_ns) if self._starved else ()
        )
        self._channel = self._ticks = self._starved = None
        if own_ns is not None:
            return own_ns
        # What came in later had been on its way already.
        return tick.guest_ns + max(0, cut_ns - tick.here_ns) if tick else None

    def shutdown(self, timeout_s: float = 120) -> None:
        """`systemctl poweroff`, and wait for it."""
        self.send("systemctl poweroff --no-block")
        self.wait_off(timeout_s)

    def wait_off(self, timeout_s: float = 120) -> None:
        """Until it has switched itself off; raises TimeoutError where it does not, and takes its power then."""
        assert self._process
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it is still on after {timeout_s} s; console: {self.console_tail()}") from None
        finally:
            self.power_cut()

    def wait_reset(self, timeout_s: float) -> None:
        """Until its shell answers in another boot, into which nobody here sent it. Its witness is gone."""
        assert self._channel
        try:
            self._channel.wait_hello(time.monotonic() + timeout_s * self.patience)
        except TimeoutError:
            raise TimeoutError(f"no other boot within {timeout_s * self.patience} s; {self.console_tail()}") from None

    def close(self) -> None:
        self.power_cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- disks ---------------------------------------------------------------------------------------------------------

    def _data_disk(self) -> Path:
        disk = self.work / "data.raw"
        if not disk.exists():
            subprocess.run(["cp", "--sparse=always", str(self.images / "data.ext4"), str(disk)], check=True)
        return disk

    @property
    def console(self) -> Path:
        return self.work / "console.log"

    def console_tail(self, size: int = 800) -> str:
        try:
            return self.console.read_text("utf-8", "replace")[-size:]
        except OSError:
            return ""

    # -- inside --------------------------------------------------------------------------------------------------------

    def tick(self) -> Tick | None:
        return self._ticks.last() if self._ticks else None

    def witness(self, spool: str, control: str) -> None:
        """From now on in this boot `told` knows what the recorder says of itself, with nothing started to ask it."""
        text = base64.b64encode(WITNESS.read_bytes()).decode()
        self.run(
            f"base64 -d <<<{text} >/run/witness; ticks=$(pgrep -f '[h]arness-ticks /dev')\n"
            "channel=$(tr '\\0' '\\n' </proc/$ticks/cmdline | tail -1); kill $ticks\n"
            f"setsid /usr/bin/python3 -IS /run/witness $channel {spool} {control} >/dev/null 2>&1 &"
        )

    def told(self) -> dict[str, Any]:
        """By guest_witness.py, last; of the boot that ended, where the machine is off."""
        return self._ticks.told() if self._ticks else self._told

    def ask(self, script: str, timeout_s: float = ANSWER_S) -> Answer:
        """Run a bash script as root; its exit status is the answer's."""
        if self._channel is None:
            raise MachineError("it is off")
        try:
            return self._channel.answer(self._channel.send(script), timeout_s * self.patience)
        except TimeoutError:
            raise TimeoutError(
                f"no answer within {timeout_s * self.patience} s to {script!r}; console: {self.console_tail()}"
            ) from None

    def run(self, script: str, timeout_s: float = ANSWER_S) -> str:
        """As `ask`; raises MachineError where it fails, returns what it printed."""
        answer = self.ask(script, timeout_s)
        if not answer.ok:
            raise MachineError(f"status {answer.status}: {script!r}\n{answer.output}")
        return answer.output

    def send(self, script: str) -> None:
        """Begin a script and do not wait for it; nothing else can be asked until it is done."""
        assert self._channel
        self._channel.send(script)

    def wait_for(self, script: str, timeout_s: float = 60, every_s: float = 0.3) -> str:
        """Until the script succeeds. No question is asked after `timeout_s`; the last one has as long for its answer as
        any.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self.ask(script, max(ANSWER_S, deadline - time.monotonic()))
            if answer.ok:
                return answer.output
            if time.monotonic() > deadline:
                raise TimeoutError(f"{script!r}: status {answer.status} after {timeout_s} s: {answer.output}")
            time.sleep(every_s)

    def put(self, data: bytes, path: str) -> None:
        """Small files, to about a megabyte."""
        self.run(f"mkdir -p $(dirname '{path}') && : > '{path}'")
        text = base64.b64encode(data).decode()
        for begin in range(0, len(text), PIECE):
            self.run(f"echo {text[begin : begin + PIECE]} | base64 -d >> '{path}'")

    def get(self, path: str, timeout_s: float = 60) -> bytes:
        return base64.b64decode(self.run(f"base64 -w0 '{path}'", timeout_s))

    # -- the camera's outside ------------------------------------------------------------------------------------------

    def set_line(self, line: int, high: bool) -> None:
        self.run(f"{_HARDWARE}echo pull-{'up' if high else 'down'} > /run/camgpio/sim_gpio{line}/pull")

    def line(self, line: int) -> int:
        """Level of a line, of an LED that the agent drives, say."""
        return int(self.run(f"{_HARDWARE}cat /run/camgpio/sim_gpio{line}/value"))

    def press(self, seconds: float = 0.2, line: int = BUTTON) -> tuple[float, float]:
        """The button, active low; timed in the guest. Returns the seconds on its clock at both ends."""
        pull = f"/run/camgpio/sim_gpio{line}/pull"
        down = f"read -r down _ </proc/uptime; echo pull-down > {pull}; sleep {seconds}"
        release = f"read -r up _ </proc/uptime; echo pull-up > {pull}; echo $down $up"
        pressed, released = self.run(f"{_HARDWARE}{down}; {release}", 30 + seconds).split()
        return float(pressed), float(released)

    def dock_contact(self, docked: bool) -> None:
        """It closes to ground."""
        self.set_line(DOCK, not docked)

    def lens(self, present: bool) -> None:
        """Unplug the camera, or plug it in: /dev/video0 goes and comes back."""
        self.run(f"echo vivid.0 > /sys/bus/platform/drivers/vivid/{'bind' if present else 'unbind'}")
