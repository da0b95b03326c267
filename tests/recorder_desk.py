"""The recorder itself on a desk: no process, no lens, no microphone, and time that is the test's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from agent import events
from agent.capture import choose
from agent.controls.kept import ASLEEP
from agent.controls.synthetic import SyntheticPanel
from agent.formats import age
from agent.formats import leaf as leaves
from agent.intake.delivery import Tally
from agent.intake.report import IntakeCounters, IntakeEvent, IntakeEventKind
from agent.model import NS, EncodedPacket, MediaPart, SegmentState, StreamInfo, Track
from agent.recorder import Recorder
from agent.station.layout import AgencyPaths
from agent.status import State
from agent.takes import Takes
from tests.camera_kit import FakeClock, read
from tests.muxer_kit import Muxer
from tests.recorder_kit import make_config


class DeskIntake:
    """Lens and microphone as the recorder sees them; pictures come when the test gives them."""

    live = True

    def __init__(self, *arguments: Any) -> None:
        self.sink: Callable[[EncodedPacket], None] | None = None
        self.since_ns: int | None = None
        self.silent_before_ns: int | None = None
        self.in_time, self.muted, self.behind, self.lost_ns = True, False, False, 0
        self.rates: list[tuple[int, int]] = []
        self._clock: FakeClock = arguments[3]
        self.tell: Callable[[IntakeEvent], None] = arguments[4]
        self.stands_still, self._pictures = False, 0

    @property
    def pictures(self) -> int:
        """One more each time that somebody looks, while the lens gives any."""
        self._pictures += not self.stands_still
        return self._pictures

    def start(self) -> None:
        pass

    def stop(self) -> bool:
        return True

    def wait_ready(self, deadline_s: float) -> StreamInfo:
        return StreamInfo(320, 180, b"", None, self._clock.monotonic_ns())

    def attach(
        self, sink: Callable[[EncodedPacket], None], since_mono_ns: int, silent_before_mono_ns: int | None = None
    ) -> Tally:
        self.sink, self.since_ns, self.silent_before_ns = sink, since_mono_ns, silent_before_mono_ns
        sink(EncodedPacket(Track.VIDEO, 0, 3_000, True, b""))
        return Tally(0, 0, 0)

    def keep(self, since_mono_ns: int | None) -> None:
        pass

    def begins(self, since_mono_ns: int) -> int:
        return since_mono_ns

    def mute(self, since_mono_ns: int | None = None) -> None:
        self.muted = True

    def unmute(self, until_mono_ns: int) -> None:
        self.muted = False

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        self.rates.append((bitrate_kbps, fps))

    def counters(self) -> IntakeCounters:
        return IntakeCounters(**{f.name: 0 for f in fields(IntakeCounters)})

    def detach(self, until_mono_ns: int | None = None) -> bool:
        self.sink = None
        return self.in_time


class Camera:
    """One recorder whose time is the test's: each tick is a quarter of a second, and what was posted comes first."""

    def __init__(
        self,
        agency: AgencyPaths,
        root: Path,
        patch: pytest.MonkeyPatch,
        at_boot: bool = False,
        clock: FakeClock | None = None,
        sections: Mapping[str, Any] | None = None,
        wrong: Mapping[str, str] | None = None,
        **wanted: Any,
    ) -> None:
        """`wanted` of [recording]; `sections` of the configuration as a whole; `wrong`: faults by its mistakes."""
        config = make_config(agency, root, **(sections or {}))
        self.agency, self.clock, self.muxers = agency, clock or FakeClock(), list[Muxer]()
        self.lens: Exception | None = None
        patch.setattr("agent.lens.Intake", DeskIntake)
        patch.setattr(choose, "open_sources", self._sources)
        patch.setattr(Takes, "_make_muxer", self._muxer)
        recording = replace(config.recording, record_at_boot=at_boot, **wanted)
        self.panel = SyntheticPanel()
        self.recorder = Recorder(replace(config, recording=recording), self.clock, self.panel, wrong=wrong)

    def _sources(self, *_: object) -> tuple[None, None]:
        if self.lens:
            raise self.lens
        return None, None

    def _muxer(self, info: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> Muxer:
        now_ns = lambda: self.clock.monotonic_ns() - info.zero_mono_ns  # noqa: E731
        self.muxers.append(Muxer(on_init, on_part, at_close=1, at_push=1, now_ns=now_ns))
        return self.muxers[-1]

    def start(self) -> Camera:
        self.recorder.start()
        return self

    def drop(self, power: bool = True) -> None:
        """As if the power went, or the process alone: nothing more is written, and nothing is said of it."""
        recorder = self.recorder
        self.until_sealed()
        self.vault.sealer.close()
        if recorder._life.recording:
            self.muxers[-1].at_close = 0
            recorder._life.recording.finish(30)
        assert recorder._control and recorder._lock
        recorder._control.stop()
        recorder._lock.release()
        # Of a process that is gone the kernel lets go of the lock on the clock too.
        recorder._services._requests.close()
        if power:
            recorder._resume._path.unlink(missing_ok=True)
            recorder._rest.kept.keep(ASLEEP, False)
            recorder._resume.presses.forget()

    def ticks(self, count: int) -> None:
        """As `Recorder.run` would, for so many quarters of a second."""
        loop = self.recorder._loop
        for _ in range(count):
            self.clock.now_ns += NS // 4
            self.until_sealed()
            while not loop._queue.empty():
                loop.act(*loop._queue.get())
            if loop._stop.is_set():
                return
            loop.act("recorder", self.recorder._tick)

    def turns(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Beside the loop's ticks the officer's steps, as their threads would be, until `done`; parts come while it
        records.
        """
        begin = self.clock.now_ns
        for number in range(round(seconds * 20)):
            self.clock.now_ns = max(self.clock.now_ns, begin + (number + 1) * NS // 20)
            if number % 5 == 4:
                if number % 10 == 9 and self.recorder._life.recording:
                    self.muxers[-1].give(1)
                    self.recorder._life.pictures.encoded += 1
                self.act()
            self.recorder.officer.step()
            if done():
                return

    def act(self) -> None:
        """One turn of the loop, without the time that passes for it."""
        self.clock.now_ns -= NS // 4
        self.ticks(1)

    def until_sealed(self) -> None:
        """Fake time does not run ahead of the sealing thread."""
        recording, end = self.recorder._life.recording, time.monotonic() + 30
        while recording and (recording.progress().waiting or recording.settling):
            assert time.monotonic() < end
            time.sleep(0.001)

    def is_(self, state: State) -> bool:
        return self.recorder.state is state

    @property
    def vault(self) -> Any:
        assert self.recorder._vault
        return self.recorder._vault

    @property
    def intake(self) -> Any:
        """A DeskIntake, while the lens is there."""
        return self.recorder._lens.intake

    def tell(self, kind: IntakeEventKind, detail: str) -> None:
        """What the intake says of itself, from now on."""
        self.intake.tell(IntakeEvent(kind, self.clock.now_ns, detail))

    def faults(self) -> dict[str, str]:
        return dict(self.recorder.status()["faults"])

    def bodies(self) -> list[dict[str, Any]]:
        """Of all events so far, in the log's order, as the agency reads them."""
        self.until_sealed()
        self.vault.sealer.seal_open()
        identity = age.parse_identity_file(self.agency.agency_identity.read_text())[0]
        found = []
        for state in (SegmentState.SEALED, SegmentState.DELIVERED):
            for path in self.vault.spool.segments(state):
                for entry, leaf in read(path)[2]:
                    if isinstance(leaf, leaves.EventLeaf):
                        body = leaves.open_body(age.decrypt(entry.sealed, [identity]), leaf.body)
                        assert events.parse(body).event, body
                        found.append((leaf.common.index, body))
        return [body for _, body in sorted(found, key=lambda item: item[0])]

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [body for body in self.bodies() if body["type"] == kind]
