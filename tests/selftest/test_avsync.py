"""What `selftest --avsync` makes of flashes and beeps, strangers among them: never in step what is not."""

from __future__ import annotations

import numpy as np
import pytest

from agent.model import AUDIO_HZ, NS
from agent.selftest import avsync
from agent.selftest.line import Line, Verdict
from agent.selftest.listening import GRID, Facts, Heard, Seen

BEGIN_NS = 100 * NS
STEP_NS = NS // 30


def measured(
    late_ms: float,
    strays: list[tuple[int, float]],
    events: int = 10,
    at_chance: bool = True,
    silent: tuple[int, ...] = (),
) -> Line:
    """Of flashes at chance, or in step with the pictures, each but the `silent` with a beep so late; and noises, each
    so many ms behind its flash.
    """
    chance = np.random.default_rng(3)
    flashes = [
        BEGIN_NS + 60 * STEP_NS + round((n * (1.27 if at_chance else 1.2) + chance.random() * 0.03 * at_chance) * NS)
        for n in range(events)
    ]
    picture = Facts("camera", fps=30.0)
    end_ns = flashes[-1] + NS
    for number, at_ns in enumerate(range(BEGIN_NS, end_ns, STEP_NS)):
        lit = any(flash < at_ns <= flash + NS // 7 for flash in flashes)
        picture.seen.append(Seen(at_ns, 0, number, np.full(GRID, 200 if lit else 40, np.float32)))
    pcm = np.zeros((end_ns - BEGIN_NS) * AUDIO_HZ // NS, np.int16)
    for at_ns in [flash + round(late_ms * 1e6) for n, flash in enumerate(flashes) if n not in silent] + [
        flashes[n] + round(ms * 1e6) for n, ms in strays
    ]:
        begin = (at_ns - BEGIN_NS) * AUDIO_HZ // NS
        pcm[begin : begin + AUDIO_HZ // 30] = 12_000
    sound = Facts("microphone")
    for begin in range(0, len(pcm) - 1024, 1024):
        sound.heard.append(Heard(BEGIN_NS + begin * NS // AUDIO_HZ, 0, pcm[begin : begin + 1024].tobytes()))
    return avsync.judge(picture, sound, avsync.Setting(False, (0, 0), events))


@pytest.mark.wide
@pytest.mark.parametrize("strays", [[], [(4, -60)], [(4, -10)], [(2, -120)], [(4, -10), (6, 30)]], ids=str)
@pytest.mark.parametrize("late_ms", [15, 40, 80, 150, -120])
def test_sound_that_is_out_of_step_never_passes_whatever_else_is_heard(
    late_ms: float, strays: list[tuple[int, float]]
) -> None:
    line = measured(late_ms, strays)
    assert line.verdict is Verdict.FAIL
    assert "out of step" in line.measured
    assert line.figures["offset_ms"] == pytest.approx(late_ms, abs=line.figures["doubt_ms"] + 0.1)
    assert f"[audio] latency_ms = {round(line.figures['offset_ms'])}" in line.hint or late_ms < 0


def test_a_stranger_among_beeps_in_step_is_named_and_costs_nothing() -> None:
    line = measured(0, [(4, -40)])
    assert line.verdict is Verdict.OK
    assert "flash 5" in line.measured and "flash 4" not in line.measured
    assert [stray["flash"] for stray in line.figures["disagree"]] == [5]
    assert measured(0, []).figures["disagree"] == []


def test_a_stranger_is_named_by_its_flash_though_another_one_before_it_had_no_beep() -> None:
    line = measured(0, [(5, -40)], silent=(1,))
    assert [stray["flash"] for stray in line.figures["disagree"]] == [6]


@pytest.mark.parametrize("late_ms", [0, 8, 15])
def test_a_range_that_may_lie_beyond_the_limit_is_no_pass(late_ms: float) -> None:
    """Flashes in step with the pictures leave a whole one open, 33 ms."""
    line = measured(late_ms, [], events=3, at_chance=False)
    assert line.verdict is Verdict.FAIL
    assert "not enough events" in line.measured and "--events 6" in line.hint


def test_flashes_of_which_no_more_than_half_agree_say_nothing() -> None:
    line = measured(150, [(0, -120), (1, -60), (2, 0), (3, 50), (4, 100)], events=8)
    assert line.verdict is Verdict.FAIL and "agree" in line.measured


@pytest.mark.parametrize(
    ("late_ms", "whose"), [(-250, "camera"), (-190, None), (190, None), (250, "microphone"), (390, "microphone")]
)
def test_it_asks_for_no_latency_that_a_configuration_refuses(late_ms: float, whose: str | None) -> None:
    line = measured(late_ms, [])
    assert line.verdict is Verdict.FAIL
    if whose:
        assert f"the {whose} is more than 200 ms late, which no latency_ms takes out" in line.hint
        return
    lawful = {"audio": range(201), "video": range(-200, 201)}
    assert all(line.figures[f"{name}_latency_ms"] in values for name, values in lawful.items())
    assert f"[{'audio' if late_ms > 0 else 'video'}] latency_ms = 1" in line.hint


@pytest.mark.parametrize(
    ("late_ms", "now_ms", "expected"),
    [
        (30, (100, 200), (70, 200)),
        (-30, (200, 50), (200, 20)),
        (30, (0, 150), (0, 180)),
        (30, (-20, 190), (-20, 220)),
        (-90, (150, 30), (210, 0)),
    ],
)
def test_what_is_beyond_a_configuration_is_taken_off_the_other_one(
    late_ms: float, now_ms: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert avsync.suggested(avsync.Offset(10, late_ms - 1, late_ms + 1), now_ms) == expected
