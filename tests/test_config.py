"""The configuration as it is read: strict, all mistakes at once."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import config as configuration
from agent import configcheck
from agent.config import (
    AudioConfig,
    Config,
    ControlConfig,
    RecordingConfig,
    SpoolConfig,
    VideoConfig,
    check,
    load,
)
from agent.configtogether import ring_mib
from agent.errors import ConfigError, Exit
from tests.config_kit import AGE_A, AGE_B, BASE, MINIMAL, sample, save, with_value

# -- what is read ----------------------------------------------------------------------------------------------------


def test_the_least_there_can_be(tmp_path: Path) -> None:
    found = load(save(tmp_path, MINIMAL))
    assert found == replace(
        sample(),
        sealing=replace(sample().sealing, identity_key=tmp_path / "id.key"),
        spool=SpoolConfig(dir=tmp_path / "spool"),
        dock=replace(
            sample().dock, ca=tmp_path / "root.pem", client_cert=tmp_path / "tls.pem", client_key=tmp_path / "tls.key"
        ),
        control=ControlConfig(socket=tmp_path / "run/control.sock"),
    )


def test_relative_paths_start_at_the_file_and_not_at_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    save(tmp_path / "etc", with_value("video.source", '"clip:films/a clip.mp4"'))
    monkeypatch.chdir(tmp_path)
    found = load(Path("etc/agent.toml"))
    assert found.spool.dir == tmp_path / "etc/spool"
    assert found.video.source == f"clip:{tmp_path}/etc/films/a clip.mp4"
    assert found.sealing.identity_chain == Path("/abs/id.pem")


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        sample().camera.id = "other"


# -- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES = [
    ("camera.id", '"Cam 1"', '"Cam 1" is not 1 to 27 of a-z, 0-9 and -'),
    ("camera.id", f'"{"a" * 28}"', "is not 1 to 27"),
    ("camera.id", '"cam-1\\n"', "control characters"),
    ("camera.unit", '"North\\u2028East"', "control characters"),
    ("camera.unit", '"North\\u2029East"', "control characters"),
    ("camera.id", "7", "wants a text, not 7"),
    ("camera.log_name", '"a+b"', "is not a host name"),
    ("camera.log_name", '"a b"', "is not a host name"),
    ("camera.log_name", '"a/b"', "is not a host name"),
    ("camera.unit", f'"{"x" * 101}"', "longer than 100"),
    ("video.source", '"webcam"', "is not"),
    ("video.source", '"webcam:"', "is not"),
    ("video.source", '"webcam:100"', "is not"),
    ("video.source", '"clip:"', "is not"),
    ("video.source", '"picamera2"', "; did you mean picamera?"),
    ("video.source", '"picamra"', "; did you mean picamera?"),
    ("video.source", '"Synthetic"', "; did you mean synthetic?"),
    ("video.source", '"webcm:3"', "; did you mean webcam:3?"),
    ("video.source", '"clp"', "; did you mean clip:FILE?"),
    ("video.source", '"qqq"', "encodes by itself)"),
    ("video.width", "1281", "multiple of 2"),
    ("video.width", "158", 'out of range ("auto", or pixels, 160 to 3840'),
    ("video.fps", "30.0", "wants a whole number"),
    ("video.fps", "true", "wants a whole number (frames per second, 1 to 60), not true"),
    ("video.fps", '"30"', "wants a whole number"),
    ("video.preset", '"fastest"', "is not one of"),
    ("video.preset", '"ultrafats"', "; did you mean ultrafast?"),
    ("gestures.idle_press", '"recrod"', "; did you mean record?"),
    ("video.gop_s", "2", "out of range"),
    ("audio.source", '""', "is not"),
    ("audio.source", '" mic"', "is not"),
    ("audio.source", '"clip"', "needs video.source"),
    ("recording.pre_event_s", "121", "out of range (seconds, 0 to 120)"),
    ("recording.pre_event_s", "-1", "out of range"),
    ("recording.part_ms", "249", "out of range"),
    ("recording.part_ms", "1001", "out of range"),
    ("recording.segment_s", "61", "out of range"),
    ("recording.segment_s", "4", "out of range"),
    ("recording.segment_mib", "65", "out of range"),
    ("recording.record_at_boot", "1", "wants true or false"),
    ("audio.latency_ms", "-1", "milliseconds, 0 to 200"),
    ("video.latency_ms", "-201", "milliseconds, -200 to 200"),
    ("recording.ring_mib", "8", "8 MiB cannot hold 30 s at the 6096 kbit/s"),
    ("recording.ring_mib", "24", "that it takes while much moves: at least 25"),
    ("sealing.recipients", "[]", "at least one"),
    ("sealing.recipients", f'"{AGE_A}"', "wants a list"),
    ("sealing.recipients", f'["{AGE_A}", "{AGE_A}"]', "named twice"),
    ("sealing.recipients", f'["{AGE_A}", 5]', "wants a text"),
    ("sealing.recipients", f'["{AGE_A[:-1]}"]', "is not an age recipient"),
    ("sealing.recipients", f'["{AGE_A.upper()}"]', "is not an age recipient"),
    ("sealing.recipients", '["age1pq1' + "q" * 150 + '"]', "is not an age recipient"),
    ("sealing.identity_key", '""', "wants a path"),
    ("sealing.identity_key", '"a\\u0000b"', "control characters"),
    ("sealing.identity_key", '"file:"', "wants a path"),
    ("sealing.identity_key", '"tpm:"', "is not tpm:0x81000000 to tpm:0x817fffff"),
    ("sealing.identity_key", '"tpm:1"', "is not tpm:0x81000000 to tpm:0x817fffff"),
    ("sealing.identity_key", '"tpm:0x80ffffff"', "is not tpm:0x81000000 to tpm:0x817fffff"),
    ("sealing.identity_key", '"tpm:0x81800000"', "is not tpm:0x81000000 to tpm:0x817fffff"),
    ("sealing.rollback_counter", '"tpm:0x81010001"', "is not tpm:0x01800000 to tpm:0x01bfffff"),
    ("sealing.rollback_counter", "1", "wants a text"),
    ("dock.station_url", '"http://station"', "is not https"),
    ("dock.station_url", '"https://"', "is not https"),
    ("dock.station_url", '"https://station:99999"', "is not https"),
    ("dock.station_url", '"https://user@station"', "is not https"),
    ("dock.station_url", '"https://station/?a=b"', "is not https"),
    ("dock.station_url", '"https://[::1"', "is not https"),
    ("dock.receipt_key", '"station"', "is not a verifier key"),
    ("dock.presence", '"sometimes"', "is not one of"),
    ("dock.presence", '["link", "sometimes"]', "is not one of"),
    ("dock.presence", "[]", "at least one"),
    ("dock.metered", '["wwan 0"]', "is not the name of a network interface"),
    ("dock.max_celsius", "20", "out of range"),
    ("dock.limit_kbps", "63", "out of range (0, or kbit/s, 64 to 10000000)"),
    ("dock.limit_kbps", "false", "wants a whole number"),
    ("dock.start_spread_s", "601", "out of range"),
    ("dock.parallel", "0", "out of range"),
    ("dock.parallel", "5", "out of range"),
    ("retention.max_used_percent", "100", "out of range"),
    ("control.socket", f'"{"s" * 107}"', "longer than 107"),
]


TOGETHER: list[tuple[str, list[str]]] = [
    (
        '[signals]\nvibration = "off"\nlight = false\ntone = false',
        ["signals.vibration: off, with no light and no tone"],
    ),
    ('[signals]\nvibration = "off"\nlight = false', []),
    (
        '[signals]\nvibration = "off"\n[gestures]\nidle_long = "stealth"',
        ["gestures.idle_long: stealth without vibration"],
    ),
    ('[gestures]\nrecording_double = "stealth"', []),
    (
        '[panel]\nchip = "c"\nlight = 4\n[gestures]\nidle_long = "stealth"\nrecording_long = "stealth"',
        ["gestures.idle_long: stealth without a motor", "gestures.recording_long: stealth without a motor"],
    ),
    ('[panel]\nchip = "c"\nvibration = 4\n[gestures]\nidle_long = "stealth"', []),
    ('[panel]\nchip = "synthetic"\n[gestures]\nidle_long = "stealth"', []),
    (
        '[panel]\nchip = "c"\nlight = 4\n[signals]\nlight = false\ntone = false',
        ["panel.vibration: no motor, no light and no tone"],
    ),
    ('[panel]\nchip = "c"\nvibration = 4\n[signals]\nlight = false\ntone = false', []),
    (
        '[panel]\nchip = "c"\nbutton = 4\n[gestures]\nrecording_hold = "mark"',
        ["gestures.recording_hold: no gesture does stop"],
    ),
    ('[gestures]\nrecording_hold = "mark"', []),
    (
        '[panel]\nchip = "c"\nbutton = 4\n[gestures]\nidle_press = "none"\nidle_double = "tell"\nidle_hold = "sleep"',
        ["gestures.idle_press: no gesture does record"],
    ),
    ('[panel]\nchip = "c"\nbutton = 4\n[gestures]\nidle_press = "none"', []),
    ('[panel]\nchip = "c"\nbutton = 4\ndock = 4', ["panel.dock: line 4 is that of panel.button already"]),
    (
        '[panel]\nchip = "c"\nbutton = 3\nbutton_active_low = false\ndock = 2\ndock_active_low = false\nlight = 27',
        ["panel.button: line 3 is pulled up on the board", "panel.dock: line 2 is pulled up on the board"],
    ),
    ('[panel]\nchip = "c"\nbutton = 3\ndock = 2\ntrigger = 4\ntrigger_active_low = false', []),
    ('[panel]\nchip = "c"\nbutton = 4\nlight = 3\ntone = 2', []),
    ("[panel]\nbutton_active_low = false", []),
    (
        "[recording]\npre_event_s = 0\nring_mib = 4",
        ["recording.ring_mib: 4 MiB cannot hold the ring's least seconds at the 6096 kbit/s that it takes"],
    ),
    ("[recording]\npre_event_s = 0\nring_mib = 5", []),
    ("[recording]\nring_mib = 25", []),
    ("[gestures]\nhold_ms = 6000", ["gestures.long_ms: must be longer than gestures.hold_ms (6000 ms)"]),
]


@pytest.mark.parametrize(("toml", "says"), TOGETHER)
def test_what_each_key_allows_alone_is_told_with_the_mistakes_of_single_keys(toml: str, says: list[str]) -> None:
    alone = check(f"{MINIMAL}\n{toml}\n", BASE)
    assert [m[: len(said)] for m, said in zip(alone, says, strict=True)] == says
    with_others = check(f"{MINIMAL}\n{toml}\n[watch]\nenabled = 3\n[recordin]\n", BASE)
    assert [m.split(":")[0] for m in with_others[:2]] == ["recordin", "watch.enabled"]
    assert with_others[2:] == alone


def test_of_a_key_that_cannot_be_read_nothing_is_said_that_hangs_on_it() -> None:
    unread = check(f'{MINIMAL}\n[signals]\nvibration = "loud"\nlight = false\ntone = false\n', BASE)
    assert [m.split(":")[0] for m in unread] == ["signals.vibration"]
    misspelled = check(f"{MINIMAL}\n[recording]\npre_event_s = 120\nring_mb = 90\n", BASE)
    assert [m.split(":")[0] for m in misspelled] == ["recording.ring_mb"], "it may well have said enough"


@pytest.mark.parametrize(("key", "toml", "says"), MISTAKES)
def test_a_mistake_names_its_key(key: str, toml: str, says: str) -> None:
    mistakes = check(with_value(key, toml), BASE)
    assert len(mistakes) == 1
    assert mistakes[0].startswith(f"{key}: ")
    assert says in mistakes[0]


@pytest.mark.parametrize(
    ("key", "toml"),
    [
        ("video.source", '"webcam:0"'),
        ("video.source", '"webcam:63"'),
        ("video.source", '"webcam:Logitech BRIO"'),
        ("video.source", '"webcam:/dev/v4l/by-path/platform-fd500000.pcie-usb-0:1.2:1.0-video-index0"'),
        ("video.source", '"picamera"'),
        ("video.source", '"clip:/films/a:b.mp4"'),
        ("audio.source", '"USB Mic: (hw:1,0)"'),
        ("camera.unit", '"وحدة المرور"'),
        ("recording.pre_event_s", "0"),
        ("dock.limit_kbps", "0"),
        ("dock.limit_kbps", "64"),
        ("dock.station_url", '"https://[::1]:8443/files"'),
        ("sealing.recipients", f'["{AGE_A}", "{AGE_B}"]'),
        ("sealing.identity_key", '"file:id.key"'),
        ("sealing.identity_key", '"tpm:0x81000000"'),
        ("sealing.identity_key", '"tpm:0x817FFFFF"'),
        ("sealing.tpm_device", '"/dev/tpm0"'),
        ("sealing.rollback_counter", '""'),
        ("sealing.rollback_counter", '"tpm:0x01800100"'),
    ],
)
def test_what_is_fine(key: str, toml: str) -> None:
    assert check(with_value(key, toml), BASE) == []


def test_all_mistakes_come_together(tmp_path: Path) -> None:
    text = with_value("video.fps", "0").replace('id = "cam-0001"', "") + "\n[recordin]\n[spool2]\n"
    path = save(tmp_path, text.replace("[control]", "[control]\nsokcet = 1"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = str(caught.value)
    for wanted in (
        "recordin: unknown section; did you mean recording?",
        "spool2: unknown section; did you mean spool?",
        "control.sokcet: unknown key; did you mean socket?",
        "camera.id: is missing: 1 to 27 of",
        "video.fps: 0 is out of range",
    ):
        assert f"\n  - {wanted}" in message
    assert str(path) in message
    assert "next: " in message
    assert caught.value.exit_status is Exit.USAGE
    assert int(Exit.USAGE) == 2


def test_what_stands_in_a_misspelled_section_is_checked_with_the_others() -> None:
    wrong = '[gesture]\nhold_ms = "x"\nrecording_hold = "halt"\nstuk_s = 20\nfps = 15\nlong_ms = 3000\n'
    assert check(f"{MINIMAL}{wrong}[qqqq]\nfps = 0\n", BASE) == [
        "gesture: unknown section; did you mean gestures?",
        "gesture.stuk_s: unknown key; did you mean stuck_s?",
        "gesture.fps: unknown key; it belongs in [video]",
        'gesture.hold_ms: wants a whole number (milliseconds, 300 to 10000), not "x"',
        'gesture.recording_hold: "halt" is not one of "none", "stop", "mark", "mute", "tell", "stealth"',
        "qqqq: unknown section",
    ]
    video = MINIMAL.replace("[video]", "[vidio]\nfps = 0")
    assert [mistake.split(":")[0] for mistake in check(video, BASE)] == ["vidio", "vidio.fps", "video.source"]
    assert check("vidio = 1\n" + MINIMAL, BASE) == ["vidio: unknown section; did you mean video?"]


def test_the_zone_and_the_driver_are_looked_up_whatever_else_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configcheck, "no_driver_for", lambda source: f"no driver for {source}")
    zone = '[camera]\ntimezone = "Mars/Phobos"'
    text = with_value("video.fps", "300").replace("[camera]", zone)
    fps, unknown, missing = configcheck.of_file(text, BASE)
    assert fps.startswith("video.fps: 300 is out of range")
    assert unknown.startswith("camera.timezone: 'Mars/Phobos' is not a time zone; ")
    assert missing == "video.source: no driver for synthetic"
    unread = configcheck.of_file(text.replace("Mars/Phobos", "Mars Phobos").replace('"synthetic"', "5"), BASE)
    assert [m.split(":")[0] for m in unread] == ["camera.timezone", "video.source", "video.fps"]
    (not_toml,) = configcheck.of_file("[camera", BASE)
    assert not_toml.startswith("not TOML: ")


def test_a_key_in_the_wrong_section_is_sent_home() -> None:
    assert check(with_value("video.pre_event_s", "3"), BASE) == [
        "video.pre_event_s: unknown key; it belongs in [recording]"
    ]
    assert check("parallel = 2\n" + MINIMAL, BASE) == ["parallel: unknown section; it belongs in [dock]"]
    assert check(with_value("spool.bitrate_kbps", "3"), BASE) == [
        "spool.bitrate_kbps: unknown key; it belongs in [video] or [audio]"
    ]
    assert check(with_value("camera.colour_of_the_strap", "3"), BASE) == ["camera.colour_of_the_strap: unknown key"]


def test_an_unknown_key_is_shown_without_its_control_characters() -> None:
    (mistake,) = check(with_value("camera." + '"\\u001b[2J"', "1"), BASE)
    assert mistake == 'camera."\\u001b[2J": unknown key'


def test_a_section_that_is_none() -> None:
    mistakes = check("recording = 5\n" + MINIMAL, BASE)
    assert mistakes == ["recording: is a section: write [recording] on a line of its own"]


@pytest.mark.parametrize(
    "text", ["[camera", "a = ", "[camera]\nid = 'a'\nid = 'b'", "x = " + "[" * 5000, f"x = {'9' * 5000}", "\x00"]
)
def test_not_toml(text: str) -> None:
    (mistake,) = check(text, BASE)
    assert mistake.startswith("not TOML: ")


@settings(deadline=None)
@given(st.text() | st.sampled_from([MINIMAL, "[camera]\n"]).flatmap(lambda t: st.text().map(lambda s: t + s)))
def test_any_text_gives_mistakes_and_never_a_crash(text: str) -> None:
    assert all(isinstance(mistake, str) for mistake in check(text, BASE))


@settings(deadline=None)
@given(
    st.sampled_from(
        [f"{name}.{key}" for name, cls in configuration.SECTIONS.items() for key in cls.__dataclass_fields__]
    ),
    st.sampled_from(["0x" + "f" * 9000, "inf", "nan", "1979-05-27", "{}", "[[]]", "{a = 1}", '"\\ud7ff"', "-0"]),
)
def test_any_value_at_any_key_gives_mistakes_and_never_a_crash(key: str, toml: str) -> None:
    assert all(mistake.startswith(f"{key}: ") for mistake in check(with_value(key, toml), BASE))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[camera]\nunit = "\xe9"\n')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="longer than 1 MiB"):
        load(tmp_path / "big.toml")


def test_the_default_ring_holds_its_thirty_seconds_at_eight_megabits_a_second() -> None:
    """As the memory of a board of 512 MiB was measured with it (tests/test_memory.py)."""
    video, recording, audio = (
        VideoConfig(source="picamera", bitrate_kbps=8000),
        RecordingConfig(),
        AudioConfig(source="default"),
    )
    eight = cast(Config, SimpleNamespace(video=video, recording=recording, audio=audio))
    assert (recording.pre_event_s, recording.ring_mib) == (30, 48)
    assert ring_mib(eight) <= recording.ring_mib
