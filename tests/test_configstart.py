"""The configuration with which a camera comes up: a file that an earlier version took starts, and is told."""

from __future__ import annotations

import re
import subprocess
from dataclasses import MISSING, replace
from pathlib import Path
from typing import Any

import pytest

from agent import configfile, ownconfig
from agent.config import SECTIONS, check, dump, load
from agent.configstart import FIRM, STARTED, begin, digest_of
from agent.errors import ConfigError, DeviceError
from agent.station.layout import AgencyPaths
from agent.status import State
from agent.words import Words
from tests.config_kit import BASE, MINIMAL, sample, save, with_value
from tests.recorder_desk import Camera

KEEP = Path(__file__).parent.parent / "systemd" / "libexec" / "keep"


def test_what_config_check_takes_starts_as_it_is_and_nothing_is_told(tmp_path: Path) -> None:
    path = save(tmp_path, dump(sample()))
    assert (begin(path).config, begin(path).notes) == (load(path), ())


TAKEN_BEFORE = [
    ("audio.latency_ms", "-120", 0, "-120 is out of range (milliseconds, 0 to 200); used: 0"),
    ("video.gop_s", "2", 1, "2 is out of range (seconds, 1 to 1); used: 1"),
    ("dock.limit_kbps", "40", 64, "40 is out of range (0, or kbit/s, 64 to 10000000); used: 64"),
    ("recording.ring_mib", "24", 24, "at least 25; used as it is"),
]
"""By an earlier version."""


def test_what_stands_in_a_misspelled_section_is_left_out_and_each_mistake_told(tmp_path: Path) -> None:
    begun = begin(save(tmp_path, MINIMAL + "[recordin]\npre_event_s = 5\nring_mib = 9000\n"))
    section, ring = begun.notes
    assert section.startswith("recordin: unknown section; did you mean recording?; left out")
    assert ring.startswith("recordin.ring_mib: 9000 is out of range") and ring.endswith("; left out")
    assert begun.config.recording == replace(sample().recording, pre_event_sound=False)


@pytest.mark.parametrize(("key", "toml", "used", "told"), TAKEN_BEFORE)
def test_what_a_version_before_took_starts_and_is_told(
    key: str, toml: str, used: object, told: str, tmp_path: Path
) -> None:
    text = with_value(key, toml)
    begun = begin(save(tmp_path, text))
    section, name = key.split(".")
    assert getattr(getattr(begun.config, section), name) == used
    (note,) = begun.notes
    assert note.startswith(f"{key}: ") and note.endswith(told)
    assert check(text, BASE) == [note.rpartition("; ")[0]], "and is refused with the same words wherever it is checked"
    with pytest.raises(ConfigError):
        load(save(tmp_path, text))


BY_HAND: list[tuple[str, dict[str, Any], str]] = [
    ("[recording]\nring_mb = 90", {}, "recording.ring_mb: unknown key; did you mean ring_mib?; left out"),
    ("[recordin]\nring_mib = 90", {}, "recordin: unknown section; did you mean recording?; left out"),
    ('[video]\npreset = "fastest"', {"video.preset": "superfast"}, 'used: "superfast"'),
    ('[dock]\npresence = "sometimes"', {"dock.presence": ("outbox",)}, 'used: ["outbox"]'),
    ("[video]\nwidth = 640", {"video.width": 0, "video.height": 0}, "both are auto"),
    ("[video]\nwidth = 641", {"video.width": 0, "video.height": 0}, 'used: "auto"'),
    ("[panel]\nlight = 600", {"panel.light": -1}, "used: -1"),
    ('[panel]\nchip = "c"\nbutton = 4\ndock = 4', {"panel.button": 4, "panel.dock": -1}, "used: panel.dock = -1"),
    (
        '[panel]\nchip = "c"\nbutton = 28\nlight = 4',
        {"panel.button": -1, "panel.light": 4},
        "(line number; -1: there is",
    ),
    (
        '[panel]\nchip = "c"\nbutton = 4\ntrigger = 2\ntrigger_active_low = false',
        {"panel.button": 4, "panel.trigger": -1, "panel.trigger_active_low": False},
        "used: panel.trigger = -1",
    ),
    ("[gestures]\nhold_ms = 6000", {"gestures.hold_ms": 1500}, "used: the defaults of debounce_ms, hold_ms, "),
    ('[ladder]\nsteps = ["5/5/5"]', {"ladder.steps": ("70/100/100", "50/50/100", "35/50/50")}, "the default steps"),
    (
        "[power]\ncritical_percent = 50",
        {"power.critical_percent": 4, "power.low_percent": 20},
        "used: the defaults of critical_percent, low_percent",
    ),
    ("[power]\ncritical_percent = 60", {"power.critical_percent": 4}, "used: 4"),
    ("[power]\nhot_celsius = 100", {"power.hot_celsius": 75, "power.critical_celsius": 85}, "used: the defaults of "),
    ("[retention]\nkeep_days = -1", {"retention.keep_days": 3650}, "used: 3650"),
    ("[retention]\nmax_used_percent = 0", {"retention.max_used_percent": 90}, "used: 90"),
    ("[spool]\nfree_floor_mib = 100000", {"spool.free_floor_mib": 64}, "used: 64"),
    ("[video]\nfps = 0", {"video.fps": 30}, "used: 30"),
    ("[video]\nwidth = 5000\nheight = 4000", {"video.width": 0, "video.height": 0}, 'used: "auto"'),
    ("[audio]\ncapture_percent = 150", {"audio.capture_percent": None}, 'used: ""'),
    ("[recording]\nring_mib = 0", {"recording.ring_mib": 48}, "used: 48"),
    ("[recording]\npre_event_s = -1", {"recording.pre_event_s": 0}, "used: 0"),
    ("[recording]\npost_event_s = 300", {"recording.post_event_s": 120}, "used: 120"),
    ('[recording]\npre_event_sound = "no"', {"recording.pre_event_sound": False}, "used: false"),
    ("[recording]\npre_event_sounds = false", {"recording.pre_event_sound": False}, "used: pre_event_sound = false"),
    ("[recordings]\npre_event_sound = false", {"recording.pre_event_sound": False}, "used: pre_event_sound = false"),
    ('[signals]\nlight = "off"', {"signals.light": False, "signals.tone": True}, "used: false"),
    ("[dock]\nlimit_kbps = -1", {"dock.limit_kbps": 0}, "used: 0"),
    (
        '[gestures]\nidle_press = "none"\nidle_double = "none"\nidle_hold = "none"\n[panel]\nchip = "c"\nbutton = 4',
        {"gestures.idle_press": "record", "gestures.idle_hold": "none"},
        'used: gestures.idle_press = "record"',
    ),
    (
        '[signals]\nvibration = "off"\nlight = false\ntone = false',
        {"signals.vibration": "normal"},
        'vibration = "normal"',
    ),
    (
        '[panel]\nchip = "c"\nlight = 4\n[gestures]\nrecording_long = "stealth"\n[signals]\nvibration = "off"',
        {"gestures.recording_long": "tell"},
        'used: gestures.recording_long = "tell"',
    ),
]


@pytest.mark.parametrize(("toml", "used", "told"), BY_HAND)
def test_a_mistake_of_another_kind_starts_too_and_is_told(
    toml: str, used: dict[str, Any], told: str, tmp_path: Path
) -> None:
    head, rest = toml.split("\n", 1)
    text = MINIMAL.replace(head, f"{head}\n{rest}") if head in MINIMAL else f"{MINIMAL}\n{toml}\n"
    begun = begin(save(tmp_path, text))
    for key, value in used.items():
        section, name = key.split(".")
        assert getattr(getattr(begun.config, section), name) == value
    assert any(told in note for note in begun.notes), begun.notes
    assert len(begun.notes) >= len(check(text, BASE)) > 0


LINES = '[panel]\nchip = "c"\nbutton = 17\nlight = 4\n'
LOST = [
    LINES.replace("button = 17", "button = 999"),
    LINES.replace("button = 17", 'button = "17"'),
    LINES.replace("button = 17", "buton = 17"),
    LINES.replace('chip = "c"', "chip = 5"),
    LINES.replace("light = 4", 'light = "x"'),
    LINES.replace("light = 4", "light = 17"),
    LINES + 'button_active_low = "no"\n',
    LINES + "trigger = 999\n",
    LINES.replace("button = 17", "button = 28"),
    LINES.replace("light = 4", "light = 45"),
    LINES.replace("button = 17", "button = 3") + "button_active_low = false\n",
    LINES + "trigger = 2\ntrigger_active_low = false\n",
    LINES + "dock = 17\n",
    LINES.replace("[panel]", "[pannel]"),
    LINES + '[signals]\nlight = "off"\n',
    LINES + "[signals]\nlight = false\ntone = false\n",
    LINES.replace("[panel]", "[gestures]"),
]
"""Where nobody can tell any more what is wired to which line."""


@pytest.mark.parametrize("toml", LOST)
def test_a_mistake_that_takes_button_chip_or_light_away_is_told_as_a_panel_that_lacks(
    toml: str, tmp_path: Path
) -> None:
    begun = begin(save(tmp_path, f"{MINIMAL}\n{toml}"))
    assert begun.panel and set(begun.panel) <= set(begun.notes)


def test_a_mistake_that_leaves_button_chip_and_lights_where_they_are_is_none_of_the_panel(tmp_path: Path) -> None:
    others = "trigger_name = 5\nnickel = 1\nbutto = 3\n[colours]\n"
    begun = begin(save(tmp_path, f"{MINIMAL}\n{LINES}dock = 3\ndock_active_low = false\n{others}"))
    assert (len(begun.notes), begun.panel) == (5, ())
    assert (begun.config.panel.button, begun.config.panel.dock) == (17, -1)


def test_a_section_that_is_none_counts_as_left_out(tmp_path: Path) -> None:
    begun = begin(save(tmp_path, "recording = 5\n" + MINIMAL))
    assert begun.config.recording == replace(sample().recording, pre_event_sound=False)
    (note,) = begun.notes
    assert note.endswith("write [recording] on a line of its own; used: its defaults; used: pre_event_sound = false")


NOTHING_TO_START_WITH = [
    MINIMAL.replace('id = "cam-0001"', 'id = "Cam 1"'),
    MINIMAL.replace('id = "cam-0001"', ""),
    with_value("dock.receipt_key", '"station"'),
    MINIMAL.replace('source = "none"', 'source = "clip"'),
    with_value("camera.log_name", '"a b"'),
    with_value("camera.log_nam", '"agency.example"'),
    with_value("dock.log_name", '"agency.example"'),
    with_value("sealing.rollback_count", '"tpm:0x01800100"'),
    with_value("sealing.rollback_counter", '"tpm:0x81010001"'),
    "camera = 5\n" + MINIMAL.replace('[camera]\nid = "cam-0001"', ""),
    "[camera",
]


@pytest.mark.parametrize("text", NOTHING_TO_START_WITH)
def test_what_leaves_nothing_to_start_with_is_refused_with_every_mistake(text: str, tmp_path: Path) -> None:
    path = save(tmp_path, text + "\n[watch]\nenabled = 3\n")
    with pytest.raises(ConfigError) as strict:
        load(path)
    with pytest.raises(ConfigError) as caught:
        begin(path)
    assert str(caught.value) == str(strict.value)


@pytest.mark.parametrize("text", [*NOTHING_TO_START_WITH, "\0", "# \udcff"])
def test_what_leaves_nothing_to_start_with_has_the_last_good_one_start_and_is_told(text: str, tmp_path: Path) -> None:
    path = save(tmp_path, MINIMAL.replace('id = "cam-0001"', 'id = "cam-0007"'))
    path.rename(tmp_path / "agent.toml.good")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    begun = begin(path)
    assert (begun.config.camera.id, begun.panel) == ("cam-0007", ())
    (note,) = begun.notes
    assert note.startswith(f"configuration {path}") and "\n" not in note
    assert note.endswith("; used: agent.toml.good, with which it started before")


def test_where_the_file_is_gone_the_last_good_one_has_it_start_and_that_is_told(tmp_path: Path) -> None:
    path = save(tmp_path, MINIMAL.replace('id = "cam-0001"', 'id = "cam-0007"'))
    path.rename(tmp_path / "agent.toml.good")
    begun = begin(path)
    assert (begun.config.camera.id, begun.panel) == ("cam-0007", ())
    gone = f"configuration {path}: No such file or directory; used: agent.toml.good, with which it started before"
    assert begun.faults == {"settings": gone}
    path.symlink_to(tmp_path / "nowhere")
    assert begin(path).faults == {"settings": gone}


def test_the_last_good_one_stands_in_for_no_file_that_starts_and_is_none_where_it_lacks(tmp_path: Path) -> None:
    path = save(tmp_path, with_value("video.fps", "0"))
    good = tmp_path / "agent.toml.good"
    good.write_text(MINIMAL.replace('id = "cam-0001"', 'id = "cam-0007"'))
    assert begin(path).config.camera.id == "cam-0001"
    path.write_text("[camera")
    good.write_text("[camer")
    with pytest.raises(ConfigError, match=r"agent\.toml:"):
        begin(path)
    path.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        begin(path)
    good.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        begin(path)


def kept(folder: Path, text: str, good: str | None, edited: str = "") -> str | None:
    """What root keeps beside `good` of a file with which the recorder started, and which somebody edited since."""
    path, beside = save(folder, text), folder / "agent.toml.good"
    beside.unlink(missing_ok=True)
    if good is not None:
        beside.write_text(good)
    digest = digest_of(path)
    begun = begin(path)
    run = folder / begun.config.control.socket.parent
    run.mkdir(exist_ok=True)
    begun.tell(digest)
    save(folder, text + edited)
    subprocess.run(["/bin/sh", str(KEEP), str(path), str(run / STARTED)], check=True, timeout=60)
    assert not (folder / "agent.toml.good.new").exists()
    return beside.read_text() if beside.exists() else None


def test_root_keeps_what_has_no_mistake_and_nothing_else(tmp_path: Path) -> None:
    other, wrong = MINIMAL.replace("cam-0001", "cam-0007"), with_value("video.fps", "0")
    assert kept(tmp_path, wrong, None) is None, "nothing was told yet"
    assert kept(tmp_path, other, None) == other
    assert (tmp_path / "agent.toml.good").stat().st_mode & 0o777 == 0o644
    assert kept(tmp_path, other, other) == other
    assert kept(tmp_path, MINIMAL, other) == MINIMAL
    assert kept(tmp_path, wrong, other) == other
    assert kept(tmp_path, MINIMAL, other, "# edited\n") == other
    assert kept(tmp_path, "[camera", other) == other


def test_root_keeps_what_it_has_where_the_file_is_gone_and_says_nothing_of_it(tmp_path: Path) -> None:
    good = tmp_path / "agent.toml.good"
    good.write_text(MINIMAL)
    command = ["/bin/sh", str(KEEP), str(tmp_path / "agent.toml"), str(tmp_path / STARTED)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr, good.read_text()) == ("", "", MINIMAL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.toml.good"]


def test_on_a_desk_nobody_is_told_and_it_starts(tmp_path: Path) -> None:
    begun = begin(save(tmp_path, MINIMAL))
    (tmp_path / "run").write_text("no directory")
    begun.tell("0" * 64)


@pytest.mark.parametrize("key", ["camera.colour", "sealing.cipher", "sealing.count_recording", "video.tpm"])
def test_a_key_that_looks_like_none_that_only_this_camera_knows_keeps_no_camera_dark(key: str, tmp_path: Path) -> None:
    (note,) = begin(save(tmp_path, with_value(key, '"an old one"'))).notes
    assert note.startswith(f"{key}: unknown key") and note.endswith("; left out")


def test_a_key_beside_the_one_that_it_looks_like_keeps_no_camera_dark(tmp_path: Path) -> None:
    text = with_value("camera.log_name", '"agency.example"').replace("[camera]", '[camera]\nlog_nam = "other"')
    begun = begin(save(tmp_path, text))
    assert (begun.config.camera.log_name, len(begun.notes)) == ("agency.example", 1)


def test_what_only_this_camera_knows_has_no_stand_in() -> None:
    own = ownconfig._own(sample())
    keys = {
        f"{name}.{key}"
        for name, section in SECTIONS.items()
        for key, _, default in configfile.keys_of(section)
        if default is not MISSING and key in own.get(name, {})
    }
    assert keys == FIRM


@pytest.mark.parametrize("toml", ["-1", "99999999", "{}", '"x"', "true", "1979-05-27", '["a", 1]'])
def test_whatever_stands_at_the_keys_with_a_default_what_starts_is_lawful(toml: str, tmp_path: Path) -> None:
    text = dump(sample())
    for name, section in SECTIONS.items():
        for key, _, default in configfile.keys_of(section):
            if default is not MISSING and f"{name}.{key}" not in FIRM:
                head, found, rest = text.partition(f"\n[{name}]\n")
                line = rf"(?m)^{key} = (\[\n[^]]*\]|.*)$"
                text = head + found + re.sub(line, f"{key} = {toml}", rest, count=1)
    begun = begin(save(tmp_path, text))
    assert configfile.read(SECTIONS, dump(begun.config), BASE).mistakes == []
    assert len(begun.notes) > 50


def test_the_camera_says_of_its_mistakes_in_log_status_and_words_and_records(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path, with_value("audio.latency_ms", "-120").replace("[video]", "[video]\ncolour = 1"))
    begun = begin(path)
    begun.warn(path)
    assert [record.getMessage() for record in caplog.records] == [f"configuration {path}: {n}" for n in begun.notes]
    camera = Camera(agency, tmp_path, monkeypatch, wrong=begun.faults).start()
    camera.ticks(4)
    assert camera.faults()["settings"] == (
        "video.colour: unknown key; left out; audio.latency_ms: -120 is out of range (milliseconds, 0 to 200); used: 0"
    )
    assert camera.is_(State.READY), "a press would record"
    assert not camera.recorder.status()["officer"]["alarm"]
    assert Words("en").fault("settings") in camera.recorder.status()["words"]
    assert [body["what"] for body in camera.said("fault")] == ["settings"]
    camera.recorder.close()


def test_a_camera_whose_mistake_took_the_button_says_fault_and_why_and_records_by_command(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = begin(save(tmp_path, f"{MINIMAL}\n{LINES.replace('button = 17', 'button = 999')}"))
    without = {"panel": replace(begun.config.panel, chip="synthetic")}
    camera = Camera(agency, tmp_path, monkeypatch, sections=without, wrong=begun.faults).start()
    camera.turns(4)
    told = camera.recorder.status()
    assert camera.is_(State.FAULT) and (told["officer"]["state"], told["officer"]["alarm"]) == ("fault", True)
    assert told["faults"] == {"panel": "; ".join(begun.notes), "settings": "; ".join(begun.notes)}
    assert Words("en").fault("panel") in told["words"]
    assert camera.said("state")[-1]["reason"] == "panel: " + "; ".join(begun.notes)
    camera.recorder._record("ctl")
    camera.turns(3)
    assert camera.is_(State.RECORDING) and camera.panel.levels.light, "what becomes durable is shown to be"
    camera.recorder.officer._lose_panel(DeviceError("the panel is gone", "look"))
    camera.turns(3)
    assert camera.faults()["panel"] == "; ".join(begun.notes), "also after one that came back"
    camera.recorder.close()
