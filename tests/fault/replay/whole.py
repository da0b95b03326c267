"""A life of the whole recorder, written down: its threads, encoder and muxer, in real time, on the synthetic twin."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.config import Config, RecordingConfig
from agent.controls.local import ask
from agent.recorder import Recorder
from agent.station.layout import AgencyPaths
from tests.fault.replay.tape import Tape
from tests.recorder_kit import make_config

POLL_S = 0.05
DEADLINE_S = 60.0


class _Taped(Recorder):
    """Says on the tape when an entry is durable, as it counts its bytes."""

    def __init__(self, config: Config, tape: Tape) -> None:
        super().__init__(config)
        self._tape = tape

    def _count_bytes(self, size: int) -> None:
        self._tape.promise()
        super()._count_bytes(size)


def live(agency: AgencyPaths, root: Path) -> tuple[Tape, Config]:
    """Records, rotates, stops, records again, and is cut in the midst of that."""
    config = make_config(agency, root)
    config = replace(config, recording=RecordingConfig(pre_event_s=0, segment_s=5))
    tape = Tape(config.spool.dir, time.monotonic_ns)
    recorder = _Taped(config, tape)
    with tape.running():
        recorder.start()
        loop = threading.Thread(target=recorder.run)
        loop.start()
        try:
            _record_until(recorder, 8.0)
            ask(config.control.socket, {"do": "stop"})
            ask(config.control.socket, {"do": "dock"})
            ask(config.control.socket, {"do": "undock"})
            _record_until(recorder, 11.0)
            # The cut: what comes after it is on no tape.
            ops = list(tape.ops)
        finally:
            recorder.stop()
            loop.join()
            recorder.close()
    tape.ops = ops
    return tape, config


def _record_until(recorder: Recorder, media_s: float) -> None:
    """`media_s` counts all recordings of this life."""
    ask(recorder._config.control.socket, {"do": "record"})
    until, status = time.monotonic() + DEADLINE_S, dict[str, Any]()
    while time.monotonic() < until:
        status = recorder.status()
        if status["media_s"] >= media_s:
            return
        time.sleep(POLL_S)
    raise AssertionError(f"not {media_s} s within {DEADLINE_S} s: {status}")
