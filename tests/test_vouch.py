"""The kernel gives a clock up that only the dock sets about nine hours after it: what was vouched for then still is,
less well each second, for as long as nobody sets it otherwise.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import cli, config, vouch
from agent.clock import Utc
from agent.controls.base import Line
from agent.localtime import now
from agent.model import NS
from agent.station.layout import AgencyPaths
from agent.vouch import VouchedClock
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config

HOUR_NS = 3600 * NS
SET_MS = 20


@dataclass
class KernelClock(FakeClock):
    """As the kernel has it since somebody set it within 20 ms: 500 us more each second, and given up past 16 s
    (second_overflow in kernel/time/ntp.c), or at once where it is stepped.
    """

    set_ns: int = 0
    by_hand: bool = False

    def __post_init__(self) -> None:
        self.set_ns = self.now_ns

    def utc(self) -> Utc:
        found = super().utc()
        error_us = SET_MS * 1000 + (self.now_ns - self.set_ns) // NS * 500
        known = error_us <= 16_000_000 and not self.by_hand
        return Utc(found.ns, "synchronised", error_us // 1000 + 1) if known else Utc(found.ns, "unverified", None)

    def step(self, ns: int) -> None:
        self.stepped_ns, self.by_hand = self.stepped_ns + ns, True


@pytest.fixture
def kernel() -> KernelClock:
    return KernelClock()


def after(clock: VouchedClock, kernel: KernelClock, hours: float) -> Utc:
    """What is known so long after it was set; looked at each minute, as a camera does at least."""
    end_ns = kernel.set_ns + round(hours * HOUR_NS)
    while kernel.now_ns < end_ns:
        kernel.now_ns = min(end_ns, kernel.now_ns + 60 * NS)
        found = clock.utc()
    return found


def test_a_clock_that_the_kernel_gives_up_is_known_less_well_each_hour(kernel: KernelClock, tmp_path: Path) -> None:
    clock = VouchedClock(kernel, tmp_path)
    for hours in (0.1, 8, 8.8, 8.9, 10, 12, 24, 240):
        found = after(clock, kernel, hours)
        assert found.source == "synchronised"
        assert found.bound_ms is not None
        most_ms = SET_MS + hours * 3_600_000 * 500 / 1_000_000
        assert most_ms <= found.bound_ms <= most_ms + 32, "it grows on as the kernel's own did"
    assert kernel.utc() == Utc(kernel.utc().ns - 1_000, "unverified", None)


def test_one_that_is_stepped_without_a_vouch_is_unverified_at_once(kernel: KernelClock, tmp_path: Path) -> None:
    clock = VouchedClock(kernel, tmp_path)
    after(clock, kernel, 1)
    for step_ns in (NS, -3600 * NS):
        kernel.step(step_ns)
        assert (clock.utc().source, clock.utc().bound_ms) == ("unverified", None)
    kernel.by_hand, kernel.set_ns = False, kernel.now_ns
    assert clock.utc() == Utc(kernel.utc().ns - 2_000, "synchronised", SET_MS + 1)
    assert after(clock, kernel, 12).source == "synchronised"


def test_a_step_too_small_to_be_told_is_in_the_bound(kernel: KernelClock, tmp_path: Path) -> None:
    clock = VouchedClock(kernel, tmp_path)
    assert after(clock, kernel, 10).source == "synchronised"
    before = clock.utc()
    kernel.step(90_000_000)
    assert (before.bound_ms or 0) + 90 <= (clock.utc().bound_ms or 0) <= (before.bound_ms or 0) + 91
    kernel.step(90_000_000)
    assert clock.utc().source == "unverified", "nor do many of them add up unseen"


def test_nobody_vouches_for_a_clock_that_was_never_set(kernel: KernelClock, tmp_path: Path) -> None:
    kernel.by_hand = True
    assert VouchedClock(kernel, tmp_path).utc().source == "unverified"


def test_nor_for_one_that_was_suspended_since(kernel: KernelClock, tmp_path: Path) -> None:
    """What it was set on by then is the battery-backed clock's, which nobody vouches for."""
    clock = VouchedClock(kernel, tmp_path)
    after(clock, kernel, 9)
    kernel.suspended_ns += 60 * NS
    assert clock.utc().source == "unverified"


def test_a_machine_that_is_busy_while_the_clock_is_read_has_not_stepped_it(kernel: KernelClock, tmp_path: Path) -> None:
    clock = VouchedClock(kernel, tmp_path)
    after(clock, kernel, 9)
    real, waits = kernel.utc, [2 * NS, 0]

    def busy() -> Utc:
        found = real()
        kernel.now_ns += waits.pop(0)
        return found

    kernel.utc = busy  # type: ignore[method-assign]
    late, after_it = clock.utc(), clock.utc()
    assert late.source == "synchronised"
    assert (late.bound_ms or 0) >= (after_it.bound_ms or 0) + 1998, "what cannot be told apart is in its bound"


def test_it_outlives_the_recorder_and_not_the_boot(kernel: KernelClock, tmp_path: Path) -> None:
    clock = VouchedClock(kernel, tmp_path)
    after(clock, kernel, 1)
    clock.keep()
    kernel.now_ns += 11 * HOUR_NS
    found = VouchedClock(kernel, tmp_path).utc()
    assert found.source == "synchronised"
    assert 21_600 <= (found.bound_ms or 0) <= 21_653
    kernel.step(-NS)
    assert VouchedClock(kernel, tmp_path).utc().source == "unverified"
    kernel.step(NS)
    assert VouchedClock(kernel, tmp_path).utc().source == "synchronised"
    kernel.boot_id = "another"
    assert VouchedClock(kernel, tmp_path).utc().source == "unverified"


def test_what_is_kept_is_written_when_it_is_worth_it(kernel: KernelClock, tmp_path: Path) -> None:
    """Once for each time that the station sets it; where NTP holds it, now and then."""
    clock, written = VouchedClock(kernel, tmp_path), list[int]()

    def look(minutes: int, ntp: bool) -> int:
        before = len(written)
        for _ in range(minutes):
            kernel.now_ns += 60 * NS
            kernel.set_ns = kernel.now_ns if ntp else kernel.set_ns
            clock.utc()
            clock.keep()
            found = (tmp_path / vouch.FILE).stat().st_ino
            written.extend([found] if written[-1:] != [found] else [])
        return len(written) - before

    assert look(12 * 60, ntp=False) == 1
    assert 1 <= look(3 * 60, ntp=True) <= 7
    assert look(12 * 60, ntp=False) <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{",
        b"[]",
        b"9" * 5000,
        *(
            json.dumps(value).encode()
            for value in (
                {"mono_ns": 1 << 62},
                {"mono_ns": "1"},
                {"bound_ms": -1},
                {"bound_ms": True},
                {"low_ns": 1 << 61},
                {"low_ns": None},
            )
        ),
    ],
)
def test_a_file_that_is_none_vouches_for_nothing(kernel: KernelClock, tmp_path: Path, wrong: bytes) -> None:
    clock = VouchedClock(kernel, tmp_path)
    clock.utc()
    clock.keep()
    path = tmp_path / vouch.FILE
    told = json.loads(path.read_bytes())
    try:
        path.write_text(json.dumps(told | json.loads(wrong)))
    except (ValueError, TypeError):
        path.write_bytes(wrong)
    kernel.now_ns += 10 * HOUR_NS
    assert VouchedClock(kernel, tmp_path).utc().source == "unverified"


def test_a_directory_that_takes_nothing_costs_what_a_restart_would_know(kernel: KernelClock, tmp_path: Path) -> None:
    clock = VouchedClock(kernel, tmp_path / "gone")
    clock.utc()
    clock.keep()
    assert clock.utc().source == "synchronised"


def test_ctl_shows_the_time_as_the_recorder_knows_it(
    kernel: KernelClock,
    agency: AgencyPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(config.dump(make_config(agency, tmp_path)), "utf-8")
    clock = VouchedClock(kernel, tmp_path)
    after(clock, kernel, 1)
    clock.keep()
    kernel.now_ns += 9 * HOUR_NS
    monkeypatch.setattr("agent.clock.SystemClock", lambda: kernel)
    monkeypatch.setattr("agent.controls.local.ask", lambda *_, **__: {"words": ["Ready"]})
    for step_ns, shown in ((0, r"time +2026-05-(29|30) "), (NS, r"time +CLOCK NOT SET  \+10:")):
        kernel.step(step_ns)
        assert cli.agent_main(["ctl", "status", "--config", str(file)]) == 0
        assert re.search(shown, capsys.readouterr().out)


def test_after_a_night_in_the_dock_no_shift_is_warned_of_its_clock(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve hours with a recording, a kill and what `ctl` shows of the time."""
    kernel = KernelClock()
    camera = Camera(agency, tmp_path, monkeypatch, clock=kernel).start()
    for hours in (4, 8.8, 8.9, 12):
        kernel.now_ns = kernel.set_ns + round(hours * HOUR_NS)
        camera.turns(1)
        assert "clock not set" not in camera.recorder.status()["officer"]["warnings"]
        assert camera.recorder.status()["clock"]["source"] == "synchronised"
    camera.drop(power=False)
    camera = Camera(agency, tmp_path, monkeypatch, clock=kernel).start()
    camera.panel.pull(Line.BUTTON, True, kernel.now_ns)
    camera.turns(0.2)
    camera.panel.pull(Line.BUTTON, False, kernel.now_ns)
    camera.turns(2)
    assert camera.recorder.status()["recording"]
    assert "clock not set" not in camera.recorder.status()["officer"]["warnings"]
    shown = VouchedClock(kernel, camera.recorder._config.control.socket.parent)
    assert not now(shown, None).startswith("CLOCK NOT SET")
    kernel.step(-NS)
    camera.turns(1)
    assert "clock not set" in camera.recorder.status()["officer"]["warnings"]
    camera.recorder.close()
