"""The officer's words in one language: agent/locale/LANGUAGE/LC_MESSAGES/bodycam.po, looked up with gettext.

The .po is read as it stands, by the few lines of the format that these use, and handed to the standard library as the
binary catalogue that it takes: there is no built file that could be older than its source. See GNU gettext's manual,
sections "The Format of PO Files" and "The Format of GNU MO Files".
"""

from __future__ import annotations

import gettext
import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from agent.errors import ConfigError

LOCALE = Path(__file__).resolve().parent / "locale"
_MAGIC = 0x950412DE
_LINE = re.compile(r'(?:(msgid|msgid_plural|msgstr|msgstr\[[0-9]\]) )?("(?:[^"\\]|\\["\\n])*")')


def load(language: str) -> gettext.GNUTranslations:
    """Raises ConfigError where the file is not there, or is none."""
    path = LOCALE / language / "LC_MESSAGES" / "bodycam.po"
    try:
        return gettext.GNUTranslations(io.BytesIO(binary(path.read_text("utf-8"))))
    except (OSError, ValueError) as err:
        raise ConfigError(f"the words in {language}: {path}: {err}", "install bodycam-agent again") from err


def binary(text: str) -> bytes:
    """A .po as a .mo, its entries sorted as gettext wants them. Raises ValueError, naming the line."""
    entries: dict[bytes, bytes] = {}
    for number, entry in _entries(text):
        key, plural = entry.pop("msgid", ""), entry.pop("msgid_plural", None)
        forms = list(entry.values())
        names = ["msgstr"] if plural is None else [f"msgstr[{n}]" for n in range(len(forms))]
        if list(entry) != names or not forms or not all(forms):
            raise ValueError(f"line {number}: {key!r} has no whole translation")
        name = (key if plural is None else f"{key}\0{plural}").encode()
        if name in entries:
            raise ValueError(f"line {number}: {key!r} stands there twice")
        entries[name] = "\0".join(forms).encode()
    return _packed(sorted(entries.items()))


def _entries(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each with the number of its last line. They stand apart by an empty line."""
    entry: dict[str, str] = {}
    field = ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.startswith("#"):
            continue
        if not line:
            if entry:
                yield number, entry
            entry, field = {}, ""
            continue
        found = _LINE.fullmatch(line)
        if not found or (found[1] in entry) or not (found[1] or field):
            raise ValueError(f"line {number}: not of a catalogue: {line[:60]}")
        field = found[1] or field
        entry[field] = entry.get(field, "") + _unquoted(found[2])


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])


def _packed(entries: list[tuple[bytes, bytes]]) -> bytes:
    count = len(entries)
    head, table = 28, 8 * count
    ids, texts, data = b"", b"", b""
    begin = head + 2 * table
    for column in (0, 1):
        for entry in entries:
            place = struct.pack("<2I", len(entry[column]), begin + len(data))
            ids, texts = (ids + place, texts) if column == 0 else (ids, texts + place)
            data += entry[column] + b"\0"
    return struct.pack("<7I", _MAGIC, 0, count, head, head + table, 0, begin) + ids + texts + data
