"""What is counted as a recording's: the pictures from its first one on, the ring's among them, up to its stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from agent import headway
from agent.intake import delivery as deliveries
from agent.intake.delivery import Delivery, _Reader
from agent.media.prebuffer import Prebuffer
from agent.model import AUDIO_HZ, NS, VIDEO_HZ, EncodedPacket, Track

EACH = VIDEO_HZ // 30


def picture(number: int) -> EncodedPacket:
    return EncodedPacket(Track.VIDEO, number * EACH, EACH, number % 10 == 0, b"x")


def large(number: int) -> EncodedPacket:
    return EncodedPacket(Track.VIDEO, number * EACH, EACH, number % 30 == 0, b"x" * 4000)


def ns(number: float) -> int:
    return round(number * NS / 30)


def test_a_recordings_pictures_are_counted_from_its_first_one_to_its_stop() -> None:
    got: list[EncodedPacket] = []
    ignore = lambda *_: None  # noqa: E731
    delivery = Delivery(Prebuffer(30, 1 << 20), {Track.VIDEO}, ignore, ignore, ignore)
    delivery.start()
    for number in range(25):
        if number in (3, 15, 22):
            delivery.missed(2, ns(number))
            continue
        delivery.publish([picture(number)], may_wait=False)
    tally = delivery.attach(got.append, ns(14))
    assert (tally.first_pts, tally.encoded, tally.dropped) == (10 * EACH, 13, 4)
    delivery.publish([picture(n) for n in range(25, 30)], may_wait=False)
    delivery.missed(1, ns(30))
    assert (tally.encoded, tally.dropped, tally.captured) == (18, 5, 23)
    delivery.publish([picture(31)], may_wait=False)
    delivery.missed(3, ns(32))
    assert delivery.detach(ns(31), 5, 5)
    delivery.publish([picture(33)], may_wait=False)
    delivery.missed(7, ns(34))
    assert (tally.encoded, tally.dropped) == (18, 5)
    assert len(got) == 18
    assert delivery.stop(5)


@pytest.mark.parametrize("given_after_it", [0, 1, 3])
def test_pictures_that_are_in_it_already_with_stamps_after_its_stop_are_counted(given_after_it: int) -> None:
    """Some drivers stamp a little in the future; what is recorded is recorded."""
    got: list[EncodedPacket] = []
    all_there = threading.Event()
    ignore = lambda *_: None  # noqa: E731

    def take(packet: EncodedPacket) -> None:
        got.append(packet)
        if len(got) == 20:
            all_there.set()

    delivery = Delivery(Prebuffer(30, 1 << 20), {Track.VIDEO}, ignore, ignore, ignore)
    delivery.start()
    delivery.publish([picture(number) for number in range(20)], may_wait=False)
    tally = delivery.attach(take, 0)
    assert all_there.wait(10)
    delivery.detach(ns(19.5 - given_after_it), 0.1, 1)
    delivery.publish([picture(20)], may_wait=False)
    assert tally.encoded == len(got) == 20
    assert delivery.stop(5)


def test_each_picture_that_a_slow_sink_costs_is_counted_also_those_left_out_up_to_the_next_key_frame() -> None:
    """The ring holds 50; the sink stands still after its 10th, while many more than that come."""
    got: list[EncodedPacket] = []
    lost: list[int] = []
    stands, go_on, caught_up = threading.Event(), threading.Event(), threading.Event()

    def take(packet: EncodedPacket) -> None:
        got.append(packet)
        if len(got) == 10:
            stands.set()
            assert go_on.wait(10)

    delivery = Delivery(Prebuffer(1, 200_000), {Track.VIDEO}, lost.append, caught_up.set, lambda _: None)
    delivery.start()
    delivery.publish([large(0)], may_wait=False)
    tally = delivery.attach(take, 0)
    delivery.publish([large(number) for number in range(1, 40)], may_wait=False)
    assert stands.wait(10)
    delivery.publish([large(number) for number in range(40, 205)], may_wait=False)
    go_on.set()
    delivery.publish([large(number) for number in range(205, 215)], may_wait=False)
    assert caught_up.wait(10)
    assert delivery.detach(ns(215), 0.1, 5)
    missing = 215 - len(got)
    assert missing > 100
    assert tally.dropped == sum(lost) == missing
    assert (tally.encoded, tally.captured) == (len(got), 215)
    assert delivery.stop(5)


class Overrun(Delivery):
    """Many pictures more come between the reading of what is left after a loss and its delivery."""

    more: list[EncodedPacket]

    def _deliver(self, reader: _Reader, batch: list[tuple[int, EncodedPacket]], *rest: int) -> None:
        if batch and batch[0][0] > reader.cursor:
            more, self.more = self.more, []
            self.publish(more, may_wait=False)
        super()._deliver(reader, batch, *rest)


def test_pictures_that_the_ring_gives_up_while_a_loss_is_counted_are_counted_once() -> None:
    got: list[EncodedPacket] = []
    lost: list[int] = []
    dropped: list[int] = []
    stands, go_on, caught_up = threading.Event(), threading.Event(), threading.Event()

    def on_lost(packets: int) -> None:
        if not lost:
            dropped.append(tally.dropped)
        lost.append(packets)

    def take(packet: EncodedPacket) -> None:
        got.append(packet)
        stands.set()
        assert go_on.wait(10)

    delivery = Overrun(Prebuffer(1, 200_000), {Track.VIDEO}, on_lost, caught_up.set, lambda _: None)
    delivery.more = [large(number) for number in range(100, 220)]
    delivery.start()
    delivery.publish([large(0)], may_wait=False)
    tally = delivery.attach(take, 0)
    assert stands.wait(10)
    delivery.publish([large(number) for number in range(1, 100)], may_wait=False)
    go_on.set()
    assert caught_up.wait(10)
    assert delivery.detach(ns(220), 0.1, 5)
    assert delivery.more == []
    assert dropped == lost[:1]
    assert tally.dropped == sum(lost) == 220 - len(got) > 0
    assert (tally.encoded, tally.captured) == (len(got), 220)
    assert delivery.stop(5)


@pytest.mark.parametrize("let_go", [True, False], ids=["let go of", "stopped"])
def test_pictures_left_out_before_a_sink_stands_still_for_good_are_counted_and_told_once(let_go: bool) -> None:
    """It stands still twice: at its first picture, while some more come than the ring holds, and then at a sound among
    those that are left out up to the next key frame.
    """
    got: list[EncodedPacket] = []
    told: list[int | str] = []
    stands, go_on = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def take(packet: EncodedPacket) -> None:
        got.append(packet)
        if len(got) <= 2:
            stands[len(got) - 1].set()
            assert go_on[len(got) - 1].wait(10)

    ring, over = Prebuffer(1, 200_000), lambda: told.append("over")
    delivery = Delivery(ring, {Track.VIDEO, Track.AUDIO}, told.append, over, lambda _: None)
    delivery.start()
    delivery.publish([large(0)], may_wait=False)
    tally = delivery.attach(take, 0)
    assert stands[0].wait(10)
    sound = EncodedPacket(Track.AUDIO, 20 * AUDIO_HZ // 30, 1024, True, b"x")
    delivery.publish([*map(large, range(1, 20)), sound, *map(large, range(20, 59))], may_wait=False)
    go_on[0].set()
    assert stands[1].wait(10)
    if let_go:
        assert not delivery.detach(ns(59), 0, 0)
        assert [packet.track for packet in got] == [Track.VIDEO, Track.AUDIO]
        assert (tally.encoded, tally.dropped, tally.captured) == (1, 58, 59)
    else:
        assert not delivery.stop(0)
        # It never gets to this one.
        delivery.publish([large(59)], may_wait=False)
    go_on[1].set()
    assert delivery.stop(5)
    *lost, end = told
    assert (sum(map(int, lost)), end) == (19 if let_go else 29, "over"), "up to the sound, or to the next key frame"


@pytest.mark.parametrize("stands", [False, True])
def test_a_sink_that_takes_one_after_another_is_waited_for_until_it_stands_still(
    monkeypatch: pytest.MonkeyPatch, stands: bool
) -> None:
    """One packet at each look, many more than there are looks in the time for which it may stand still."""
    got: list[EncodedPacket] = []
    may = threading.Semaphore(0)
    count, most = 3 * headway.LOOKS, headway.LOOKS if stands else 3 * headway.LOOKS

    def take(packet: EncodedPacket) -> None:
        assert may.acquire(timeout=10)
        got.append(packet)

    def waited(wait: Callable[[float], bool], moved: Callable[[], object], still_s: float) -> bool:
        def look(_: float) -> bool:
            before = len(got)
            if before < most:
                may.release()
            while before < most and len(got) == before:
                wait(0.001)
            return wait(10.0 if len(got) == count else 0.001)

        return headway.waited(look, moved, still_s)

    monkeypatch.setattr(deliveries, "waited", waited)
    delivery = Delivery(Prebuffer(30, 1 << 20), {Track.VIDEO}, *[lambda _: None] * 3)
    delivery.start()
    delivery.publish([picture(number) for number in range(count)], may_wait=False)
    tally = delivery.attach(take, 0)
    assert delivery.detach(ns(count), 0, 5) is not stands
    assert len(got) == most
    assert (tally.encoded, tally.dropped, tally.captured) == (most, count - most, count)
    assert tally.untaken_ns == pytest.approx(ns(count - most), abs=ns(1) + 2)
    may.release()
    assert delivery.stop(5)
