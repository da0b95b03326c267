"""The queue in front of an encoder: bounded by number and by weight, and no wait outlives it."""

from __future__ import annotations

import threading

import pytest

from agent.intake.channel import Channel, Closed


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
def test_it_is_half_full_by_number_or_by_weight(items: list[int]) -> None:
    channel: Channel[int] = Channel(6, most=10, weigh=lambda item: item)
    filled(channel, *items[1:])
    assert not channel.half_full
    filled(channel, items[0])
    assert channel.half_full


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
    assert filled(channel, 1) == [False] and not channel.half_full
    with pytest.raises(Closed):
        channel.get()
