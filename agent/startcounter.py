"""A hardware counter against a card that is put back to an older state: it goes up by one with each session leaf, with
each start of a recording too where that is asked for, and the leaf says to what (docs/evidence-format.md, "The start
counter").

The leaf is durable first, then the counter goes up. So the counter stands where the newest such leaf of the log says,
or one below it where the power went in between; anything else means that the card's log is not the one this camera
wrote.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from agent import durable
from agent.errors import DeviceError, StorageError


class Counter(Protocol):
    """Goes up and never down. Both raise DeviceError."""

    def value(self) -> int: ...
    def increment(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Claim:
    """The leaf that was to say this value; whether it ever became durable, the log tells."""

    counter: int
    epoch: int
    index: int


FactsAt = Callable[[int, int], Mapping[str, Any] | None]
"""The public facts of the leaf at an index of an epoch's log; None where the card does not tell."""
NewestCount = Callable[[int], int | None]
"""What the newest counted leaf of an epoch's log says; None where the card does not tell."""


class StartCounter:
    """`path` keeps what was said last: it lies on the card, and is put back with it. None of what fails here stops a
    recorder: `trouble` says why a leaf was not counted, `suspicion` why the card does not fit the counter.
    """

    def __init__(
        self,
        counter: Counter | None,
        path: Path,
        recordings: bool = False,
        facts_at: FactsAt = lambda epoch, index: None,
        newest_count: NewestCount = lambda epoch: None,
    ) -> None:
        self._counter, self._path, self._recordings, self._facts_at = counter, path, recordings, facts_at
        self._newest_count = newest_count
        self._value: int | None = None
        self._owes_note = False
        self._claimed: _Claim | None = None
        self._newest: _Claim | None = None
        self.trouble: DeviceError | None = None
        self.suspicion: str | None = None

    def claim(self, epoch: int, index: int, ended: tuple[int, int] | None = None) -> int | None:
        """What the session leaf at this place in the log says; None where there is no counter to ask. `ended` is the
        number of the epoch before, and with how many leaves it did, where this leaf begins one. Raises StorageError,
        after which the same call says the same.
        """
        self._claimed = self._value = None
        if self._counter is None:
            return None
        try:
            self._value = self._settled(self._counter, self._said(epoch, index), ended)
        except DeviceError as err:
            self.trouble = err
            return None
        return self._claim(self._value + 1, epoch, index)

    def claim_recording(self, epoch: int, index: int) -> int | None:
        """The same for the start of a recording, which waits neither for the hardware nor for a disk that refuses: None
        where recordings are not counted, or the last count failed.
        """
        self._claimed = None
        if not self._recordings or self._value is None:
            return None
        try:
            return self._claim(self._value + 1, epoch, index)
        except StorageError:
            # It may be there all the same.
            self._owes_note = True
            return None

    def _claim(self, value: int, epoch: int, index: int) -> int:
        claim = _Claim(value, epoch, index)
        self._note(claim)
        self._claimed = claim
        return value

    def _note(self, claim: _Claim) -> None:
        durable.write_file(self._path, json.dumps({"v": 1, **asdict(claim)}).encode() + b"\n", 0o644)
        self._owes_note = False

    def count(self) -> None:
        """The leaf is durable."""
        if self._counter is None or self._claimed is None:
            return
        try:
            self._newest = self._claimed
            self._value = self._counter.increment()
            self.trouble = None
        except DeviceError as err:
            # The next start finds the counter one below the log, and makes up for it; until then nothing is counted.
            self._value, self.trouble = None, err
        self._claimed = None

    def withdraw(self) -> None:
        """The leaf was refused, and another may take its place in the log."""
        self._owes_note = self._owes_note or self._claimed is not None
        self._claimed = None
        self.settle()

    def settle(self) -> None:
        """Before each leaf: what the disk refused of a withdrawal is tried again. Raises nothing."""
        if self._owes_note and self._newest is not None:
            with contextlib.suppress(StorageError):
                self._note(self._newest)

    def _settled(self, counter: Counter, said: int | None, ended: tuple[int, int] | None) -> int:
        """The counter's value, after the one step that the last start may have owed it."""
        value = counter.value()
        if said is None or value == said:
            return value
        if value == said - 1:
            return counter.increment() if self._is_in_log(ended) else value
        if value > said:
            self.suspicion = (
                f"the hardware counter stands at {value}, the newest count on this card is {said}: "
                f"what was counted {value - said} times since is not on it, as if it was put back to an older state"
            )
        else:
            self.suspicion = (
                f"the hardware counter stands at {value}, the newest count on this card is {said}: "
                f"the card is of another camera, or the TPM was exchanged"
            )
        return value

    def _said(self, epoch: int, index: int) -> int | None:
        """What the newest counted leaf on this card says; None where that is not known."""
        last = self._last()
        if last is None:
            # The note lies on the card, signed by nobody: who puts an older card in can take it away.
            return self._newest_count(epoch)
        never = last.epoch == epoch and last.index >= index
        return last.counter - 1 if never else last.counter

    def _is_in_log(self, ended: tuple[int, int] | None) -> bool:
        """Whether the leaf that was noted last became durable. Where the disk refused it, and its withdrawal with it,
        another leaf has its place; where its log ended before it, none. Of one that the card no longer has, the
        withdrawal came to its end long since.
        """
        last = self._last()
        if last is not None and ended is not None and last.epoch == ended[0] and last.index >= ended[1]:
            return False
        facts = self._facts_at(last.epoch, last.index) if last else None
        return last is None or facts is None or facts.get("counter") == last.counter

    def _last(self) -> _Claim | None:
        try:
            data = durable.read_file(self._path)
        except OSError:
            return None
        try:
            value = json.loads(data)
            claim = _Claim(value["counter"], value["epoch"], value["index"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        numbers = (claim.counter, claim.epoch, claim.index)
        return claim if all(type(number) is int for number in numbers) else None
