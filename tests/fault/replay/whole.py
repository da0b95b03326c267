"""Sessions of the whole recorder, written down: its threads, encoder and muxer, in real time, on the synthetic twin;
recordings that rotate, marks, a visit to the dock with receipt and deletion, and a log that ends for the next one.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import durable
from agent.config import Config, RecordingConfig
from agent.controls.local import ask
from agent.model import NS
from agent.recorder import Recorder
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests.fault.replay.cuts import RENEW
from tests.fault.replay.lives import longer_head, receipt_of
from tests.fault.replay.tape import Tape
from tests.recorder_kit import make_config

POLL_S = 0.05
DEADLINE_S = 60.0
VISITS = 2
MARKS = 250
"""With what else is written, the log has a full tile."""


class _Taped(Recorder):
    """Says on the tape when an entry is durable, as it counts its bytes; and when one log ends for the next."""

    def __init__(self, config: Config, tape: Tape) -> None:
        super().__init__(config)
        self._tape = tape

    def _count_bytes(self, size: int) -> None:
        self._tape.promise()
        super()._count_bytes(size)

    @property
    def vault(self) -> Vault:
        assert self._vault is not None
        return self._vault

    def mark_renewals(self) -> None:
        """From now on what is written while the next epoch begins says so on the tape."""
        renew = self.vault.renew

        def renewed() -> None:
            with self._tape.during(RENEW):
                renew()

        self.vault.renew = renewed  # type: ignore[method-assign]


class Session:
    """One life in real time, from the start to a cut in the midst of a recording; with the `ring` of a camera as it is
    installed, or without any.
    """

    def __init__(self, agency: AgencyPaths, root: Path, chance: random.Random, ring: bool = False) -> None:
        self._agency, self._chance = agency, chance
        config, wanted = make_config(agency, root), RecordingConfig(segment_s=3)
        self.config = replace(config, recording=wanted if ring else replace(wanted, pre_event_s=0))
        self.tape = Tape(config.spool.dir, time.monotonic_ns)
        self._recorder = _Taped(self.config, self.tape)
        self._delivered = 0

    @property
    def epoch(self) -> int:
        return self._recorder.vault.epoch

    def live(self, *, long: bool, renewed: bool) -> None:
        """With a log so `long` that it has a full tile; with one that is `renewed`."""
        with self.tape.running():
            self._recorder.start()
            self._recorder.mark_renewals()
            loop = threading.Thread(target=self._recorder.run)
            loop.start()
            try:
                self._shift(long, renewed)
                # The cut: what comes after it is on no tape.
                ops = list(self.tape.ops)
            finally:
                self._recorder.stop()
                loop.join()
                self._recorder.close()
        self.tape.ops = ops

    def _shift(self, long: bool, renewed: bool) -> None:
        for visit in range(VISITS):
            self._record(self._chance.uniform(7.0, 9.0))
            for number in range(MARKS if long and visit == 0 else self._chance.randrange(3)):
                self._ask("mark", text=f"{number}")
            self._ask("stop")
            self._visit()
        if renewed:
            self._hear_of_more()
        opened_ns = self._recorder._lens.opened_ns
        ring_ns = self.config.recording.pre_event_s * NS
        self._until(lambda status: time.monotonic_ns() - opened_ns >= ring_ns)
        self._record(self._chance.uniform(0.6, 7.0))

    def _ask(self, do: str, **more: Any) -> None:
        ask(self.config.control.socket, {"do": do, **more})

    def _record(self, media_s: float) -> None:
        """Until so much of what comes after the press is durable."""
        until_ns = time.monotonic_ns() + round(media_s * NS)
        self._ask("record")
        recording = self._recorder._life.recording
        assert recording
        self._until(lambda status: (recording.end_mono_ns or 0) >= until_ns)

    def _visit(self) -> None:
        """Docked, all of it sent, receipted, and deleted."""
        self._ask("dock")
        vault = self._recorder.vault
        self._until(lambda status: not any(vault.spool.open_dir.glob("*.tar")))
        durable.write_file(vault.spool.inbox_dir / "one.receipt", receipt_of(self._agency, vault), 0o644)
        self._until(lambda status: bool(status["delivered"] > self._delivered))
        self._delivered = self._recorder.status()["delivered"]
        self._ask("retain", force=True)
        self._ask("undock")

    def _hear_of_more(self) -> None:
        """The station saw more of this log than there is: it ends, and the next epoch begins."""
        vault = self._recorder.vault
        durable.write_file(
            vault.spool.inbox_dir / "one.checkpoint", longer_head(self._agency, vault, self._chance), 0o644
        )
        self._until(lambda status: vault.epoch == 2)

    def _until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        until, status = time.monotonic() + DEADLINE_S, dict[str, Any]()
        while time.monotonic() < until:
            status = self._recorder.status()
            if holds(status):
                return
            time.sleep(POLL_S)
        raise AssertionError(f"not within {DEADLINE_S} s: {status}")
