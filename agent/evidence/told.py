"""What an export's report.json says of its MP4 and its parts: unsigned, so everything in it is a claim."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from agent.errors import EvidenceError
from agent.formats import pack

REPORT = "report.json"


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
            told = json.loads(data)["export"]
            texts, numbers = (told["recording"], told["mp4_sha256"]), (told["first_part"], told["last_part"])
            if not all(isinstance(t, str) for t in texts) or not all(type(n) is int for n in numbers):
                raise ValueError
            if not pack.RECORDING_ID.fullmatch(texts[0]) or not 0 <= numbers[0] <= numbers[1] < 1 << 62:
                raise ValueError
            return cls(*texts, *numbers, bool(told.get("shift_s")))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise EvidenceError("the proof beside it does not say which file was exported") from None
