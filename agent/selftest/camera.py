"""The line about the camera: opens, gives pictures at its rate, loses none, stamps them by the right clock, and shows
something, by the recorder's own rules (capture/watch.py). What a clip shows is not judged. Pure.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import mean, median

from agent.capture.watch import CONTRAST, DARK, HOLD_NS, Watched
from agent.clock import Clock
from agent.model import NS
from agent.selftest.line import Fault, Line, failed, judged
from agent.selftest.listening import Facts
from agent.selftest.stamps import follows

NAME = "camera"
LEAST_PICTURES = 5
RATE_PERCENT = 10
GAP_FRAMES = 2.5
LIMIT = (
    f"rate within {RATE_PERCENT} % of {{fps:g}} fps, no picture lost, stamps of CLOCK_MONOTONIC that grow; {{content}}"
)
OF_A_LENS = (
    f"never for {HOLD_NS // NS} s the same picture, or one with nothing in it: brightness up to {DARK} of 235, "
    f"contrast up to {CONTRAST:g}, no edges"
)
OF_A_CLIP = "content not judged: a clip"
CONTENT = {
    Watched.COVERED: Fault("nothing can be seen", "uncover the lens, and make light"),
    Watched.FROZEN: Fault("the same picture over and over", "plug it in anew; else another camera"),
}


def judge(facts: Facts, wanted_fps: float, clock: Clock) -> Line:
    """`wanted_fps` is what the configuration asks of a live camera; a clip keeps its own."""
    wanted = wanted_fps if facts.live else facts.fps
    limit = LIMIT.format(fps=wanted, content=OF_A_LENS if facts.live else OF_A_CLIP)
    if facts.error:
        return failed(NAME, facts.error, limit)
    if len(facts.seen) < LEAST_PICTURES:
        why = facts.ended or f"{len(facts.seen)} pictures in all that time"
        return judged(NAME, "", limit, [Fault(f"{facts.name}: {why}", "check the camera's cable")])
    stamps = facts.stamps
    rate = (len(stamps) - 1) * NS / max(1, stamps[-1] - stamps[0])
    missing = sum(max(0, b.sequence - a.sequence - 1) for a, b in pairwise(facts.seen))
    lost = max(missing, facts.dropped)
    steps = [b - a for a, b in pairwise(stamps)]
    domain = follows([seen.age_ns for seen in facts.seen], clock)
    age_ms = median(seen.age_ns for seen in facts.seen) / 1e6
    brightness = round(mean(float(seen.light.mean()) for seen in facts.seen))
    figures = {
        "fps": round(rate, 2),
        "pictures": len(stamps),
        "lost": lost,
        "longest_gap_ms": round(max(steps) / 1e6, 1),
        "clock": domain,
        "stamp_age_ms": round(age_ms, 1),
        "brightness": brightness,
        "watched": sorted({what.value for what, begins, _ in facts.watched if begins}) if facts.live else None,
    }
    measured = (
        f"{facts.name}: {rate:.2f} fps, {lost} lost, longest gap {figures['longest_gap_ms']} ms, "
        f"stamps of {domain or 'no clock known here'}, {age_ms:.1f} ms old, brightness {brightness}"
    )
    return judged(NAME, measured, limit, _faults(facts, rate, wanted, lost, steps, domain), figures=figures)


def _faults(facts: Facts, rate: float, wanted: float, lost: int, steps: list[int], domain: str | None) -> list[Fault]:
    found = []
    if abs(rate - wanted) > wanted * RATE_PERCENT / 100:
        found.append(Fault("wrong rate", "more light, a smaller picture, or another [video] fps"))
    if lost:
        found.append(Fault("pictures lost", "another USB port, or a smaller picture"))
    if min(steps) <= 0:
        found.append(Fault("stamps that do not grow", "another camera, or its newest driver"))
    elif facts.live and max(steps) > GAP_FRAMES * NS / wanted:
        found.append(Fault("a gap between pictures", "another USB port, or a smaller picture"))
    if domain != "CLOCK_MONOTONIC":
        found.append(Fault("stamps of the wrong clock", "another camera, or its newest driver"))
    found += [
        fault for what, fault in CONTENT.items() if any(seen is what for seen, begins, _ in facts.watched if begins)
    ]
    if facts.ended and facts.live:
        found.append(Fault(facts.ended, "check the camera's cable"))
    if not facts.let_go:
        found.append(Fault("the device is not given back", "unplug it, or restart"))
    return found
