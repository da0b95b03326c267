"""The recorder as a real process, with a configuration on disk."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import resume
from agent.bench_children import prefer
from agent.config import (
    AudioConfig,
    CameraConfig,
    Config,
    ControlConfig,
    DockConfig,
    OverlayConfig,
    PowerConfig,
    RecordingConfig,
    RetentionConfig,
    SealingConfig,
    SpoolConfig,
    VideoConfig,
    dump,
)
from agent.controls.local import ask
from agent.errors import AgentError
from agent.station.layout import AgencyPaths
from tests.camera_kit import CAMERA

POLL_S = 0.05


def make_config(agency: AgencyPaths, root: Path, url: str = "https://127.0.0.1:9", **sections: Any) -> Config:
    """The twin in a small picture, so that a test costs little; `sections` replace whole sections."""
    keys = agency.camera(CAMERA)
    config = Config(
        camera=CameraConfig(id=CAMERA),
        video=VideoConfig(source="synthetic", width=320, height=240, preset="ultrafast", bitrate_kbps=500),
        audio=AudioConfig(source="synthetic"),
        overlay=OverlayConfig(enabled=False),
        recording=RecordingConfig(pre_event_s=2),
        sealing=SealingConfig(
            recipients=tuple(agency.recipients.read_text().split()),
            identity_key=keys.identity_key,
            identity_chain=keys.identity_chain,
        ),
        spool=SpoolConfig(dir=root / "spool", log_reserve_mib=1, free_floor_mib=1),
        retention=RetentionConfig(),
        # Not those of the machine that the tests run on.
        power=PowerConfig(battery="none", thermometer="none"),
        dock=DockConfig(
            station_url=url,
            ca=agency.trust_root,
            client_cert=keys.tls_chain,
            client_key=keys.tls_key,
            receipt_key=agency.receipt_vkey.read_text().strip(),
            start_spread_s=0,
            config_key=agency.config_vkey.read_text().strip(),
        ),
        control=ControlConfig(socket=root / "control.sock"),
    )
    return replace(config, **sections)


class RecorderProcess:
    """`bodycam-agent recorder` on a configuration, let run as its unit has it; every wait has a deadline."""

    def __init__(
        self,
        config: Config,
        root: Path,
        entry: str = "recorder",
        env: dict[str, str] | None = None,
        wrap: Callable[..., list[str]] = lambda *command: list(command),
    ) -> None:
        self.config, self.root = config, root
        root.mkdir(parents=True, exist_ok=True)
        self.log = root / f"{entry}.log"
        file = root / "agent.toml"
        file.write_text(dump(config), "utf-8")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                wrap(sys.executable, "-m", "agent", entry, "--config", str(file)),
                stderr=log,
                stdout=log,
                start_new_session=True,
                env=env,
            )
        prefer(entry, self.process.pid)

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        return ask(self.config.control.socket, {"do": do, **more}, timeout_s=60)

    def until(self, condition: Any, deadline_s: float = 30.0) -> dict[str, Any]:
        """Poll the status until `condition(status)`; fails with the recorder's own words."""
        end = time.monotonic() + deadline_s
        status: dict[str, Any] = {}
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"recorder ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
            with contextlib.suppress(AgentError):
                status = self.ask("status")
                if condition(status):
                    return status
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(POLL_S)
        raise AssertionError(f"not within {deadline_s} s; last status {status}; log {self.log.read_text()[-2000:]}")

    def run_for(self, seconds: float) -> None:
        """Let real time pass while it works; fails if it ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(seconds)
            raise AssertionError(f"recorder ended with {code}: {self.log.read_text()[-2000:]}")

    def kill(self, power: bool = True) -> int:
        """SIGKILL; returns CLOCK_MONOTONIC ns just before it. With the power goes what lies in memory: nothing goes on
        by itself.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        if power:
            (self.config.control.socket.parent / resume.FILE).unlink(missing_ok=True)
        return now

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)

    def __enter__(self) -> RecorderProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


class StationProcess:
    """`bodycam-station serve` in the agency's directory, on a port that was chosen before."""

    def __init__(self, agency: AgencyPaths, port: int) -> None:
        code = "import sys; from agent.cli import station_main; sys.exit(station_main())"
        listen = ["--dir", str(agency.root), "--listen", f"127.0.0.1:{port}", "--json"]
        self._process = subprocess.Popen([sys.executable, "-c", code, "serve", *listen], stdout=subprocess.PIPE)

    def __enter__(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(30) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()
