"""The configuration as it is written: dumped it loads again, and the template in the tree is made from its keys."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import MISSING, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import config as configuration
from agent.config import (
    Config,
    LadderConfig,
    PowerConfig,
    SpoolConfig,
    VideoConfig,
    check,
    dump,
    load,
    template,
)
from agent.configcontrols import GesturesConfig, PanelConfig, SignalsConfig, contradictions
from agent.configfile import keys_of, text_of
from agent.configrules import (
    FilePath,
    Flag,
    Key,
    MaybeWhole,
    SigningKey,
    StationUrl,
    Text,
    TextList,
    TpmIndex,
    VideoSource,
    Whole,
    toml_text,
)
from agent.errors import ConfigError
from tests.config_kit import AGE_A, AGE_B, BASE, sample, save

REPOSITORY = Path(__file__).parents[1]


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
        if key.rule.item.pattern.startswith("age1"):
            return st.sampled_from([(AGE_A,), (AGE_B, AGE_A)])
        return st.lists(texts_of(key.rule.item), min_size=1, max_size=3, unique=True).map(tuple)
    if isinstance(key.rule, Text):
        return texts_of(key.rule)
    if isinstance(key.rule, Flag):
        return st.booleans()
    if isinstance(key.rule, StationUrl):
        return st.sampled_from(["https://a", "https://a:1/b"])
    if isinstance(key.rule, MaybeWhole):
        return st.none() | st.integers(key.rule.whole.low, key.rule.whole.high)
    if isinstance(key.rule, TpmIndex):
        return st.none() | st.integers(0x01800000, 0x01BFFFFF)
    if isinstance(key.rule, SigningKey):
        return st.integers(0x81000000, 0x817FFFFF) | paths()
    assert isinstance(key.rule, FilePath)
    return paths()


@cache
def texts_of(rule: Text) -> st.SearchStrategy[str]:
    alphabet = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
    texts = st.from_regex(rule.pattern, fullmatch=True, alphabet=alphabet)
    return texts.filter(lambda text: len(text) <= rule.max_chars)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    sections = {
        name: section(**{key: draw(values_of(about), label=f"{name}.{key}") for key, about, _ in keys_of(section)})
        for name, section in configuration.SECTIONS.items()
    }
    made = Config(**sections)
    if made.audio.source == "clip":
        made = replace(made, audio=replace(made.audio, source="none"))
    if contradictions(made.panel, made.gestures, made.signals):
        made = replace(made, panel=PanelConfig(), gestures=GesturesConfig(), signals=SignalsConfig())
    # What each key allows alone, but not together.
    if made.power.contradictions():
        made = replace(made, power=PowerConfig())
    if made.ladder.contradictions():
        made = replace(made, ladder=LadderConfig())
    seconds = min(made.recording.pre_event_s, 100)
    return replace(made, recording=replace(made.recording, ring_mib=1024, pre_event_s=seconds))


@settings(max_examples=20, deadline=None)
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
        name: {key.name for key in fields(section)} for name, section in configuration.SECTIONS.items()
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
        for name, section in configuration.SECTIONS.items()
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


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_what_is_no_file_is_told_and_never_waited_for(kind: str, tmp_path: Path) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    with pytest.raises(ConfigError, match=r"not a file|Is a directory") as caught:
        text_of(path)
    assert str(path) in caught.value.message


def test_a_file_that_this_user_may_not_read_is_not_called_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests run as root, whom nothing is kept from."""

    def refused(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(ConfigError, match="Permission denied") as told:
        text_of(tmp_path / "agent.toml")
    assert "let this user read it" in told.value.hint
