"""What a recorder does when it is started wrongly: the documented status, in words; or a state that is shown."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import AudioConfig, RecordingConfig, SpoolConfig, VideoConfig, dump
from agent.errors import Exit
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats.leaf import EventLeaf, Kind
from agent.model import SegmentState
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from tests.camera_kit import all_leaves_of
from tests.recorder_kit import RecorderProcess, make_config
from tests.test_epochs import Card, damaged_open


def start(root: Path, text: str) -> subprocess.CompletedProcess[str]:
    file = root / "agent.toml"
    file.write_text(text, "utf-8")
    command = [sys.executable, "-m", "agent", "recorder", "--config", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_file_that_leaves_nothing_to_start_with_is_refused_with_every_mistake(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    text = dump(make_config(agency, tmp_path)).replace("bitrate_kbps", "bitrate_kpbs", 1)
    done = start(tmp_path, text.replace("identity_chain = ", "identity_chian = "))
    assert done.returncode == Exit.USAGE
    assert "sealing.identity_chain: is missing" in done.stderr
    assert "video.bitrate_kpbs: unknown key; did you mean bitrate_kbps?" in done.stderr


def test_a_file_that_an_earlier_version_took_starts_and_its_mistakes_are_shown(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    config = make_config(agency, tmp_path)
    config = replace(config, audio=replace(config.audio, latency_ms=-120))
    with RecorderProcess(replace(config, recording=RecordingConfig(pre_event_s=10, ring_mib=1)), tmp_path) as recorder:
        status = recorder.until(lambda s: s["state"] == "ready" and "settings" in s["faults"])
        told = recorder.log.read_text()
        for words in (
            "audio.latency_ms: -120 is out of range",
            "used: 0",
            "recording.ring_mib: 1 MiB cannot hold 10 s",
        ):
            assert words in status["faults"]["settings"] and words in told
        recorder.ask("record")
        recorder.until(lambda s: s["parts"] > 2)
        assert recorder.ask("stop")["whole"]
        assert recorder.stop() == 0


def test_a_key_that_others_may_read_is_refused(agency: AgencyPaths, tmp_path: Path) -> None:
    config = make_config(agency, tmp_path)
    key = tmp_path / "identity.key"
    key.write_bytes(config.sealing.identity_key.read_bytes())
    key.chmod(0o644)
    done = start(tmp_path, dump(replace(config, sealing=replace(config.sealing, identity_key=key))))
    assert (done.returncode, "readable by others" in done.stderr) == (6, True)


def test_a_spool_that_cannot_be_made_is_shown_by_name_and_tried_again(agency: AgencyPaths, tmp_path: Path) -> None:
    """As a disk that refuses: tests/test_no_disk.py has what comes of it when it does not any more, or for a minute."""
    (tmp_path / "file").write_bytes(b"")
    config = replace(make_config(agency, tmp_path), spool=SpoolConfig(dir=tmp_path / "file" / "spool"))
    with RecorderProcess(config, tmp_path) as recorder:
        status = recorder.until(lambda s: "storage" in s["faults"])
        assert str(tmp_path / "file") in status["faults"]["storage"]
        assert status["state"] == "fault"
        (tmp_path / "file").unlink()
        recorder.until(lambda s: s["state"] == "ready" and not s["faults"])
        assert recorder.stop() == 0


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"video": VideoConfig(source="webcam:7"), "audio": AudioConfig(source="none")}, "webcam"),
        ({"video": VideoConfig(source="picamera"), "audio": AudioConfig(source="none")}, "picamera"),
    ],
)
def test_a_missing_device_is_shown_and_logged_and_the_recorder_stays(
    agency: AgencyPaths, tmp_path: Path, sections: dict[str, object], words: str
) -> None:
    config = make_config(agency, tmp_path, **sections)
    with RecorderProcess(config, tmp_path) as recorder:
        status = recorder.until(lambda s: s["faults"])
        assert words in " ".join(status["faults"].values())
        assert status["state"] == "fault"
        assert recorder.stop() == 0
    kinds = [x.kind for x in all_leaves_of(Spool(config.spool.dir)) if isinstance(x, EventLeaf)]
    # What runs, on which configuration, clocks and card; then the fault, and the state it means.
    assert kinds == [Kind.SESSION, *[Kind.EVENT] * 6, Kind.SHUTDOWN]


def test_without_its_microphone_a_camera_records_what_it_sees_and_shows_what_is_missing(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    config = make_config(agency, tmp_path, audio=AudioConfig(source="no such microphone"))
    with RecorderProcess(config, tmp_path) as recorder:
        recorder.until(lambda s: s["state"] == "ready")
        recorder.ask("record")
        status = recorder.until(lambda s: s["parts"] > 2)
        assert "there is no microphone named 'no such microphone'" in status["faults"]["microphone"]
        assert recorder.ask("stop")["whole"]
        assert recorder.stop() == 0


def test_a_damaged_card_is_shown_and_the_recorder_records_in_a_new_log(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(agency, tmp_path)
    harmed = damaged_open(card, card.open(), monkeypatch)
    with RecorderProcess(make_config(agency, tmp_path), tmp_path) as recorder:
        status = recorder.until(lambda s: s["state"] == "ready")
        assert harmed in status["faults"]["epoch"]
        recorder.ask("record")
        recorder.until(lambda s: s["parts"] > 2)
        assert recorder.ask("stop")["whole"]
        assert recorder.stop() == 0
    assert (card.spool / "sealed" / f"{harmed}.tar").exists()
    whole = [r for r in Spool(card.spool).records(SegmentState.SEALED) if r.epoch == 2]
    assert [r.first for r in whole[:1]] == [0]
    assert any(r.recording for r in whole)


def test_a_camera_that_comes_later_is_taken(agency: AgencyPaths, tmp_path: Path) -> None:
    from tests import media_samples

    clip = tmp_path / "clip.mp4"
    sections = {"video": VideoConfig(source=f"clip:{clip}"), "audio": AudioConfig(source="none")}
    with RecorderProcess(make_config(agency, tmp_path, **sections), tmp_path) as recorder:
        recorder.until(lambda s: "camera" in s["faults"])
        clip.write_bytes(media_samples.cartoon().read_bytes())
        status = recorder.until(lambda s: s["state"] == "ready")
        assert status["faults"] == {}


def test_a_second_recorder_on_the_same_card_is_refused_and_the_first_goes_on(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    """It would sign another history of the same log, and take the socket."""
    config = make_config(agency, tmp_path)
    with RecorderProcess(config, tmp_path) as first:
        first.until(lambda status: status["state"] == "ready")
        with RecorderProcess(config, tmp_path / "second") as second:
            assert second.process.wait(60) == Exit.USAGE
            assert "another recorder works on" in second.log.read_text()
        first.ask("record")
        first.until(lambda status: status["media_s"] >= 0.5)
        assert first.stop() == Exit.OK
    assert verify(collect([config.spool.dir]), load_root(agency.trust_root)).verified
