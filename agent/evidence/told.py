"""What an export's report.json says of its MP4 and its parts: unsigned, so everything in it is a claim."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from agent.errors import EvidenceError
from agent.formats import leaf, pack

REPORT = "report.json"
MAX_DEPTH = 50
MAX_NUMBER = (1 << 53) - 1
"""Numbers are what a double holds exactly, as every reader of JSON has them (RFC 8259, section 6)."""


@dataclass(frozen=True, slots=True)
class Told:
    """`sha256` is the MP4's, "" where none was made; `shifted` tells that it begins at 0 whatever its first part."""

    MAX_BYTES: ClassVar[int] = 4 << 20
    """Nested lists of it take 50 times as much memory."""

    recording: str
    sha256: str
    first: int
    last: int
    shifted: bool

    @classmethod
    def parse(cls, data: bytes) -> Told:
        """Raises EvidenceError."""
        try:
            whole = json.loads(data.decode("utf-8"), parse_int=_integer, parse_constant=_refuse)
            told = whole["export"]
            texts, numbers = (told["recording"], told["mp4_sha256"]), (told["first_part"], told["last_part"])
            first, last = map(_whole, numbers)
            if not all(isinstance(t, str) for t in texts) or not pack.RECORDING_ID.fullmatch(texts[0]) or first > last:
                raise ValueError
            if leaf.deeper(whole, MAX_DEPTH):
                raise ValueError
            return cls(*texts, first, last, _number(told.get("shift_s", 0)) != 0)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise EvidenceError("the proof beside it does not say which file was exported") from None


def _integer(text: str) -> int | float:
    """Python refuses one of thousands of digits; others do not."""
    return int(text) if len(text) < 20 else float(text)


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _number(value: object) -> float:
    """Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    return value


def _whole(value: object) -> int:
    """From 0 on, in whichever spelling. Raises ValueError."""
    number = _number(value)
    if not 0 <= number <= MAX_NUMBER or number != int(number):
        raise ValueError("not a whole number")
    return int(number)
