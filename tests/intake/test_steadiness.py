"""Sound that goes and comes is told as often as helps anybody."""

from __future__ import annotations

import pytest

from agent.capture.sync import SoundTimeline
from agent.intake.steadiness import HOLD_NS, MOST_NS, SOON_NS, Steadiness
from agent.model import NS, AudioBlock

BLOCK, STEP_NS = 960, NS // 50
SECONDS = 210
PCM = b"\1\0" * BLOCK


def went_and_came(
    every_ns: int, stands_ns: int, until_ns: int = SECONDS * NS
) -> tuple[list[int], list[tuple[bool, int]]]:
    """Whatever takes the sound stands still for so long each time: when silence took its place, and what was told."""
    timeline, steadiness, counts_as_lost, was_lost = SoundTimeline(0), Steadiness(), False, False
    lost_ns: list[int] = []
    told: list[tuple[bool, int]] = []
    waiting: list[AudioBlock] = []
    for now_ns in range(STEP_NS, SECONDS * NS, STEP_NS):
        waiting.append(AudioBlock(now_ns - STEP_NS, PCM))
        if now_ns > until_ns or (now_ns + every_ns // 2) % every_ns >= stands_ns:
            for block in waiting:
                timeline.feed(block)
            waiting.clear()
        timeline.fill_to(now_ns)
        lost = timeline.starved
        lost_ns += [now_ns] * (lost and not was_lost)
        was_lost = lost
        if counts_as_lost:
            since_ns = steadiness.see(now_ns, lost)
            if since_ns is not None:
                counts_as_lost = False
                told.append((False, since_ns))
        elif lost:
            steadiness.lose(now_ns)
            counts_as_lost = True
            told.append((True, now_ns))
    return lost_ns, told


@pytest.mark.parametrize("every_ms", [500, 1000, 1500, 2500, 5000])
def test_on_a_machine_that_is_too_busy_it_is_told_a_few_times(every_ms: int) -> None:
    lost_ns, told = went_and_came(every_ms * 1_000_000, 300_000_000)
    assert len(lost_ns) >= SECONDS * 1000 // every_ms - 1
    # One more each time that it must be there for twice as long, and then one each half minute or so.
    assert len(told) <= 2 * (6 + SECONDS * NS // MOST_NS)
    assert told[0] == (True, lost_ns[0]), "at once"


def test_it_is_back_since_it_came_once_it_has_lasted() -> None:
    lost_ns, told = went_and_came(200 * NS, 400_000_000)
    assert len(lost_ns) == 1 and told == [(True, lost_ns[0]), (False, 100 * NS + 400_000_000)]


def test_after_a_busy_minute_it_is_back_for_good() -> None:
    lost_ns, told = went_and_came(500_000_000, 300_000_000, until_ns=60 * NS)
    assert [lost for lost, _ in told] == [True, False]
    assert told[-1][1] - lost_ns[-1] < NS


def test_the_next_loss_long_after_that_is_over_as_soon_as_the_first() -> None:
    steadiness, now_ns = Steadiness(), 0
    for _ in range(3):
        steadiness.lose(now_ns)
        assert steadiness.see(now_ns, False) is None
        assert steadiness.see(now_ns + HOLD_NS, False) == now_ns
        now_ns += HOLD_NS + SOON_NS


def test_soon_after_it_must_last_for_twice_as_long() -> None:
    steadiness, now_ns = Steadiness(), 0
    for hold_ns in (HOLD_NS, 2 * HOLD_NS, 4 * HOLD_NS, 8 * HOLD_NS, 16 * HOLD_NS, MOST_NS, MOST_NS):
        steadiness.lose(now_ns)
        assert steadiness.see(now_ns, False) is None and steadiness.see(now_ns + hold_ns - 1, False) is None
        assert steadiness.see(now_ns + hold_ns, False) == now_ns
        now_ns += hold_ns + 1
