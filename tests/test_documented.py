"""Every key of agent.toml: documented with its meaning, unit and default; every mistake told, all at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from agent import config as configuration
from agent import profiles
from agent.config import check
from agent.configfile import keys_of
from agent.configrules import Whole
from tests.config_kit import BASE
from tests.test_profiles import NAMES, SHIPPED

TEMPLATE = (Path(__file__).parents[1] / "config" / "agent.toml").read_text("utf-8")
KEYS = [f"{section}.{key}" for section, cls in configuration.SECTIONS.items() for key, _, _ in keys_of(cls)]


def documented() -> Iterator[tuple[str, str, str, str]]:
    """Of each key in the file: its name, its meaning, its values in words, its default or "required"."""
    section = ""
    lines = TEMPLATE.splitlines()
    for number, line in enumerate(lines):
        section = line[1:-1] if re.fullmatch(r"\[\w+\]", line) else section
        key = re.match(r"#?([a-z_0-9]+) = ", line)
        if section and key and lines[number - 1].startswith("#   "):
            values, _, default = lines[number - 1].removeprefix("#   ").rpartition("; ")
            yield f"{section}.{key[1]}", lines[number - 2], values, default


def test_every_key_stands_in_the_file_with_its_meaning_its_values_and_its_default() -> None:
    told = list(documented())
    assert [name for name, *_ in told] == KEYS
    for name, meaning, values, default in told:
        section, key = name.split(".")
        (about,) = [about for found, about, _ in keys_of(configuration.SECTIONS[section]) if found == key]
        (field,) = [f for f in fields(configuration.SECTIONS[section]) if f.name == key]
        assert re.fullmatch(r"# [A-Z].*[.:]", meaning), f"{name}: {meaning}"
        assert values == about.rule.describe() != "", name
        assert (default == "required") is (field.default is MISSING), name
        if default != "required":
            written = tomllib.loads(default.replace("default ", "a = ", 1))["a"]
            assert about.rule.read(written, BASE) == field.default, f"{name}: {default}"


@pytest.mark.parametrize("section", configuration.SECTIONS)
def test_every_number_has_its_unit_and_its_range(section: str) -> None:
    for key, about, _ in keys_of(configuration.SECTIONS[section]):
        if isinstance(about.rule, Whole):
            assert re.search(r"[a-zA-Z]{3}|%", about.rule.unit), f"{section}.{key}"
            # A key frame each second is a promise, and its key is kept for the files that have it.
            only = (section, key) == ("video", "gop_s")
            assert (about.rule.low == about.rule.high) if only else (about.rule.low < about.rule.high), (
                f"{section}.{key}"
            )


def test_a_mistake_in_every_key_is_told_at_once() -> None:
    """A kind of value that no key takes."""
    text = "".join(
        f"[{section}]\n" + "".join(f"{key} = 1979-05-27\n" for key, *_ in keys_of(cls))
        for section, cls in configuration.SECTIONS.items()
    )
    assert [mistake.split(": ")[0] for mistake in check(text, BASE)] == KEYS


def test_each_misspelt_key_is_told_with_the_one_that_was_meant() -> None:
    """Two letters changed places."""
    for section, cls in configuration.SECTIONS.items():
        known = [key for key, *_ in keys_of(cls)]
        for key in known:
            wrong = _swapped(key, known)
            if wrong:
                told = [m for m in check(f"[{section}]\n{wrong} = 1\n", BASE) if m.startswith(f"{section}.{wrong}: ")]
                assert told == [f"{section}.{wrong}: unknown key; did you mean {key}?"]


def _swapped(key: str, known: list[str]) -> str | None:
    for at in range(1, len(key) - 1):
        made = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
        if made != key and made not in known:
            return made
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_says_why_and_names_only_what_there_is(name: str) -> None:
    text = (SHIPPED / f"{name}.toml").read_text("utf-8")
    assert text.startswith("# ") and profiles.check(text) == []
