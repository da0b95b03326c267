"""A hardware counter against a card that is put back to an older state: it goes up by one with each session leaf, and
each session leaf says to what (docs/evidence-format.md, "The start counter").

The leaf is durable first, then the counter goes up. So the counter stands where the log's newest session says, or one
below it where the power went in between; anything else means that the card's log is not the one this camera wrote.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent import durable
from agent.errors import DeviceError


class Counter(Protocol):
    """Goes up and never down. Both raise DeviceError."""

    def value(self) -> int: ...
    def increment(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Claim:
    """The leaf that was to say this value; whether it ever became durable, the log's size tells."""

    counter: int
    epoch: int
    index: int


class StartCounter:
    """`path` keeps what was said last: it lies on the card, and is put back with it. None of what fails here stops a
    recorder: `trouble` says why this session is not counted, `suspicion` why the card does not fit the counter.
    """

    def __init__(self, counter: Counter | None, path: Path) -> None:
        self._counter, self._path = counter, path
        self._claimed: int | None = None
        self.trouble: DeviceError | None = None
        self.suspicion: str | None = None

    def claim(self, epoch: int, index: int) -> int | None:
        """What the session leaf at this place in the log says; None where there is no counter to ask. Raises
        StorageError, after which the same call says the same.
        """
        self._claimed = None
        if self._counter is None:
            return None
        try:
            value = self._settled(self._counter, self._said(epoch, index))
        except DeviceError as err:
            self.trouble = err
            return None
        claim = {"v": 1, "counter": value + 1, "epoch": epoch, "index": index}
        durable.write_file(self._path, json.dumps(claim).encode() + b"\n", 0o644)
        self._claimed = value + 1
        return self._claimed

    def count(self) -> None:
        """The leaf is durable."""
        if self._counter is None or self._claimed is None:
            return
        try:
            self._counter.increment()
            self.trouble = None
        except DeviceError as err:
            # The next start finds the counter one below the log, and makes up for it.
            self.trouble = err
        self._claimed = None

    def _settled(self, counter: Counter, said: int | None) -> int:
        """The counter's value, after the one step that the last start may have owed it."""
        value = counter.value()
        if said is None or value == said:
            return value
        if value == said - 1:
            return counter.increment()
        if value > said:
            self.suspicion = (
                f"the hardware counter stands at {value}, the newest session on this card says {said}: "
                f"{value - said} starts of this camera are not on it, as if it was put back to an older state"
            )
        else:
            self.suspicion = (
                f"the hardware counter stands at {value}, the newest session on this card says {said}: "
                f"the card is of another camera, or the TPM was exchanged"
            )
        return value

    def _said(self, epoch: int, index: int) -> int | None:
        """What the newest session leaf on this card says; None where that is not known."""
        last = self._last()
        if last is None:
            return None
        never = last.epoch == epoch and last.index >= index
        return last.counter - 1 if never else last.counter

    def _last(self) -> _Claim | None:
        try:
            data = self._path.read_bytes()
        except OSError:
            return None
        try:
            value = json.loads(data)
            claim = _Claim(value["counter"], value["epoch"], value["index"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        numbers = (claim.counter, claim.epoch, claim.index)
        return claim if all(type(number) is int for number in numbers) else None
