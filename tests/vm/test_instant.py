"""The instant of a cut is right by the guest's clock, however late one hears of it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from agent.model import NS
from tests.vm.channel import MachineError
from tests.vm.instant import COUNTER, TICK_NS, WRAP_NS, Instant

MS = NS // 1_000


class Monitor:
    """Says what QEMU's says, with an event in between. Its counter stands until it is moved."""

    def __init__(self) -> None:
        self.counter_ns = 0
        self._end, self.here = socket.socketpair()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        with self._end, self._end.makefile("rwb") as file:
            file.write(b'{"QMP": {"version": {}, "capabilities": []}}\n')
            file.flush()
            for line in file:
                asked = json.loads(line)
                told = ""
                if asked["execute"] == "human-monitor-command":
                    count = self.counter_ns // TICK_NS % 2**32
                    told = f"{COUNTER:016x}: 0x{count:08x}\r\n"
                file.write(b'{"event": "RTC_CHANGE"}\n' + json.dumps({"return": told}).encode() + b"\n")
                file.flush()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            # It may be closed already.
            self.here.shutdown(socket.SHUT_WR)
        self._thread.join(10)


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    monitor = Monitor()
    yield monitor
    monitor.stop()


@pytest.mark.parametrize("behind_ns", [250 * MS, WRAP_NS - 5 * MS, WRAP_NS - 1500 * MS])
def test_what_passed_since_the_guest_was_heard_last_is_known(monitor: Monitor, behind_ns: int) -> None:
    """Around the counter's wrap too."""
    instant = Instant(monitor.here)
    for guest_ms, late_ms in ((1_000, 30), (1_020, 2), (1_040, 200)):
        monitor.counter_ns = behind_ns + (guest_ms + late_ms) * MS
        instant.heard(guest_ms * MS)
    monitor.counter_ns = behind_ns + 1_600 * MS
    assert instant.since_ns(1_500 * MS) == pytest.approx(98 * MS, abs=TICK_NS)
    # The counter is read a little late at times, and the guest is never ahead of itself.
    assert instant.since_ns(1_599 * MS) == 0
    instant.close()


def test_no_instant_is_made_up(monitor: Monitor) -> None:
    instant = Instant(monitor.here)
    with pytest.raises(MachineError, match="told no time"):
        instant.since_ns(1)
    monitor.stop()
    with pytest.raises(MachineError):
        instant.heard(1)
    instant.close()
