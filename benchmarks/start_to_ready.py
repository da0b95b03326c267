"""From the start of the service until a press would record: interpreter, imports, recovery, log, lens, microphone.

The sides are children: the recorder as its unit starts it, with the twins of lens and microphone at 720p30 and a panel
whose chip is not there, which costs what gpiozero and lgpio cost; its imports alone; and the interpreter alone, which
nothing written in Python can be faster than. All find the agent compiled, as its package brings it. From `line_s` after
its start on, a press is heard.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from agent.config import AudioConfig, RecordingConfig, VideoConfig, dump
from agent.configcontrols import PanelConfig
from agent.errors import AgentError
from agent.recorderprocess import LISTENING
from agent.station.layout import AgencyPaths
from benchmarks import footage
from benchmarks.measure import TREE, reap, run_child
from benchmarks.report import CostComparison, CostRun
from tests.camera_kit import make_agency
from tests.recorder_kit import make_config

NAME = "start-to-ready"
LIMIT_S, IMPORTS_LIMIT_S = 2.5, 0.8
DEADLINE_S = 60
NO_CHIP = "gpiochip999"
SIDES = ("recorder", "python alone", "its imports")
_IMPORTS = """
import json, time
at = time.perf_counter()
import agent.recorder
print(json.dumps(time.perf_counter() - at))
"""


def run(repeat: int, say: Callable[[str], None]) -> CostComparison:
    """`repeat` rounds, each recorder on a card of its own. Raises AgentError where a side fails."""
    # What writes none itself finds it; a tree of which files changed has some that do not count any more.
    compileall.compile_dir(TREE / "agent", quiet=1)
    with footage.workplace(256 << 20) as place:
        agency, rounds = make_agency(place / "agency"), []
        for number in range(repeat):
            rounds.append(one_round(agency, place / f"round {number + 1}"))
            told = ", ".join(f"{side.side} {side.more['seconds']:.2f} s" for side in rounds[-1])
            say(f"{NAME}: round {number + 1}: {told}; line requested after {rounds[-1][0].more['line_s']:.2f} s")
    limits = {"limits": f"recorder {LIMIT_S} s, its imports {IMPORTS_LIMIT_S} s", "Python": sys.version.split()[0]}
    return CostComparison(NAME, "720p30 twins", SIDES[1], None, tuple(rounds), limits)


def one_round(agency: AgencyPaths, place: Path) -> tuple[CostRun, ...]:
    """Each side once."""
    place.mkdir()
    imports, bare = place / "imports.log", place / "bare.log"
    cost, _ = run_child([sys.executable, "-c", _IMPORTS], imports, DEADLINE_S)
    imports_s: float = json.loads(imports.read_text("utf-8"))
    alone, alone_s = run_child([sys.executable, "-c", "pass"], bare, DEADLINE_S)
    return (
        _recorder(agency, place),
        CostRun(SIDES[1], alone, alone_s, {"seconds": alone_s}),
        CostRun(SIDES[2], cost, imports_s, {"seconds": imports_s}),
    )


def _recorder(agency: AgencyPaths, place: Path) -> CostRun:
    video, audio = VideoConfig(source="synthetic"), AudioConfig(source="synthetic")
    config = make_config(agency, place, video=video, audio=audio)
    config = replace(config, recording=RecordingConfig(), panel=PanelConfig(chip=NO_CHIP, button=4))
    file, log = place / "agent.toml", place / "recorder.log"
    file.write_text(dump(config), "utf-8")
    with _supervised(place / "notify.sock") as channel, log.open("wb") as words:
        begun = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "recorder", "--config", str(file)], stdout=words, stderr=words, cwd=TREE
        )
        try:
            _await(channel, LISTENING, log)
            line_s = time.monotonic() - begun
            _await(channel, "STATUS=ready", log)
            ready_s = time.monotonic() - begun
        finally:
            process.terminate()
            cost = reap(process, DEADLINE_S, log)
    return CostRun(SIDES[0], cost, ready_s, {"seconds": ready_s, "line_s": line_s})


@contextlib.contextmanager
def _supervised(path: Path) -> Iterator[socket.socket]:
    """As systemd listens to a service of Type=notify (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(DEADLINE_S)
        with patch.dict(os.environ, {"NOTIFY_SOCKET": str(path)}):
            yield channel


def _await(channel: socket.socket, wanted: str, log: Path) -> None:
    try:
        while wanted not in channel.recv(4096).decode().splitlines():
            pass
    except TimeoutError as err:
        words = log.read_text("utf-8")[-1000:]
        raise AgentError(f"no {wanted} within {DEADLINE_S} s: {words}", "look at the recorder's log") from err
