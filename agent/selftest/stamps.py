"""Which clock a device's stamps follow, told from how old they are on arrival. Pure."""

from __future__ import annotations

from statistics import median

from agent.clock import Clock
from agent.model import NS

SAME_NS = NS
"""A stamp so near to a clock's now was made by it."""


def follows(ages_ns: list[int], clock: Clock) -> str | None:
    """The clock by name; None where it is none that we know. CLOCK_MONOTONIC wherever it fits: all capture is on it."""
    if not ages_ns:
        return None
    age_ns = median(ages_ns)
    ahead = {
        "CLOCK_MONOTONIC": 0,
        "CLOCK_BOOTTIME": clock.boottime_ns() - clock.monotonic_ns(),
        "CLOCK_REALTIME": clock.utc().ns - clock.monotonic_ns(),
    }
    return next((name for name, ns in ahead.items() if abs(age_ns + ns) < SAME_NS), None)
