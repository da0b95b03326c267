"""The faults that the contract asks of every source, and the scripts that play them (agent/capture/scripted.py).

A test takes its script as a parameter, so that its name among the tests says which; table.py names it too, and
test_table.py holds the letters of the one to the faults of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """The columns of docs/capture-faults.md."""

    UNPLUGGED = "unplugged"
    STALLS = "stalls"
    STAMPS = "stamps repeat or go back"
    BURSTS = "bursts"
    FORMAT = "changes its format"
    RATE = "wrong rate"
    EMPTY = "empty buffers"


LETTERS = {
    Fault.UNPLUGGED: "u",
    Fault.STALLS: "s",
    Fault.STAMPS: "eb",
    Fault.BURSTS: "h",
    Fault.FORMAT: "f",
    Fault.EMPTY: "z",
}
"""All of them have to be in a script that asks for it. A rate is none of one letter."""
_GIVES = "rebwpzf"
"""After one of these, what was held back comes."""


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    letters: str

    def __str__(self) -> str:
        return self.name

    @property
    def asks(self) -> frozenset[Fault]:
        """The faults that it plays; a burst only where something comes after what is held back."""
        played = set(self.letters)
        if not any(
            held == "h" and after in _GIVES for held, after in zip(self.letters, self.letters[1:], strict=False)
        ):
            played -= {"h"}
        return frozenset(fault for fault, letters in LETTERS.items() if set(letters) <= played)

    def count(self, letters: str) -> int:
        """How often it has one of them."""
        return sum(self.letters.count(letter) for letter in letters)


PICTURES = Script("pictures", "rrrrdrrddrrerrbrrwrrprrzrrhhhrrerr")
PI_PICTURES = Script("pi_pictures", "rrrrdrrddrrerrbrrwrrprrzrrhhhrrerrr")
SOUND = Script("sound", "rrrrrrrrrrdrrrrrrrrrrerrrrbrrrrwrrrrprrrrzrrrrhhhrrrrrddrrrrr")
UNPLUGS = Script("unplugs", "r" * 20 + "u")
CHANGES = Script("changes", "r" * 20 + "f")
STALLS = Script("stalls", "r" * 20 + "s" * 45)
PI_STALLS = Script("pi_stalls", "r" * 20 + "s" * 30)
SOUND_STALLS = Script("sound_stalls", "r" * 20 + "s" * 50)
SOUND_UNPLUGS = Script("sound_unplugs", "r" * 20 + "u" * 40)
SOUND_CHANGES = Script("sound_changes", "r" * 30 + "f")
