"""The queue in front of an encoder: bounded by number, by weight and by time, and no wait outlives it."""

from __future__ import annotations

import threading

import pytest

from agent.intake.channel import Channel, Closed, Patience
from agent.intake.paths import RawPath
from agent.model import NS


def filled(channel: Channel[int], *items: int) -> list[bool]:
    return [channel.put(item, wait=False) for item in items]


def test_no_more_items_wait_than_it_holds() -> None:
    channel: Channel[int] = Channel(2)
    assert filled(channel, 7, 8, 9) == [True, True, False]
    assert [channel.get(), channel.get()] == [7, 8]
    assert channel.get(timeout_s=0) is None


def test_items_that_weigh_too_much_together_do_not_wait_together() -> None:
    channel: Channel[int] = Channel(12, most=10, weigh=lambda item: item)
    assert filled(channel, 4, 6, 1) == [True, True, False]
    assert channel.get() == 4
    assert filled(channel, 5, 4, 1) == [False, True, False]
    assert len(channel) == 2


def test_one_that_is_heavier_than_allowed_waits_alone() -> None:
    channel: Channel[int] = Channel(12, most=10, weigh=lambda item: item)
    assert filled(channel, 50, 1) == [True, False]
    assert channel.get() == 50
    assert filled(channel, 1) == [True]


@pytest.mark.parametrize("items", [[1, 1, 1], [5]])
def test_it_is_filling_by_number_or_by_weight(items: list[int]) -> None:
    channel: Channel[int] = Channel(6, most=10, weigh=lambda item: item)
    filled(channel, *items[1:])
    assert not channel.filling
    filled(channel, items[0])
    assert channel.filling


def test_who_may_wait_goes_on_as_soon_as_there_is_room_for_its_weight() -> None:
    channel: Channel[int] = Channel(12, most=10, weigh=lambda item: item)
    filled(channel, 6, 4)
    waiting = threading.Thread(target=channel.put, args=(6, True))
    waiting.start()
    assert [channel.get(), channel.get(), channel.get(timeout_s=10)] == [6, 4, 6]
    waiting.join(10)
    assert not waiting.is_alive()


def test_what_is_thrown_away_weighs_nothing() -> None:
    channel: Channel[int] = Channel(12, most=10, weigh=lambda item: item)
    filled(channel, 10)
    channel.close(discard=True)
    assert filled(channel, 1) == [False] and not channel.filling
    with pytest.raises(Closed):
        channel.get()


class Waits:
    """A lens of so many pictures a second in front of an encoder that takes `busy_ns` for each, by a clock of its own:
    how long each picture had waited when the encoder took it, and how many it never got.
    """

    def __init__(self, fps: int, busy_ns: int, pictures: int = 600) -> None:
        self._now_ns, self._came = 0, dict[int, int]()
        self.stale: list[int] = []
        self.refused: list[int] = []
        self.taken: list[int] = []
        self.waits: list[int] = []
        self.behind = False
        limit_ns = RawPath.patience_ns
        patience = Patience(limit_ns, self.stale.append, lambda: self._now_ns)
        self._channel: Channel[int] = Channel(RawPath.waiting, patience=patience)
        free_ns = 0
        for number in range(pictures):
            due_ns = number * NS // fps
            free_ns = self._encode(free_ns, due_ns, busy_ns)
            self._now_ns = self._came[number] = due_ns
            self.behind |= self._channel.filling
            if not self._channel.put(number, wait=False):
                self.refused.append(number)
        self._encode(free_ns, 1 << 62, busy_ns)

    def _encode(self, free_ns: int, until_ns: int, busy_ns: int) -> int:
        """What waits, while it is not later than that; returns when the encoder is free again."""
        while len(self._channel) and (at_ns := max(free_ns, self._now_ns)) < until_ns:
            self._now_ns = at_ns
            number = self._channel.get(timeout_s=0)
            assert number is not None
            self.taken.append(number)
            self.waits.append(at_ns - self._came[number])
            free_ns = at_ns + busy_ns
        return free_ns


@pytest.mark.parametrize("fps", [5, 10, 15, 20, 24, 25, 30, 45, 50, 60])
@pytest.mark.parametrize("slow", [1.1, 1.5, 2, 3, 6])
def test_at_any_rate_no_picture_has_waited_longer_than_a_quarter_of_a_second(fps: int, slow: float) -> None:
    """However slow the encoder. What it does not get is told, each once, and it is seen to be behind."""
    run = Waits(fps, busy_ns=round(NS / fps * slow))
    # But for the last of all, behind which nothing comes.
    assert max(run.waits[:-1]) <= RawPath.patience_ns <= NS // 4
    assert sorted(run.taken + run.stale + run.refused) == list(range(600))
    assert run.taken == sorted(run.taken)
    assert len(run.taken) >= 599 / slow
    # What is dropped is strain for the ladder as well.
    assert run.behind or run.stale


@pytest.mark.parametrize("fps", [5, 15, 30, 60])
def test_an_encoder_that_keeps_up_is_given_all_and_is_not_behind(fps: int) -> None:
    run = Waits(fps, busy_ns=round(NS / fps * 0.95))
    assert run.taken == list(range(600))
    assert not run.behind


def test_the_newest_is_never_too_old() -> None:
    stale: list[int] = []
    times = [0]
    channel: Channel[int] = Channel(12, patience=Patience(5, stale.append, lambda: times[0]))
    filled(channel, 1, 2, 3)
    times[0] = 1_000
    assert (channel.get(), stale, len(channel)) == (3, [1, 2], 0)


def test_what_comes_at_once_after_a_hiccup_costs_none() -> None:
    stale: list[int] = []
    times = [1_000]
    channel: Channel[int] = Channel(12, patience=Patience(5, stale.append, lambda: times[0]))
    assert all(filled(channel, *range(12)))
    assert [channel.get() for _ in range(12)] == list(range(12))
    assert stale == []
