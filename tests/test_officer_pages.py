"""The officer's pages are what the camera does: drawn from its patterns, gestures and words, in each language."""

from __future__ import annotations

import re
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from agent.config import RecordingConfig
from agent.configfile import keys_of
from agent.controls import patterns
from agent.controls.patterns import Beats, Warn

HOUSE = Path(__file__).resolve().parent.parent


def tool() -> ModuleType:
    loader = SourceFileLoader("officer_pages", str(HOUSE / "tools" / "officer-pages"))
    spec = spec_from_loader("officer_pages", loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


TOOL = tool()
BLOCKS = {"lights", "signs", "warnings", "alarm", "gestures"}


@pytest.mark.parametrize("language", TOOL.PAGES)
def test_the_page_is_what_is_drawn_today(language: str) -> None:
    text = (HOUSE / TOOL.PAGES[language]).read_text("utf-8")
    assert set(re.findall(r"<!-- begin ([a-z]+) -->", text)) == BLOCKS == set(TOOL.Page(language).blocks())
    assert TOOL.written(language, text) == text, "write it anew: tools/officer-pages"


@pytest.mark.parametrize("language", TOOL.PAGES)
def test_another_pattern_or_gesture_makes_the_page_stale(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (HOUSE / TOOL.PAGES[language]).read_text("utf-8")
    changed = {**patterns.WARNINGS, Warn.MUTED: Beats((60, 100, 60), every_s=61)}
    with monkeypatch.context() as patch:
        patch.setattr(patterns, "WARNINGS", changed)
        assert TOOL.written(language, text) != text
    monkeypatch.setattr(TOOL, "gestures", lambda profile: TOOL.GesturesConfig(hold_ms=1600))
    assert TOOL.written(language, text) != text


LINES, COLUMNS = 70, 130
"""An A4 page at nine points, with 1 cm at each side, and what headings and the lines of tables take."""


def lines(text: str) -> int:
    """As printed: what stands between marks and brackets is not."""
    plain = re.sub(r"<[^>]+>|`|\*\*|\]\([^)]*\)", "", text)
    told = [line for line in plain.splitlines() if line.strip() and not re.fullmatch(r"[| :-]+", line)]
    return sum(-(-len(line) // COLUMNS) for line in told)


@pytest.mark.parametrize("language", TOOL.PAGES)
def test_it_is_one_page(language: str) -> None:
    text = (HOUSE / TOOL.PAGES[language]).read_text("utf-8")
    assert 50 < lines(text) <= LINES, "cut it: an officer reads one page"
    assert lines(text + "\n- a line more" * LINES) > LINES


@pytest.mark.parametrize("language", TOOL.PAGES)
def test_it_says_from_when_on_a_press_is_heard(language: str) -> None:
    words = TOOL.Words(language).say("state.starting")
    text = (HOUSE / TOOL.PAGES[language]).read_text("utf-8")
    assert len([line for line in text.splitlines() if words in line and not line.startswith("|")]) == 1
    (meaning,) = [about.meaning for key, about, _ in keys_of(RecordingConfig) if key == "record_at_boot"]
    assert "is not heard" in meaning


def test_time_is_drawn_to_scale() -> None:
    page = TOOL.Page("en")
    assert page._drawn(Beats((400, 150, 60))) == "■■■■□□■"
    assert page._drawn(Beats((100, 3900))) == "■□□…□ 3.9 s"


@pytest.mark.parametrize("language", TOOL.PAGES)
def test_the_profiles_that_shake_twice_as_long_and_the_covert_one_are_named(language: str) -> None:
    text = (HOUSE / TOOL.PAGES[language]).read_text("utf-8")
    signals = {
        path.stem: tomllib.loads(path.read_text("utf-8")).get("signals", {})
        for path in (HOUSE / "config" / "profiles").glob("*.toml")
    }
    assert set(signals) == set(TOOL.PROFILES)
    strong = sorted(name for name, said in signals.items() if said.get("vibration") == "strong")
    assert sorted(re.findall(r"`([a-z]+)`", re.findall(r"\((?:<[^>]+>)?(`[a-z]+`, [^)<]+)", text)[0])) == strong
    covert = [name for name, said in signals.items() if said.get("light") is False and said.get("tone") is False]
    assert covert == [TOOL.COVERT] and f"`{TOOL.COVERT}`" in text
