"""The product on a virtual machine: a camera that is provisioned and runs from its units, and the agency's station
here, which it reaches over the network. Everything is done as people do it: with our commands, buttons and systemctl.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from agent import configfile
from agent.station.layout import AgencyPaths
from tests.vm.channel import MachineError
from tests.vm.machine import BUTTON, DOCK, LED_REC, LED_STATUS, Machine

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
CAMERA = "vm-cam"
ETC = "/etc/bodycam-agent"
SPOOL = "/var/lib/bodycam-agent/spool"
CONTROL = "/run/bodycam-agent/control.sock"
PROFILE: dict[str, dict[str, Any]] = {
    "video": {"source": "webcam:0", "width": 320, "height": 180, "fps": 15, "bitrate_kbps": 400, "preset": "ultrafast"},
    "audio": {"source": "hw:0,1"},
    "panel": {"chip": "bodycam", "button": BUTTON, "dock": DOCK, "light": LED_REC, "status_light": LED_STATUS},
    "recording": {"pre_event_s": 3, "ring_mib": 8, "segment_s": 10},
}
"""A small picture: both machines share this one's processors, and one of them is emulated."""
FPS = {"uml": 15, "qemu": 5}
SLOWNESS = {"uml": set[str](), "qemu": {"overload", "loop"}}
"""Faults that an emulated machine shows rightly: it is too slow, now and then."""


def tool(*arguments: str | Path, status: int = 0, timeout_s: float = 300) -> str:
    """One of our commands here; raises where it ends with another status than expected."""
    done = subprocess.run(
        [BIN / str(arguments[0]), *map(str, arguments[1:])], capture_output=True, text=True, timeout=timeout_s
    )
    if done.returncode != status:
        raise AssertionError(f"{arguments}: status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


class Station:
    """The agency's directory, and the embedded station serving it; in the name space where the camera can reach it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.paths = directory, AgencyPaths(directory)
        self._process: subprocess.Popen[str] | None = None
        self._log = directory.parent / "station.log"

    @classmethod
    def new(cls, directory: Path, hosts: list[str]) -> Self:
        """With keys of its own."""
        tool("bodycam-station", "init", "--dir", directory, "--name", "vm agency", "--host", *hosts)
        return cls(directory)

    @property
    def held(self) -> Path:
        """The camera's segments that it stores."""
        return self.paths.station / "segments" / CAMERA

    def segments(self) -> list[Path]:
        return sorted(self.held.glob("*.tar"))

    def serve(self, inside: list[str], listen: str) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*inside, BIN / "bodycam-station", "serve", "--dir", self.directory, "--listen", listen, "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise MachineError(f"the station does not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass(frozen=True, slots=True)
class Boot:
    """Seconds on the guest's CLOCK_MONOTONIC, whose zero is the kernel's start."""

    begun_s: float
    """The recorder's process was started."""
    ready_s: float
    """It said that it is ready."""

    @property
    def ours_s(self) -> float:
        return self.ready_s - self.begun_s


@dataclass
class BodyCamera:
    """A machine and what is asked of the agent in it."""

    machine: Machine
    station: Station
    slow: float = 1.0
    """How much longer than on user-mode Linux things take."""
    said: list[str] = field(default_factory=list)

    # -- set-up --------------------------------------------------------------------------------------------------------

    def provision(self, own: Mapping[str, Mapping[str, Any]], options: str = "") -> None:
        """Keys made on the camera, certificates by the agency, the answer installed, its own keys set."""
        run = self.machine.run
        run(f"bodycam-agent provision --camera {CAMERA} --dir {ETC} {options}", 60 * self.slow)
        work = self.station.directory.parent
        (work / f"{CAMERA}.csr").write_bytes(self.machine.get(f"{ETC}/{CAMERA}.csr"))
        tool(
            *("bodycam-station", "enrol", "--dir", self.station.directory, "--csr", work / f"{CAMERA}.csr"),
            *("--profile", "default", "--station-url", f"https://{self.machine.host}:8443"),
        )
        self.machine.put(self.station.paths.camera(CAMERA).answer.read_bytes(), f"/tmp/{CAMERA}.bundle")
        run(f"bodycam-agent provision --certificate /tmp/{CAMERA}.bundle --dir {ETC}", 60 * self.slow)
        run("sync", 60 * self.slow)
        # What has no configuration at boot is not started, and this is no boot.
        self.reconfigure(own)

    def reconfigure(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Other values in agent.toml, and both daemons started anew."""
        text = self.machine.get(f"{ETC}/agent.toml").decode()
        self.machine.put(
            configfile.overlaid(text, {k: dict(v) for k, v in changes.items()}).encode(), f"{ETC}/agent.toml"
        )
        # A cut may follow.
        self.machine.run(f"sync {ETC}/agent.toml", 60 * self.slow)
        self.machine.run("systemctl restart bodycam-recorder bodycam-uploader", 120 * self.slow)

    # -- what people do ------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.machine.run("bodycam-agent ctl status --json", 60 * self.slow))
        return told

    def ctl(self, *words: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            self.machine.run(f"bodycam-agent ctl {' '.join(words)} --json", 120 * self.slow)
        )
        return told

    def control(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What the control socket understands, and no command asks for."""
        told: dict[str, Any] = json.loads(self.machine.run(self.control_script(request), 120 * self.slow))
        return told

    @staticmethod
    def control_script(request: Mapping[str, Any]) -> str:
        lines = (
            "import json, pathlib, agent.controls.local",
            f"request = json.loads({json.dumps(dict(request))!r})",
            "socket = pathlib.Path('/run/bodycam-agent/control.sock')",
            "print(json.dumps(agent.controls.local.ask(socket, request, 100)))",
        )
        return "python3 - <<'END'\n" + "\n".join(lines) + "\nEND\n"

    def wait(self, wanted: str, timeout_s: float = 60, every_s: float = 0.3) -> dict[str, Any]:
        """Until a Python expression over `status` and `faults` is true."""
        deadline = time.monotonic() + timeout_s * self.slow
        status: dict[str, Any] = {}
        trouble = ""
        while True:
            try:
                status = self.status()
                if eval(wanted, {"status": status, "faults": status["faults"]}):
                    return status
            except (MachineError, ValueError, KeyError) as err:
                trouble = str(err)[-600:]
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not {wanted} after {timeout_s * self.slow:.0f} s: {status or trouble}\n{self.journal()}"
                )
            time.sleep(every_s)

    def watch(self) -> None:
        """From now on in this boot `until` knows what the recorder says of itself, with nothing started to ask it."""
        self.machine.witness(SPOOL, CONTROL)

    def until(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float) -> dict[str, Any]:
        """By what it says of itself. On a steady machine a command takes a second of its clock, and of the camera's
        only processor.
        """
        deadline = time.monotonic() + timeout_s * self.slow
        while not wanted(told := self.machine.told()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {timeout_s * self.slow:.0f} s: {told}\n{self.journal()}")
            time.sleep(0.01)
        return told

    def wait_ready(self, timeout_s: float = 60) -> dict[str, Any]:
        return self.wait("status['state'] == 'ready'", timeout_s)

    def journal(self, unit: str = "bodycam-recorder", lines: int = 25) -> str:
        with contextlib.suppress(MachineError, TimeoutError):
            return self.machine.ask(
                f"journalctl -b --no-pager -o short-monotonic -n {lines} -u {unit}", 30 * self.slow
            ).output
        return ""

    def boot(self) -> Boot:
        """What systemd noted of the recorder's start."""
        show = "systemctl show bodycam-recorder -p ExecMainStartTimestampMonotonic -p ActiveEnterTimestampMonotonic"
        told = dict(line.split("=", 1) for line in self.machine.run(show).split())
        return Boot(
            int(told["ExecMainStartTimestampMonotonic"]) / 1e6, int(told["ActiveEnterTimestampMonotonic"]) / 1e6
        )

    def press(self) -> tuple[float, float]:
        """The button, shortly: it records. Returns the guest's seconds when it went down, and at the release, on which
        the gesture acts.
        """
        return self.machine.press(0.15)

    def hold(self) -> None:
        """The button, held: it stops."""
        self.machine.press(2.0)

    def dock(self, docked: bool = True) -> None:
        """Into the dock, or out of it: contact and network."""
        self.machine.dock_contact(docked)
        if docked:
            self.machine.connect()

    def light(self) -> bool:
        """The light for recording."""
        return bool(self.machine.line(LED_REC))

    # -- what came of it -----------------------------------------------------------------------------------------------

    def verify(self, *more: str | Path, status: int = 0) -> dict[str, Any]:
        """What the station holds, by our verifier, with accounts."""
        text = tool(
            *("bodycam-evidence", "verify", self.station.held, "--trust", self.station.paths.trust_root),
            *("-i", self.station.paths.agency_identity, "--accounts", "--json", *more),
            status=status,
        )
        report: dict[str, Any] = json.loads(text)
        return report

    def newest_receipt(self, into: Path) -> Path:
        """The receipt that the camera accepted last."""
        name = self.machine.run(f"cat {SPOOL}/log/newest-receipt").strip()
        path = into / f"{name}.receipt"
        path.write_bytes(self.machine.get(f"{SPOOL}/receipts/{name}.receipt"))
        return path

    def verify_with_stock_tools(self, film: Path) -> str:
        """docs/verify.sh over the same; the film that it opens is kept in `film`."""
        done = subprocess.run(
            [
                *(ROOT / "docs" / "verify.sh", *self.station.segments(), "--trust", self.station.paths.trust_root),
                *("--key", self.station.paths.agency_identity, "--media", film),
            ],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return str(done.stdout)

    def evidence(self, recording: str, into: Path) -> Path:
        """The exported film of a recording."""
        tool(
            *("bodycam-evidence", "export", self.station.held, "-i", self.station.paths.agency_identity),
            *("--trust", self.station.paths.trust_root, "--recording", recording, "-o", into),
        )
        films: list[Path] = list(into.glob("*.mp4"))
        return films[0]
