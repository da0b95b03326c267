"""Waiting for what gets on: for as long as it does, and no longer than it may stand still."""

from __future__ import annotations

import pytest

from agent.headway import LOOKS, heard, waited


class Slow:
    """One more piece is done at every so many looks, until all are."""

    def __init__(self, pieces: int, looks_each: int) -> None:
        self._pieces, self._each = pieces, looks_each
        self.looks = 0
        self.waited_s: list[float] = []

    @property
    def done(self) -> int:
        return min(self._pieces, self.looks // self._each)

    def wait(self, seconds: float) -> bool:
        self.waited_s.append(seconds)
        self.looks += 1
        return self.done == self._pieces


@pytest.mark.parametrize(("pieces", "looks_each", "goes_on"), [(100, 1, True), (5, LOOKS, True), (5, LOOKS + 1, False)])
def test_what_gets_on_is_waited_for_and_what_stands_still_is_not(pieces: int, looks_each: int, goes_on: bool) -> None:
    slow, heard_of = Slow(pieces, looks_each), list[int]()
    with heard(lambda: heard_of.append(slow.done)):
        assert waited(slow.wait, lambda: slow.done, 30.0) is goes_on
    assert sum(slow.waited_s) == pytest.approx(30.0 if not goes_on else 30.0 * pieces * looks_each / LOOKS)
    # One that is over needs no word.
    assert heard_of == (list(range(1, pieces)) if goes_on else [])


def test_who_listens_within_keeps_nobody_from_hearing() -> None:
    told: list[str] = []
    slow = Slow(3, 1)
    with heard(lambda: told.append("outer")):
        with heard(lambda: told.append("inner")):
            waited(slow.wait, lambda: slow.done, 1.0)
        assert told == ["inner", "outer"] * 2
