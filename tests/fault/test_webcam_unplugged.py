"""A webcam that is pulled out in mid-recording and put back under another number: the recording ends with its reason,
the gap is accounted for, and a recording that names the first goes on by itself. All is real but OpenCV's capture
object.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import events
from agent.capture import webcam
from agent.config import AudioConfig, RecordingConfig
from agent.eventbody import Event
from agent.evidence.ledger import accounts_of
from agent.evidence.sources import collect
from agent.evidence.tiling import Doing
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats import age
from agent.formats import leaf as leaves
from agent.model import NS
from agent.recorder import Recorder
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from tests.camera_kit import all_leaves_of, read
from tests.capture.standin import HEIGHT, WIDTH, Socket
from tests.recorder_kit import make_config

PATIENCE_S = 30


def until(recorder: Recorder, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE_S
    while not condition(status := recorder.status()):
        assert time.monotonic() < end, status
        time.sleep(0.02)
    return status


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch) -> Socket:
    socket = Socket("Logitech BRIO")
    for name, stand_in in {
        "present": socket.present,
        "require": lambda index: None,
        "title": lambda index: socket.title,
        "_open_capture": socket.open,
    }.items():
        monkeypatch.setattr(webcam, name, stand_in)
    return socket


def test_what_is_recorded_goes_on_when_the_camera_is_back(agency: AgencyPaths, tmp_path: Path, socket: Socket) -> None:
    config = make_config(agency, tmp_path, audio=AudioConfig(source="none"))
    video = replace(config.video, source="webcam:brio", width=WIDTH, height=HEIGHT)
    recorder = Recorder(replace(config, video=video, recording=RecordingConfig(pre_event_s=0)))
    socket.plug(0)
    recorder.start()
    turns = threading.Thread(target=recorder.run)
    turns.start()
    try:
        recorder._answer({"do": "record"})
        until(recorder, lambda status: status["media_s"] >= 0.5)
        pulled_ns = time.monotonic_ns()
        socket.plug(None)
        gone = until(recorder, lambda status: "camera" in status["faults"] and not status["recording"])
        assert "gives no more pictures" in gone["faults"]["camera"] or "no webcam named" in gone["faults"]["camera"]
        until(recorder, lambda status: "no webcam named" in status["faults"].get("camera", ""))
        back_ns = time.monotonic_ns()
        socket.plug(3)
        until(recorder, lambda status: bool(status["recording"]) and status["media_s"] >= 1.2)
        recorder._answer({"do": "stop"})
        status = recorder.status()
    finally:
        recorder.stop()
        turns.join(PATIENCE_S)
        recorder.close()
    assert socket.opened == [0, 3]
    assert status["frames_dropped"] == 0 and "camera" not in status["faults"]
    said = bodies(agency, config.spool.dir)
    starts = [event for event in said if isinstance(event, events.RecordStart)]
    stops = [event for event in said if isinstance(event, events.RecordStop)]
    first, second = status["recordings"]
    assert [start.continues for start in starts] == [None, first]
    assert "gives no more pictures" in stops[0].reason
    check_gap(config.spool.dir, first, second, pulled_ns, back_ns)
    check_accounts(agency, config.spool.dir)


def bodies(agency: AgencyPaths, spool: Path) -> list[Event]:
    identity = age.parse_identity_file(agency.agency_identity.read_text())[0]
    found = []
    for path in sorted((spool / "sealed").glob("*.tar")):
        for entry, leaf in read(path)[2]:
            if isinstance(leaf, leaves.EventLeaf):
                told = events.parse(leaves.open_body(age.decrypt(entry.sealed, [identity]), leaf.body)).event
                assert told
                found.append((leaf.common.index, told))
    return [told for _, told in sorted(found, key=lambda item: item[0])]


def check_gap(spool: Path, first: str, second: str, pulled_ns: int, back_ns: int) -> None:
    """Nothing before the pull is missing, nothing but the time without a camera."""
    media = [leaf for leaf in all_leaves_of(Spool(spool)) if isinstance(leaf, leaves.MediaLeaf)]
    assert {leaf.recording for leaf in media} == {first, second}
    end_ns = max(m.zero_mono_ns + m.start_ns + m.duration_ns for m in media if m.recording == first)
    begin_ns = min(m.zero_mono_ns + m.start_ns for m in media if m.recording == second)
    assert pulled_ns - NS / 10 < end_ns < pulled_ns + NS / 10
    # Looked for again every two seconds.
    assert back_ns < begin_ns < back_ns + 3 * NS


def check_accounts(agency: AgencyPaths, spool: Path) -> None:
    """Every powered second has a state, the time without a camera is a fault, and no finding fails."""
    report = verify(collect([spool]), load_root(agency.trust_root))
    identities = age.parse_identity_file(agency.agency_identity.read_text())
    (camera,) = accounts_of(report, identities)
    assert [f.line() for f in report.findings if f.fails] == []
    (powered,) = camera.boots
    assert not powered.unaccounted
    doing = [a.doing for a in powered.accounts]
    assert [d for d in doing if d in (Doing.RECORDING, Doing.FAULT)] == [Doing.RECORDING, Doing.FAULT, Doing.RECORDING]
