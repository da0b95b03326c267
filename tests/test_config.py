"""The configuration: strict, all mistakes at once, and what is written is what is read."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import config as configuration
from agent.config import (
    AudioConfig,
    CameraConfig,
    Config,
    ControlConfig,
    DockConfig,
    RecordingConfig,
    RetentionConfig,
    SealingConfig,
    SpoolConfig,
    VideoConfig,
    check,
    dump,
    load,
    template,
)
from agent.configfile import keys_of
from agent.configrules import FilePath, Flag, Key, StationUrl, Text, TextList, VideoSource, Whole, toml_text
from agent.errors import ConfigError, Exit

REPOSITORY = Path(__file__).parents[1]
AGE_A = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
AGE_B = "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z"
VKEY = "station.example+0123abcd+" + "A" * 44
BASE = Path("/base")

MINIMAL = f"""
[camera]
id = "cam-0001"
[video]
source = "synthetic"
[audio]
source = "none"
[sealing]
recipients = ["{AGE_A}"]
identity_key = "id.key"
identity_chain = "/abs/id.pem"
[spool]
dir = "spool"
[dock]
station_url = "https://127.0.0.1:8443"
ca = "root.pem"
client_cert = "tls.pem"
client_key = "tls.key"
receipt_key = "{VKEY}"
[control]
socket = "run/control.sock"
"""


def sample() -> Config:
    return Config(
        camera=CameraConfig(id="cam-0001"),
        video=VideoConfig(source="synthetic"),
        audio=AudioConfig(source="none"),
        recording=RecordingConfig(),
        sealing=SealingConfig(recipients=(AGE_A,), identity_key=BASE / "id.key", identity_chain=Path("/abs/id.pem")),
        spool=SpoolConfig(dir=BASE / "spool"),
        retention=RetentionConfig(),
        dock=DockConfig(
            station_url="https://127.0.0.1:8443",
            ca=BASE / "root.pem",
            client_cert=BASE / "tls.pem",
            client_key=BASE / "tls.key",
            receipt_key=VKEY,
        ),
        control=ControlConfig(socket=BASE / "run/control.sock"),
    )


def save(directory: Path, text: str) -> Path:
    path = directory / "agent.toml"
    path.write_text(text, "utf-8")
    return path


def with_value(key: str, toml: str) -> str:
    """MINIMAL with one key set, or set anew."""
    section, name = key.split(".")
    kept: list[str] = []
    here = ""
    for line in MINIMAL.splitlines():
        here = line.strip("[]") if line.startswith("[") else here
        if not (here == section and line.startswith(f"{name} =")):
            kept.append(line)
    if f"[{section}]" not in kept:
        kept.append(f"[{section}]")
    kept.insert(kept.index(f"[{section}]") + 1, f"{name} = {toml}")
    return "\n".join(kept)


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
    ("camera.id", "7", "wants a text, not 7"),
    ("camera.log_name", '"a+b"', "is not a host name"),
    ("camera.log_name", '"a b"', "is not a host name"),
    ("camera.log_name", '"a/b"', "is not a host name"),
    ("camera.unit", f'"{"x" * 101}"', "longer than 100"),
    ("video.source", '"webcam"', "is not"),
    ("video.source", '"webcam:x"', "is not"),
    ("video.source", '"clip:"', "is not"),
    ("video.source", '"picamera2"', "is not"),
    ("video.width", "1281", "multiple of 2"),
    ("video.width", "158", "out of range (pixels, 160 to 3840"),
    ("video.fps", "30.0", "wants a whole number"),
    ("video.fps", "true", "wants a whole number (frames per second, 1 to 60), not true"),
    ("video.fps", '"30"', "wants a whole number"),
    ("video.preset", '"fastest"', "is not one of"),
    ("video.gop_s", "3", "out of range"),
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
    ("recording.ring_mib", "8", "8 MiB cannot hold 30 s at 4096 kbit/s: at least 15"),
    ("sealing.recipients", "[]", "at least one"),
    ("sealing.recipients", f'"{AGE_A}"', "wants a list"),
    ("sealing.recipients", f'["{AGE_A}", "{AGE_A}"]', "named twice"),
    ("sealing.recipients", f'["{AGE_A}", 5]', "wants a text"),
    ("sealing.recipients", f'["{AGE_A[:-1]}"]', "is not an age X25519 recipient"),
    ("sealing.recipients", f'["{AGE_A.upper()}"]', "is not an age X25519 recipient"),
    ("sealing.recipients", '["age1pq1' + "q" * 150 + '"]', "is not an age X25519 recipient"),
    ("sealing.identity_key", '""', "wants a path"),
    ("sealing.identity_key", '"a\\u0000b"', "control characters"),
    ("dock.station_url", '"http://station"', "is not https"),
    ("dock.station_url", '"https://"', "is not https"),
    ("dock.station_url", '"https://station:99999"', "is not https"),
    ("dock.station_url", '"https://user@station"', "is not https"),
    ("dock.station_url", '"https://station/?a=b"', "is not https"),
    ("dock.station_url", '"https://[::1"', "is not https"),
    ("dock.receipt_key", '"station"', "is not a verifier key"),
    ("dock.presence", '"sometimes"', "is not one of"),
    ("dock.parallel", "0", "out of range"),
    ("dock.parallel", "5", "out of range"),
    ("retention.max_used_percent", "100", "out of range"),
    ("control.socket", f'"{"s" * 107}"', "longer than 107"),
]


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
        ("video.source", '"picamera"'),
        ("video.source", '"clip:/films/a:b.mp4"'),
        ("audio.source", '"USB Mic: (hw:1,0)"'),
        ("camera.unit", '"وحدة المرور"'),
        ("recording.pre_event_s", "0"),
        ("dock.limit_kbps", "0"),
        ("dock.station_url", '"https://[::1]:8443/files"'),
        ("sealing.recipients", f'["{AGE_A}", "{AGE_B}"]'),
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
        [f"{name}.{key}" for name, cls in configuration._SECTIONS.items() for key in cls.__dataclass_fields__]
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


# -- what is written -------------------------------------------------------------------------------------------------


def paths(max_bytes: int = 60) -> st.SearchStrategy[Path]:
    name = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1)
    named = name.filter(lambda text: text not in (".", "..") and len(text.encode()) <= max_bytes)
    return named.map(lambda text: Path("/some dir") / text)


def values_of(key: Key) -> st.SearchStrategy[Any]:
    if isinstance(key.rule, Whole):
        rule = key.rule
        return st.integers(-(-rule.low // rule.step), rule.high // rule.step).map(lambda n: n * rule.step)
    if isinstance(key.rule, VideoSource):
        sources = st.sampled_from(["picamera", "synthetic", "webcam:0", "webcam:12"])
        return sources | paths().map(lambda path: f"clip:{path}")
    if isinstance(key.rule, TextList):
        return st.sampled_from([(AGE_A,), (AGE_B, AGE_A)])
    if isinstance(key.rule, Text):
        return texts_of(key.rule)
    if isinstance(key.rule, Flag):
        return st.booleans()
    if isinstance(key.rule, StationUrl):
        return st.sampled_from(["https://a", "https://a:1/b"])
    assert isinstance(key.rule, FilePath)
    return paths()


def texts_of(rule: Text) -> st.SearchStrategy[str]:
    alphabet = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
    texts = st.from_regex(rule.pattern, fullmatch=True, alphabet=alphabet)
    return texts.filter(lambda text: len(text) <= rule.max_chars)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    sections = {
        name: section(**{key: draw(values_of(about), label=f"{name}.{key}") for key, about, _ in keys_of(section)})
        for name, section in configuration._SECTIONS.items()
    }
    made = Config(**sections)
    if made.audio.source == "clip":
        made = replace(made, audio=replace(made.audio, source="none"))
    return replace(made, recording=replace(made.recording, ring_mib=1024))


@settings(max_examples=40, deadline=None)
@given(configs())
def test_what_is_dumped_is_what_is_loaded(tmp_path_factory: pytest.TempPathFactory, made: Config) -> None:
    assert load(save(tmp_path_factory.getbasetemp(), dump(made))) == made


@given(st.text(st.characters(codec="utf-8")))
@example('\x7f\x00\x85\u2028"\\\U0001f600')
def test_any_text_can_be_written(text: str) -> None:
    assert tomllib.loads(f"a = {toml_text(text)}") == {"a": text}


def test_a_dump_has_every_key_with_its_comment() -> None:
    text = dump(sample())
    assert check(text, Path("/elsewhere")) == []
    tables = tomllib.loads(text)
    assert {name: set(table) for name, table in tables.items()} == {
        name: {key.name for key in fields(section)} for name, section in configuration._SECTIONS.items()
    }
    assert "#   seconds, 0 to 120; default 30\npre_event_s = 30\n" in text


def test_a_dump_says_where_a_relative_path_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = replace(sample(), spool=SpoolConfig(dir=Path("out/spool")), video=VideoConfig(source="clip:a.mp4"))
    tables = tomllib.loads(dump(made))
    assert tables["spool"]["dir"] == f"{tmp_path}/out/spool"
    assert tables["video"]["source"] == f"clip:{tmp_path}/a.mp4"


def test_a_path_that_utf_8_cannot_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="not UTF-8"):
        dump(replace(sample(), spool=SpoolConfig(dir=Path("/a\udcff"))))


def test_the_template_in_the_tree_is_written_from_the_keys() -> None:
    assert (REPOSITORY / "config" / "agent.toml").read_text("utf-8") == template(), (
        'write it anew: python -c "from agent.config import template; print(template(), end=str())" > config/agent.toml'
    )


def test_the_template_lacks_exactly_what_only_the_agency_knows() -> None:
    required = [
        f"{name}.{key.name}"
        for name, section in configuration._SECTIONS.items()
        for key in fields(section)
        if key.default is MISSING
    ]
    mistakes = check(template(), BASE)
    assert [mistake.split(":")[0] for mistake in mistakes] == required
    assert all(": is missing: " in mistake for mistake in mistakes)


def test_the_template_as_it_stands_seals_to_nobody_and_trusts_nobody() -> None:
    """A camera must not record to an example key, which no one holds."""
    uncommented = re.sub(r'(?m)^#(?=\w+ = |    "|])', "", template())
    assert [mistake.split(":")[0] for mistake in check(uncommented, BASE)] == ["sealing.recipients", "dock.receipt_key"]
