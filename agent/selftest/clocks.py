"""The line about the clock: set or not, by whom it is vouched for, and what the battery-backed one says."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from agent.capture import choose
from agent.clock import Clock
from agent.config import Config
from agent.errors import AgentError
from agent.formats import certs
from agent.model import NS
from agent.selftest.line import Fault, Line, Verdict, judged

NAME = "clock"
MAX_RTC_S = 5.0
LIMIT = (
    "vouched for (NTP, or the dock), not before the camera's certificate; the RTC, where there is one, within "
    f"{MAX_RTC_S:g} s of it"
)
UNVOUCHED = "nobody vouches for it"
_RTC = Path("/sys/class/rtc/rtc0/since_epoch")

ReadRtc = Callable[[], int | None]


def read_rtc() -> int | None:
    """Seconds since 1970 by the battery-backed clock (whole ones, sysfs-class-rtc); None where there is none."""
    try:
        return int(_RTC.read_text("ascii"))
    except (OSError, ValueError):
        return None


def check(config: Config, clock: Clock, rtc: ReadRtc = read_rtc) -> Line:
    utc, rtc_s = clock.utc(), rtc()
    shown = datetime.datetime.fromtimestamp(utc.ns / NS, datetime.UTC)
    issued = _issued(config.sealing.identity_chain)
    off_s = None if rtc_s is None else utc.ns / NS - rtc_s
    # The RTC counts whole seconds: up to one of them is not an error.
    rtc_told = "no RTC" if off_s is None else f"RTC {max(0.0, abs(off_s) - 1):.0f} s off"
    bound = f" within {utc.bound_ms} ms" if utc.bound_ms is not None else ""
    measured = f"{shown:%Y-%m-%d %H:%M:%S} UTC, {utc.source}{bound}; {rtc_told}"
    faults = []
    if issued is not None and shown < issued:
        faults.append(Fault(f"not set: before {issued:%Y-%m-%d}, when the certificate was made", "dock it, or set it"))
    elif utc.bound_ms is None:
        # As the panel warns: what was kept over a night without a battery is as plausible as it is wrong.
        faults.append(Fault(UNVOUCHED, "dock it, or set it: timedatectl set-ntp true"))
    if off_s is not None and abs(off_s) > MAX_RTC_S + 1:
        faults.append(Fault("RTC and clock disagree", "hwclock --systohc once the time is right; else its battery"))
    figures = {
        "utc": shown.isoformat(),
        "source": utc.source,
        "bound_ms": utc.bound_ms,
        "rtc": rtc_s is not None,
        "rtc_off_s": None if off_s is None else round(off_s, 1),
    }
    if config.video.source.startswith((*choose.TWINS, "clip:")) and [fault.what for fault in faults] == [UNVOUCHED]:
        # On a desk the clock is the desk's.
        return Line(NAME, Verdict.SKIPPED, f"no camera ([video] source), and {UNVOUCHED}: {measured}", figures=figures)
    return judged(NAME, measured, LIMIT, faults, figures=figures)


def _issued(chain: Path) -> datetime.datetime | None:
    """When this camera's certificate was made: no true time is before that."""
    try:
        found: list[x509.Certificate] = certs.parse_pem(chain.read_bytes())
    except (OSError, AgentError):
        return None
    return found[0].not_valid_before_utc if found else None
