"""The ladder: down where something asks for it, back when nothing does, and no swinging."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.care import scaled
from agent.config import VideoConfig
from agent.configcare import LadderConfig
from agent.events import Level
from agent.ladder import HURRY_NS, MOST_PATIENCE, Cause, Footing, Pace, Stance, Strain, follow, stand
from agent.model import NS

PACE = Pace(steps=3, down_ns=60 * NS, up_ns=60 * NS)
TICK_NS = NS // 4
CALM = Strain()
HOT, TOO_HOT = Strain(heat=Level.HIGH), Strain(heat=Level.CRITICAL)


def walk(strains: Iterable[tuple[Strain, float]], at: Footing | None = None, pace: Pace = PACE) -> list[Footing]:
    """The footing after each turn, while each strain lasts for so many seconds."""
    found, now = [at or Footing()], 0
    for strain, seconds in strains:
        for _ in range(round(seconds * NS / TICK_NS)):
            now += TICK_NS
            found.append(follow(found[-1], strain, now, pace))
    return found


def steps(found: list[Footing]) -> list[int]:
    """Each step that was stood on, once."""
    return [found[0].step, *(b.step for a, b in pairwise(found) if a.step != b.step)]


def test_heat_takes_a_step_at_once_and_one_more_each_minute_while_it_lasts() -> None:
    assert steps(walk([(HOT, 59)])) == [0, 1]
    assert steps(walk([(HOT, 121)])) == [0, 1, 2, 3]
    assert steps(walk([(HOT, 1000)])) == [0, 1, 2, 3], "no further than the last"


def test_what_costs_pictures_or_parts_is_met_every_five_seconds() -> None:
    for strain in (TOO_HOT, Strain(encoder=True), Strain(disk=True)):
        assert steps(walk([(strain, 2 * HURRY_NS / NS + 1)])) == [0, 1, 2, 3]
    assert walk([(Strain(encoder=True, disk=True), 1)])[-1].causes == (Cause.ENCODER, Cause.DISK)


def test_a_low_battery_wants_one_step_and_a_critical_one_two() -> None:
    low, critical = Strain(battery=Level.LOW), Strain(battery=Level.CRITICAL)
    assert steps(walk([(low, 1000)])) == [0, 1]
    assert steps(walk([(critical, 1000)])) == [0, 1, 2]
    assert steps(walk([(TOO_HOT, 20), (low, 1000)])) == [0, 1, 2, 3, 2, 1], "and no more back than it allows"


def test_back_one_step_after_each_calm_minute() -> None:
    found = walk([(TOO_HOT, 20), (CALM, 1000)])
    assert steps(found) == [0, 1, 2, 3, 2, 1, 0]
    assert steps(walk([(TOO_HOT, 20), *[(CALM, 50), (HOT, 1)] * 5])) == [0, 1, 2, 3], "calm means without a break"


def test_a_step_back_that_does_not_hold_makes_the_next_one_wait_longer() -> None:
    def limit(at: Footing) -> Strain:
        """A machine that keeps up with two steps less, and not with one."""
        return Strain(encoder=at.step < 2)

    at, now, changes = Footing(), 0, 0
    for _ in range(4 * 3600 * 2):
        now += TICK_NS
        after = follow(at, limit(at), now, PACE)
        changes += after.step != at.step
        at = after
    assert at.patience == MOST_PATIENCE
    assert changes <= 2 + 2 * (5 + 2 * 3600 // (60 * MOST_PATIENCE)), "it does not swing for two hours"


def test_where_no_step_down_can_come_before_a_rise_counts_as_held_it_does_not_swing_either() -> None:
    """Heat that comes back with each step up waits as long for one down as for one up, by default; an encoder longer,
    where little calm is wanted.
    """
    for up_s, strain in ((60, HOT), (5, HOT), (5, Strain(encoder=True)), (1, Strain(disk=True))):
        pace, at, now = replace(PACE, up_ns=up_s * NS), Footing(step=3, moved_ns=0), 0
        risen = 0
        for _ in range(24 * 3600 * NS // TICK_NS):
            if risen == 6:
                break
            now += TICK_NS
            after = follow(at, strain if at.step < 3 else CALM, now, pace)
            risen += after.step < at.step
            at = after
        assert (risen, at.patience) == (6, MOST_PATIENCE)


def test_a_disk_leads_to_no_smaller_picture_and_what_else_is_there_does() -> None:
    at, now, found = Stance(), 0, list[tuple[int, int]]()
    for strain, seconds in (
        (Strain(disk=True), 30),
        (Strain(disk=True, encoder=True), 30),
        (Strain(disk=True), 70),
        (CALM, 300),
        (Strain(battery=Level.CRITICAL), 10),
    ):
        for _ in range(seconds * NS // TICK_NS):
            now += TICK_NS
            before, at = at, stand(at, strain, now, PACE)
            assert bool(at.moves(before)) is ((before.rate.step, before.size.step) != (at.rate.step, at.size.step))
        found.append((at.rate.step, at.size.step))
        assert at.lead.step == max(found[-1])
    assert found == [(3, 0), (3, 3), (3, 2), (0, 0), (2, 2)]


def test_a_ladder_without_steps_is_never_climbed() -> None:
    assert steps(walk([(TOO_HOT, 100), (Strain(battery=Level.CRITICAL), 100)], pace=replace(PACE, steps=0))) == [0]


strains = st.builds(
    Strain,
    heat=st.sampled_from([Level.NORMAL, Level.HIGH, Level.CRITICAL]),
    battery=st.sampled_from([Level.NORMAL, Level.LOW, Level.CRITICAL]),
    encoder=st.booleans(),
    disk=st.booleans(),
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(strains, st.integers(1, 100)), max_size=8),
    st.builds(
        Pace, st.integers(0, 6), st.integers(1, 90).map(lambda s: s * NS), st.integers(1, 90).map(lambda s: s * NS)
    ),
)
def test_whatever_happens_it_moves_one_step_for_a_reason(told: list[tuple[Strain, int]], pace: Pace) -> None:
    at, now, moved = Footing(), 0, list[tuple[int, int]]()
    for strain, turns in told:
        for _ in range(turns):
            now += TICK_NS
            after = follow(at, strain, now, pace)
            assert 0 <= after.step <= pace.steps
            assert abs(after.step - at.step) <= 1
            if after.step > at.step:
                assert after.causes == strain.causes() != ()
                assert strain.wait_ns is not None or at.step < strain.least
            elif after.step < at.step:
                assert strain.wait_ns is None
                assert after.step >= min(strain.least, pace.steps)
                assert now - max([0, *(ns for ns, by in moved)]) >= pace.up_ns
            else:
                assert after.step >= min(strain.least, pace.steps) or at.step < strain.least
            if after.step != at.step:
                moved.append((now, after.step - at.step))
            at = after
    for _ in range(2 * pace.steps * MOST_PATIENCE + 2):
        now += pace.up_ns
        at = follow(at, CALM, now, pace)
    assert at.step == 0, "left alone it is as configured again"


def test_shares_of_the_configuration_make_pictures() -> None:
    video = VideoConfig(source="synthetic", width=1280, height=720, fps=30, bitrate_kbps=4000)
    rows = [scaled(video, shares, True) for shares in LadderConfig().shares()]
    assert [(v.bitrate_kbps, v.fps, v.width, v.height) for v in rows] == [
        (4000, 30, 1280, 720),
        (2800, 30, 1280, 720),
        (2000, 15, 1280, 720),
        (1400, 15, 640, 360),
    ]
    assert scaled(video, (35, 50, 50), False).width == 1280, "a clip keeps its size"
    tiny = scaled(replace(video, width=162, height=122, fps=1), (10, 10, 10), True)
    assert (tiny.width, tiny.height, tiny.fps) == (160, 120, 1)


def test_steps_that_are_no_ladder_are_mistakes() -> None:
    def mistakes(*rungs: str) -> list[str]:
        return [str(found) for found in LadderConfig(steps=rungs).contradictions()]

    assert mistakes("70/100/100", "50/50/100", "35/50/50") == []
    assert "more than the step above" in mistakes("70/100/100", "80/50/100")[0]
    assert "more than the step above" in mistakes("101/100/100")[0]
    assert "no picture" in mistakes("5/100/100")[0]
    assert LadderConfig(enabled=False).shares() == ((100, 100, 100),)
