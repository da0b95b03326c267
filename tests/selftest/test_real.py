"""The self-test on real parts: a real clip, real PortAudio on a FIFO, a real disk, a real station, a real socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import AudioConfig, Config, VideoConfig, dump
from agent.controls.local import ControlServer
from agent.errors import DeviceError, UsageError
from agent.selftest.line import Verdict
from agent.selftest.run import Options, Parts, is_running, run
from agent.station.layout import AgencyPaths
from tests import media_samples
from tests.camera_kit import make_agency
from tests.lab import alsa
from tests.ports import free_port
from tests.recorder_kit import StationProcess, make_config
from tests.station.kit import own_agency

REAL_S = 5.0


def saved(config: Config, root: Path) -> Path:
    path = root / "agent.toml"
    path.write_text(dump(config), "utf-8")
    return path


def test_a_clip_a_real_microphone_and_the_twins_pass(agency: AgencyPaths, tmp_path: Path) -> None:
    """Both at once: each takes its time."""
    config = make_config(
        agency,
        tmp_path,
        video=VideoConfig(source=f"clip:{media_samples.cartoon()}", loop=True),
        audio=AudioConfig(source=alsa.NAME),
    )
    twins = make_config(agency, tmp_path / "twins")
    for place in (tmp_path / "fifo", config.spool.dir, twins.spool.dir):
        place.mkdir(parents=True)
    with alsa.microphone(tmp_path / "fifo", alive_s=120) as env:
        command = [sys.executable, "-m", "agent", "selftest", "--json", "--config", str(saved(config, tmp_path))]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
            result = run(twins, Options(seconds=REAL_S), Parts())
            try:
                told = json.loads(process.communicate(timeout=90)[0])
            finally:
                process.kill()
    lines = {line["name"]: line for line in told["lines"]}
    # The pace of this microphone is that of the process that feeds it, which a busy machine lets wait: of its crystal
    # and its jumps nothing is asked here.
    assert {name for name, line in lines.items() if line["verdict"] == "FAIL"} <= {"microphone", "avsync"}
    assert "cartoon.mp4: 2" in lines["camera"]["measured"] and lines["camera"]["figures"]["lost"] == 0
    figures = lines["microphone"]["figures"]
    assert alsa.NAME in lines["microphone"]["measured"]
    assert figures["clock"] == "CLOCK_MONOTONIC" and figures["overruns"] == 0
    assert -12 < figures["peak_dbfs"] < -6 and figures["drift_ppm"] is not None
    assert result.failed == []
    measured = {line.name: line.figures for line in result.lines}
    assert measured["avsync"]["events"] >= 3 and abs(measured["avsync"]["offset_ms"]) < 1
    assert measured["storage"]["write_mb_s"] > 0 and measured["storage"]["syncs"] == 100
    assert not list(tmp_path.rglob(".selftest-*")) and not list(twins.spool.dir.iterdir()), "nothing is left behind"


def test_a_microphone_that_is_dead_is_named(agency: AgencyPaths, tmp_path: Path) -> None:
    config = make_config(agency, tmp_path, audio=AudioConfig(source="Rode"))
    result = run(config, Options(("microphone",), seconds=0.5, patience_s=1.0), Parts())
    (line,) = result.lines
    assert line.verdict is Verdict.FAIL and "Rode" in line.measured
    assert int(result.status) == 3


def test_a_real_station_answers_and_one_of_another_agency_is_no_station(agency: AgencyPaths, tmp_path: Path) -> None:
    port, paths, others = free_port(), own_agency(agency, tmp_path / "agency"), make_agency(tmp_path / "others")
    config = make_config(paths, tmp_path, f"https://127.0.0.1:{port}")
    with StationProcess(paths, port):
        (line,) = run(config, Options(("dock",)), Parts()).lines
        assert line.verdict is Verdict.OK and "it cosigned 0 leaves" in line.measured
        strange = replace(config, dock=replace(config.dock, ca=others.trust_root))
        result = run(strange, Options(("dock",)), Parts())
    assert result.lines[0].verdict is Verdict.FAIL and int(result.status) == 5
    assert "certificate" in result.lines[0].measured


def test_a_recorder_that_hangs_or_is_busy_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped as a whole it listens and does not answer; with all its connections held it answers that it is busy."""
    monkeypatch.setattr("agent.selftest.run.ASK_S", 0.05)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "hangs"))
        listening.listen(4)
        assert is_running(tmp_path / "hangs")
    assert not is_running(tmp_path / "hangs"), "its socket is left, and nobody listens"

    def busy(request: dict[str, object]) -> dict[str, object]:
        raise DeviceError("too many commands at once", "try again")

    server = ControlServer(tmp_path / "busy", busy)
    server.start()
    assert is_running(tmp_path / "busy")
    server.stop()


def test_a_recorder_is_seen_by_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    assert not is_running(path)
    server = ControlServer(path, lambda request: {"state": "ready"})
    server.start()
    assert is_running(path)
    server.stop()
    assert not is_running(path)

    def refuse(request: dict[str, object]) -> dict[str, object]:
        raise UsageError("user 1000 may not control this camera")

    server = ControlServer(path, refuse)
    server.start()
    assert is_running(path), "who answers no is there"
    server.stop()
