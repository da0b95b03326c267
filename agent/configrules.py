"""What one configuration value may be: type, range, unit, and how it is read from TOML and written to it.

A rule reads a TOML value or raises ValueError with the end of the sentence "<key>: ...". Rules look at text only:
whether a file is there, and whether a key is the right one, is for whoever opens it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NewType, Protocol
from urllib.parse import urlsplit

TpmHandle = NewType("TpmHandle", int)
"""A persistent handle: `tpm:0x81010001` in the configuration."""
KeyPlace = Path | TpmHandle
"""Where a signing key lies: in a PEM file, or in the TPM."""


AUTO = 0
"""What a number is that the machine is to choose: `auto` in the configuration."""


class Rule(Protocol):
    """`describe` is for people; `write` is the inverse of `read` for a value that `read` gave."""

    def describe(self) -> str: ...
    def read(self, value: object, base_dir: Path) -> Any: ...
    def write(self, value: Any) -> str: ...


class Wrong(Enum):
    """What a camera starts with in place of a value that is not lawful. The default, where its key does not say
    otherwise: the nearest number may be the harmful one, as the shortest retention, one picture a second, or a battery
    that counts as empty half full. A key says otherwise where its default would cost more than the mistake: record or
    show what somebody meant to forbid.
    """

    DEFAULT = "default"
    NEAREST = "nearest"
    """Of a number that is out of range; else the default."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a key of the configuration is for; `example` shows a required one in the template; `wrong` is what stands in
    for a mistake, a `Wrong` or a value.
    """

    rule: Rule
    meaning: str
    example: Any = None
    wrong: Any = Wrong.DEFAULT


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def describe(self) -> str:
        return "true or false"

    def read(self, value: object, base_dir: Path) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"wants true or false, not {shown(value)}")
        return value

    def write(self, value: Any) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number, in `unit`, from `low` to `high`, a multiple of `step`."""

    unit: str
    low: int
    high: int
    step: int = 1

    def describe(self) -> str:
        return f"{self.unit}, {self.low} to {self.high}" + (f", a multiple of {self.step}" if self.step > 1 else "")

    def read(self, value: object, base_dir: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"wants a whole number ({self.describe()}), not {shown(value)}")
        if not self.low <= value <= self.high or value % self.step:
            raise ValueError(f"{shown(value)} is out of range ({self.describe()})")
        return value

    def write(self, value: Any) -> str:
        return str(value)

    def nearest(self, value: object) -> int | None:
        """The lawful number next to one that is out of range; None of what is no number."""
        if type(value) is not int:
            return None
        within = min(max(value, self.low), self.high)
        return within - within % self.step


@dataclass(frozen=True, slots=True)
class AutoWhole(Whole):
    """The same, or "auto", which is 0."""

    def describe(self) -> str:
        return f'"auto", or {Whole.describe(self)}'

    def read(self, value: object, base_dir: Path) -> int:
        return AUTO if value == "auto" else Whole.read(self, value, base_dir)

    def write(self, value: Any) -> str:
        return toml_text("auto") if value == AUTO else str(value)


@dataclass(frozen=True, slots=True)
class ZeroOrWhole(Whole):
    """The same, or 0."""

    def describe(self) -> str:
        return f"0, or {Whole.describe(self)}"

    def read(self, value: object, base_dir: Path) -> int:
        return 0 if value == 0 and type(value) is int else Whole.read(self, value, base_dir)

    def nearest(self, value: object) -> int | None:
        return 0 if type(value) is int and value < 0 else Whole.nearest(self, value)


@dataclass(frozen=True, slots=True)
class MaybeWhole:
    """A whole number, or "" for none."""

    whole: Whole

    def describe(self) -> str:
        return f'{self.whole.describe()}, or "" for none'

    def read(self, value: object, base_dir: Path) -> int | None:
        return None if value == "" else self.whole.read(value, base_dir)

    def write(self, value: Any) -> str:
        return toml_text("") if value is None else self.whole.write(value)


@dataclass(frozen=True, slots=True)
class Text:
    """Text of a form; `form` says it in words, `pattern` matches it whole."""

    form: str
    pattern: str
    max_chars: int = 200
    choices: tuple[str, ...] = ()

    def describe(self) -> str:
        return self.form

    def read(self, value: object, base_dir: Path) -> str:
        text = plain_text(value, self.max_chars)
        if not re.fullmatch(self.pattern, text):
            near = difflib.get_close_matches(text, self.choices, 1)
            raise ValueError(f"{shown(text)} is not {self.form}" + (f"; did you mean {near[0]}?" if near else ""))
        return text

    def write(self, value: Any) -> str:
        return toml_text(value)


@dataclass(frozen=True, slots=True)
class TextList:
    """At least one text of a form, each once; written on one line where they are short."""

    item: Text
    short: bool = False

    def describe(self) -> str:
        return f"a list, each {self.item.form}"

    def read(self, value: object, base_dir: Path) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError(f"wants a list, not {shown(value)}")
        if not value:
            raise ValueError("wants at least one entry")
        items = tuple(self.item.read(entry, base_dir) for entry in value)
        twice = next((entry for entry in items if items.count(entry) > 1), None)
        if twice is not None:
            raise ValueError(f"{shown(twice)} is named twice")
        return items

    def write(self, value: Any) -> str:
        if self.short:
            return "[" + ", ".join(map(toml_text, value)) + "]"
        return "[\n" + "".join(f"    {toml_text(entry)},\n" for entry in value) + "]"


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path; a relative one starts at the directory of the configuration file. `max_bytes` is the kernel's limit."""

    what: str
    max_bytes: int = 4095

    def describe(self) -> str:
        return self.what

    def read(self, value: object, base_dir: Path) -> Path:
        text = plain_text(value, self.max_bytes)
        if not text:
            raise ValueError("wants a path, not an empty text")
        path = base_dir / text
        if len(str(path).encode()) > self.max_bytes:
            raise ValueError(f"{path} is longer than {self.max_bytes} bytes")
        return path

    def write(self, value: Any) -> str:
        return toml_text(str(Path(value).absolute()))


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Where a signing key lies: a PEM file, or a persistent handle of the TPM."""

    _file = FilePath("PEM file")

    def describe(self) -> str:
        return 'a PEM file (or "file:" and its path), or "tpm:" and a handle from 0x81000000 to 0x817fffff'

    def read(self, value: object, base_dir: Path) -> KeyPlace:
        text = plain_text(value, 4095)
        if text.startswith("tpm:"):
            return TpmHandle(tpm_number(text, 0x81000000, 0x817FFFFF))
        return self._file.read(text.removeprefix("file:"), base_dir)

    def write(self, value: Any) -> str:
        return toml_text(f"tpm:0x{value:08x}") if isinstance(value, int) else self._file.write(value)


@dataclass(frozen=True, slots=True)
class TpmIndex:
    """An NV index that the TPM's owner may give, or "" for none."""

    def describe(self) -> str:
        return '"tpm:" and an index from 0x01800000 to 0x01bfffff, or "" for none'

    def read(self, value: object, base_dir: Path) -> int | None:
        text = plain_text(value, 40)
        return tpm_number(text, 0x01800000, 0x01BFFFFF) if text else None

    def write(self, value: Any) -> str:
        return toml_text("" if value is None else f"tpm:0x{value:08x}")


def tpm_number(text: str, low: int, high: int) -> int:
    """Of "tpm:0x..." the number. Raises ValueError."""
    found = re.fullmatch(r"tpm:0x([0-9a-fA-F]{8})", text)
    if not found or not low <= int(found[1], 16) <= high:
        raise ValueError(f"{shown(text)} is not tpm:0x{low:08x} to tpm:0x{high:08x}")
    return int(found[1], 16)


_SOURCES = {"picamera": "", "webcam": "N", "clip": "FILE", "synthetic": "", "encoded": ""}
"""The kinds of a video source, and what stands behind each."""


@dataclass(frozen=True, slots=True)
class VideoSource:
    """picamera, webcam:WHICH, clip:FILE, synthetic or encoded; FILE as a path."""

    def describe(self) -> str:
        return (
            '"picamera", "webcam:N" (N of /dev/videoN), "webcam:NAME" (a part of its name), '
            '"webcam:/dev/v4l/by-path/...", "clip:FILE", "synthetic" or "encoded" (a twin that encodes by itself)'
        )

    def read(self, value: object, base_dir: Path) -> str:
        text = plain_text(value, 4095)
        kind, _, name = text.partition(":")
        if kind == "clip" and name:
            return f"clip:{base_dir / name}"
        if not re.fullmatch(r"picamera|synthetic|encoded|webcam:([0-9]{1,2}|(?![0-9]+$)\S(.{0,200}\S)?)", text):
            near = self._like(text)
            raise ValueError(f"{shown(text)} is not {self.describe()}" + (f"; did you mean {near}?" if near else ""))
        return text

    @staticmethod
    def _like(text: str) -> str | None:
        """Of a misspelled kind the right one, with what stands behind it where that takes something."""
        kind, _, name = text.partition(":")
        near = next(iter(difflib.get_close_matches(kind[:80].lower(), _SOURCES, 1)), None)
        if near is None or near == kind:
            return None
        takes_a_name = _SOURCES[near]
        return f"{near}:{name or takes_a_name}" if takes_a_name else near

    def write(self, value: Any) -> str:
        kind, _, name = value.partition(":")
        return toml_text(f"clip:{Path(name).absolute()}" if kind == "clip" else value)


@dataclass(frozen=True, slots=True)
class StationUrl:
    """https, a host, perhaps a port and a path; nothing else, for anything else would be dropped unseen."""

    def describe(self) -> str:
        return "https://host[:port][/path]"

    def read(self, value: object, base_dir: Path) -> str:
        text = plain_text(value, 2000)
        try:
            url = urlsplit(text)
            fine = url.scheme == "https" and bool(url.hostname) and url.port != 0 and "@" not in url.netloc
        except ValueError:
            fine = False
        if not fine or re.search(r"[\s?#\\]", text):
            raise ValueError(f"{shown(text)} is not {self.describe()}")
        return text

    def write(self, value: Any) -> str:
        return toml_text(value)


def one_of(*choices: str) -> Text:
    """One of a few words."""
    return Text(
        "one of " + ", ".join(f'"{choice}"' for choice in choices), "|".join(map(re.escape, choices)), choices=choices
    )


def plain_text(value: object, max_chars: int) -> str:
    """A text without control characters, and on one line: U+2028 and U+2029 end one, which no overlay can lay out.
    Raises ValueError.
    """
    if not isinstance(value, str):
        raise ValueError(f"wants a text, not {shown(value)}")
    if len(value) > max_chars:
        raise ValueError(f"is longer than {max_chars} characters")
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or char in "\u2028\u2029" for char in value):
        raise ValueError(f"{shown(value)} has control characters")
    return value


def toml_text(text: str) -> str:
    """A TOML basic string: JSON's escapes are a part of TOML's, once what JSON leaves alone is escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(value: object) -> str:
    """A value in an error, as TOML has it, short."""
    text = str(value).lower() if isinstance(value, bool) else toml_text(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


AS_IT_IS = "used as it is"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Of one key ("section.key"), or of several that contradict each other; the first is the one to change. `so` says
    with what a recorder starts all the same, None where with nothing; `instead` are the values for that, none where
    those that stand there will do. `meant`: the key or section for which, as far as one can tell, this one stands that
    nobody knows.
    """

    keys: tuple[str, ...]
    words: str
    so: str | None = None
    instead: Mapping[str, Any] = field(default_factory=dict)
    meant: str | None = None

    def __str__(self) -> str:
        return f"{self.keys[0]}: {self.words}"


def unread(key: str, about: Key, value: object, default: Any, words: str) -> Mistake:
    """Of a value that the key's rule refuses with these words. `default` is MISSING where there is none."""
    rule = about.rule
    near = rule.nearest(value) if about.wrong is Wrong.NEAREST and isinstance(rule, Whole) else None
    instead = default if isinstance(about.wrong, Wrong) else about.wrong
    instead = instead if near is None else near
    if instead is MISSING:
        return Mistake((key,), words)
    return Mistake((key,), words, f"used: {' '.join(rule.write(instead).split())}", {key: instead})


def defaults(mistaken: tuple[str, ...], words: str, values: Mapping[str, Any]) -> Mistake:
    """Keys that contradict each other, so that nobody can tell which one is wrong; `values` by key are used."""
    return Mistake(
        mistaken, words, f"used: the defaults of {', '.join(key.partition('.')[2] for key in values)}", values
    )
