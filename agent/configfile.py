"""A configuration file: TOML read against its keys, and written with a comment for each."""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from agent.configrules import Key, Mistake, Wrong, toml_text, unread
from agent.errors import ConfigError

MAX_FILE_BYTES = 1 << 20
_HEAD = """\
# bodycam-agent. Every key stands here with its meaning, unit, range and default; those that are required have none.
# A relative path starts at this file's directory. Check a change with: bodycam-agent config check FILE
"""

Tables = Mapping[str, Mapping[str, Any]]
"""Sections, keys and plain values."""
# Section name to its dataclass, whose fields are Annotated[type, Key(...)].
Sections = Mapping[str, Any]


def text_of(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError."""
    try:
        # Nobody is waited for who might write into a pipe.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"configuration {path} is not a file", "name the right file")
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"configuration {path} is longer than 1 MiB", "name the right file")
        return data.decode("utf-8")
    except PermissionError as err:
        told = "let this user read it, and enter the directories it is in"
        raise ConfigError(f"configuration {path}: {err.strerror}", told) from err
    except OSError as err:
        raise ConfigError(f"configuration {path}: {err.strerror}", "name the right file") from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"configuration {path} is not UTF-8", "save it as UTF-8") from err


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds: values by section and key, and mistakes. `unreadable`: keys, as `section.key`, of
    which the file may say something that was not understood; neither value nor default says anything of them.
    """

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)


def read(sections: Sections, text: str, base_dir: Path, partial: bool = False) -> Found:
    """Keys with a default may be absent from the values; all, where the file is a `partial` one."""
    found = Found()
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as err:
        found.mistakes.append(Mistake(("not TOML",), str(err)))
        return found
    unknown = [name for name in tables if name not in sections]
    for name in unknown:
        found.mistakes.append(_unknown(sections, tables, name))
        found.mistakes.extend(_within(sections, name, tables[name], base_dir))
    for name in sections:
        _section(sections, name, tables, base_dir, found, partial)
    return found


def write(sections: Sections, values: Mapping[str, Any]) -> str:
    """The commented file. A section without values is written with its defaults, required keys commented out.

    Raises ConfigError where a value cannot be written in UTF-8.
    """
    text = _HEAD
    for name, section in sections.items():
        head = [f"# {line.strip()}\n" for line in section.__doc__.strip().splitlines()]
        text += f"\n{''.join(head)}[{name}]\n"
        for key, about, default in keys_of(section):
            text += _lines(key, about, default, getattr(values[name], key) if name in values else default)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as err:
        raise ConfigError("a path of the configuration is not UTF-8", "choose another directory") from err
    return text


def tables(text: str) -> dict[str, dict[str, Any]]:
    """Sections and their keys, unchecked. Raises ConfigError for what is not TOML or has keys outside of sections."""
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as err:
        raise ConfigError(f"not TOML: {err}") from None
    for name, table in found.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{toml_text(name)} stands outside of every section")
    return found


def overlaid(text: str, over: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML with the keys of `over` set over those of `text`; comments are lost. Raises ConfigError."""
    before = tables(text)
    lines = []
    for name in {**before, **over}:
        lines.append(f"[{toml_text(name)}]")
        merged = {**before.get(name, {}), **over.get(name, {})}
        lines += [f"{toml_text(key)} = {_toml(value)}" for key, value in merged.items()]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (str, int)):
        return toml_text(value) if isinstance(value, str) else str(value).lower()
    raise ConfigError(f"a value that no key takes: {str(value)[:60]!r}")


@cache
def keys_of(section: Any) -> tuple[tuple[str, Key, Any], ...]:
    """(name, key, default or MISSING) of a section's dataclass."""
    hints = get_type_hints(section, include_extras=True)
    return tuple((key.name, hints[key.name].__metadata__[0], key.default) for key in fields(section))


def _lines(name: str, key: Key, default: Any, value: Any) -> str:
    rule = key.rule
    # A list that takes several lines as a value is one line in a comment.
    fallback = "required" if default is MISSING else f"default {' '.join(rule.write(default).split())}"
    line = f"{name} = {rule.write(key.example if value is MISSING else value)}"
    if value is MISSING:
        line = "#" + line.replace("\n", "\n#")
    return f"# {key.meaning}\n#   {rule.describe()}; {fallback}\n{line}\n"


def _section(
    sections: Sections, name: str, tables: Mapping[str, Any], base_dir: Path, found: Found, partial: bool
) -> None:
    table, values = tables.get(name, {}), found.values.setdefault(name, dict[str, Any]())
    keys = {key: (about, default) for key, about, default in keys_of(sections[name])}
    if not isinstance(table, dict):
        so = None if any(default is MISSING for _, default in keys.values()) else "used: its defaults"
        instead, words = _forbidding(sections, name), f"is a section: write [{name}] on a line of its own"
        found.mistakes.append(Mistake((name,), words, so and so + _shown(instead), instead))
        found.unreadable.update(f"{name}.{key}" for key in keys)
        return
    unknown = [key for key in table if key not in keys]
    found.mistakes.extend(_unknown(sections, tables, key, name) for key in unknown)
    for key, (about, default) in keys.items():
        missing = key not in table and default is MISSING and not partial
        # Which key a misspelled one was meant for nobody can tell: any that is left out.
        readable = not missing and (key in table or not unknown)
        try:
            if missing:
                found.mistakes.append(Mistake((f"{name}.{key}",), f"is missing: {about.rule.describe()}"))
            elif key in table:
                values[key] = about.rule.read(table[key], base_dir)
        except ValueError as err:
            found.mistakes.append(unread(f"{name}.{key}", about, table[key], default, str(err)))
            readable = False
        if not readable:
            found.unreadable.add(f"{name}.{key}")


def _within(sections: Sections, name: str, table: object, base_dir: Path) -> list[Mistake]:
    """In a section that nobody knows, the mistakes of its keys as those of the section that it looks like. None of them
    is used either way, which the section's own mistake says.
    """
    near = _like(name, sections)
    if near is None or not isinstance(table, dict):
        return []
    found = Found()
    _section(sections, near, {near: table}, base_dir, found, partial=True)
    return [
        Mistake((f"{_spelled(name)}.{mistake.keys[0].partition('.')[2]}",), mistake.words, "left out")
        for mistake in found.mistakes
    ]


def _unknown(sections: Sections, tables: Mapping[str, Any], name: str, section: str = "") -> Mistake:
    """A key of a `section`, or a section."""
    what, within = ("key", f"{section}.") if section else ("section", "")
    known, given = (_names(sections[section]), tables[section]) if section else (list(sections), tables)
    homes = [home for home, cls in sections.items() if name in _names(cls)]
    near, left_out = _like(name, known), _like(name, (key for key in known if key not in given))
    words = f"unknown {what}" + (f"; did you mean {near}?" if near else "")
    meant = within + left_out if left_out else None
    if homes:
        words = f"unknown {what}; it belongs in {' or '.join(f'[{home}]' for home in homes)}"
        meant = f"{homes[0]}.{name}"
    instead = _forbidding(sections, meant or "")
    return Mistake((within + _spelled(name),), words, "left out" + _shown(instead), instead, meant)


def _spelled(name: str) -> str:
    return name if re.fullmatch(r"[\w-]{1,80}", name) else toml_text(name[:80])


def _forbidding(sections: Sections, meant: str) -> dict[str, Any]:
    """What stands in for that key, or the keys of that section, where it is not the default."""
    section, _, name = meant.partition(".")
    keys = keys_of(sections[section]) if meant else ()
    found = {key: about.wrong for key, about, _ in keys if name in ("", key) and not isinstance(about.wrong, Wrong)}
    return {f"{section}.{key}": value for key, value in found.items()}


def _shown(instead: Mapping[str, Any]) -> str:
    return "".join(f"; used: {key.partition('.')[2]} = {_toml(value)}" for key, value in instead.items())


def _names(section: Any) -> list[str]:
    return [key.name for key in fields(section)]


def _like(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name[:80].lower(), list(known), 1)), None)
