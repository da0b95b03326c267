"""The recorder as it runs, with all its threads, on the twins of lens, microphone and panel; what carries a part to the
disk can be made to hang, fail or see nothing, at each stage. The microphone is taken back as a real one is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from agent import probe
from agent.capture import choose
from agent.capture.base import SignalKind, SourceSignal
from agent.capture.reviving import Reviving
from agent.capture.sync import SoundTimeline
from agent.capture.synthetic import SyntheticCamera, SyntheticMicrophone
from agent.config import RecordingConfig
from agent.configcontrols import SignalsConfig
from agent.controls.base import Line
from agent.controls.patterns import Levels
from agent.controls.synthetic import SyntheticPanel
from agent.errors import DeviceError, EncryptionError, KeyTrustError, StorageError
from agent.formats import age, leaf
from agent.formats.age_x25519 import X25519Recipient
from agent.media.encoder import AacEncoder, H264Encoder
from agent.media.parts import PartMuxer
from agent.model import AudioBlock, SegmentState, VideoFrame
from agent.recorder import Recorder
from agent.sealing.blank import Blank, NextFile
from agent.sealing.sealer import Sealer
from agent.sealing.session import Session
from agent.sealing.tiles import TileStore
from agent.spool import inbox
from agent.station.layout import AgencyPaths
from tests.camera_kit import read
from tests.recorder_kit import make_config

DEADLINE_S = 20.0
SLOW_S = 1.5
"""What each read and each sync of a slow card takes."""
IN_THE_CLEAR = (b"\x00\x00\x00\x10mfhd", b"ftypiso5", b'"type":"')
"""In each part, each init, and each body of an event."""
CONTENT = ("lens covered", "picture frozen", "microphone deaf")
"""Causes that show only in what comes in: they must last before they are believed."""


def now_s() -> float:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e9


@dataclass
class Gate:
    """Closed, whoever comes by waits or is told no. `met_s`: since when somebody does."""

    cause: str = ""
    met_s: float | None = None
    opened: threading.Event = field(default_factory=threading.Event)

    def close(self, cause: str) -> None:
        self.met_s = None
        self.opened.clear()
        self.cause = cause

    def open(self) -> None:
        self.cause = ""
        self.opened.set()

    def meet(self, cause: str) -> bool:
        if self.cause != cause:
            return False
        self.met_s = self.met_s or now_s()
        return True

    def hang(self, cause: str) -> None:
        if self.meet(cause):
            self.opened.wait(DEADLINE_S)

    def pass_by(self, stage: str, error: Exception) -> None:
        """Wait there, or be told no, in this way."""
        if stage in ("disk", "card") and self.meet("card slow"):
            self.opened.wait(SLOW_S)
        self.hang(f"{stage} stalls")
        if self.meet(f"{stage} fails"):
            raise error


class WatchedPanel(SyntheticPanel):
    """Notes each change of what is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, Levels]] = []

    def show(self, levels: Levels) -> None:
        super().show(levels)
        self._note(levels)

    def close(self) -> None:
        super().close()
        self._note(Levels())

    def _note(self, levels: Levels) -> None:
        if not self.seen or self.seen[-1][1] != levels:
            self.seen.append((now_s(), levels))

    def since(self, at_s: float, is_so: Callable[[Levels], bool]) -> float | None:
        """How long after `at_s` it was first so; None: not yet."""
        now = [levels for seen_s, levels in self.seen if seen_s <= at_s][-1:]
        if now and is_so(now[0]):
            return 0.0
        return next((seen_s - at_s for seen_s, levels in self.seen if seen_s > at_s and is_so(levels)), None)


class Running:
    """Between `with` and its end it records, and its light is lit; or it waits for a press, `ready`. With `rotates`
    a segment is full after two seconds or three.
    """

    def __init__(
        self,
        agency: AgencyPaths,
        root: Path,
        patch: pytest.MonkeyPatch,
        ready: bool = False,
        rotates: bool = False,
        **sections: Any,
    ) -> None:
        """`sections` of the configuration, where it has others than those of the twins."""
        self.agency, self.gate, self.panel, self._ready = agency, Gate(), WatchedPanel(), ready
        self.durable_s: dict[int, float] = {}
        self._sabotage(patch)
        config = make_config(agency, root, signals=SignalsConfig(reminder_s=0), **sections)
        segment_s = {"segment_s": 4} if rotates else {}
        config = replace(config, recording=RecordingConfig(pre_event_s=1, ring_mib=8, **segment_s))
        self.recorder = Recorder(config, panel=self.panel)
        self._thread = threading.Thread(target=self.recorder.run, daemon=True)

    def __enter__(self) -> Running:
        self.recorder.officer.start()
        self.recorder.start()
        self._thread.start()
        if not self._ready:
            self.press()
        self.until(self.is_well)
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.open()
        self.recorder.stop()
        self._thread.join(DEADLINE_S)
        self.recorder.close()

    def press(self) -> None:
        self.panel.pull(Line.BUTTON, True)
        time.sleep(0.08)
        self.panel.pull(Line.BUTTON, False)

    def is_well(self) -> bool:
        status = self.status()
        if status["faults"] or status["officer"]["alarm"]:
            return False
        return status["officer"]["state"] == "ready" if self._ready else self.panel.levels.light

    def until(self, is_so: Callable[[], bool]) -> float:
        """The instant at which it was."""
        end = now_s() + DEADLINE_S
        while now_s() < end:
            if is_so():
                return now_s()
            time.sleep(0.005)
        raise AssertionError(f"not within {DEADLINE_S} s: {self.status()}")

    def status(self) -> dict[str, Any]:
        return self.recorder.status()

    def events(self) -> Iterator[tuple[float, float, dict[str, Any]]]:
        """When the leaf was made, when it was durable, and what it says; once it is over."""
        identity = age.parse_identity_file(self.agency.agency_identity.read_text())[0]
        vault = self.recorder._vault
        assert vault
        for path in vault.spool.segments(SegmentState.SEALED):
            for entry, found in read(path)[2]:
                if isinstance(found, leaf.EventLeaf):
                    body = leaf.open_body(age.decrypt(entry.sealed, [identity]), found.body)
                    yield found.common.stamp.mono_ns / 1e9, self.durable_s[found.common.index], body

    def in_the_clear(self) -> list[Path]:
        """What holds media or what an event says, for whoever finds the card."""
        found = []
        for path in self.recorder._config.spool.dir.rglob("*"):
            # What is written aside may have its name by now.
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and any(mark in path.read_bytes() for mark in IN_THE_CLEAR):
                    found.append(path)
        return found

    # -- what goes wrong -------------------------------------------------------------------------------------------

    def _sabotage(self, patch: pytest.MonkeyPatch) -> None:
        gate = self.gate

        def before(kind: Any, name: str, check: Callable[..., None]) -> None:
            original = getattr(kind, name)

            def wrapped(*arguments: Any, **named: Any) -> Any:
                check(*arguments)
                return original(*arguments, **named)

            patch.setattr(kind, name, wrapped)

        def stage(kind: Any, name: str, called: str, error: Exception) -> None:
            before(kind, name, lambda *_: gate.pass_by(called, error))

        refused, defect = OSError(errno.EIO, os.strerror(errno.EIO)), RuntimeError("a defect")

        take = NextFile.take

        def taken(file: NextFile, name: str) -> Blank:
            """What is refused ahead costs nothing: it is met when a part needs it."""
            try:
                return take(file, name)
            except StorageError:
                gate.meet("next segment fails")
                raise

        def no_room() -> None:
            gate.hang("next segment stalls")
            if gate.cause == "next segment fails":
                raise refused

        stage(os, "fdatasync", "disk", refused)
        stage(os, "pwrite", "write", refused)
        stage(probe, "read_through", "card", StorageError("cannot read", "check the disk"))
        stage(inbox, "look", "inbox", StorageError("cannot list", "check the disk"))
        before(os, "posix_fallocate", lambda *_: no_room())
        patch.setattr(NextFile, "take", taken)
        stage(Session, "sign_checkpoint", "signer", RuntimeError("the key does not answer"))
        stage(age, "encrypt", "encryption", defect)
        stage(secrets, "token_bytes", "random source", refused)
        stage(os, "urandom", "random source", refused)
        stage(X25519Recipient, "wrap", "recipient", KeyTrustError("the key takes part in no exchange"))
        stage(Sealer, "_announce", "seal leaf", EncryptionError("cannot be encrypted"))
        stage(PartMuxer, "push", "muxer", defect)
        stage(H264Encoder, "encode", "encoder", defect)
        stage(AacEncoder, "encode", "sound encoder", defect)
        stage(SoundTimeline, "feed", "resampler", defect)
        stage(TileStore, "flushing", "log tile", StorageError("cannot write a tile", "check the disk"))

        def renames(source: Any, *_: Any) -> None:
            if str(source).endswith(".tar"):
                gate.pass_by("closing", refused)

        before(os, "rename", renames)
        self._note_durable(patch)
        self._spoil(patch, SyntheticCamera, self._picture)
        self._spoil(patch, SyntheticMicrophone, self._sound)
        patch.setattr(choose, "_sound", lambda *_: Reviving("the twin", SyntheticMicrophone))
        patch.setattr("agent.officer.open_panel", self._open_panel)

    def _note_durable(self, patch: pytest.MonkeyPatch) -> None:
        append = Sealer._append

        def appended(*arguments: Any) -> int:
            index = append(*arguments)
            self.durable_s[index] = now_s()
            return index

        patch.setattr(Sealer, "_append", appended)

    def _open_panel(self, _: object) -> WatchedPanel:
        self.panel.is_down(Line.BUTTON)
        return self.panel

    @staticmethod
    def _spoil(patch: pytest.MonkeyPatch, kind: Any, spoiled: Callable[[Any], Any]) -> None:
        start = kind.start

        def started(source: Any, deliver: Callable[[Any], None], signal: Any) -> None:
            told: list[SourceSignal] = []

            def give(item: Any) -> None:
                given = spoiled(item)
                if isinstance(given, SourceSignal) and not told:
                    told.append(given)
                    signal(given)
                elif given is not None and not told:
                    deliver(given)

            start(source, give, signal)

        patch.setattr(kind, "start", started)

    def _picture(self, frame: VideoFrame) -> VideoFrame | SourceSignal | None:
        cause = self.gate.cause
        if cause == "lens fails":
            raise DeviceError("the lens reports an error", "check its cable")
        if cause == "lens ends":
            return SourceSignal(SignalKind.ENDED, frame.mono_ns, "no more pictures")
        if cause == "lens covered":
            dark = np.random.default_rng(frame.mono_ns).integers(16, 20, (frame.picture.height * 3 // 2, 320), np.uint8)
            return replace(frame, picture=av.VideoFrame.from_ndarray(dark, format="yuv420p"))
        if cause == "picture frozen":
            still = np.full((frame.picture.height * 3 // 2, 320), 128, np.uint8)
            still[: frame.picture.height // 2, ::7] = 30
            return replace(frame, picture=av.VideoFrame.from_ndarray(still, format="yuv420p"))
        return None if cause == "lens stalls" else frame

    def _sound(self, block: AudioBlock) -> AudioBlock | None:
        if self.gate.cause == "microphone fails":
            raise DeviceError("the microphone reports an error", "check its cable")
        # A twin's silence between beeps is no microphone's: it has no noise.
        noise = np.random.default_rng(block.mono_ns).integers(-3, 4, len(block.pcm) // 2, np.int16)
        heard = (np.frombuffer(block.pcm, "<i2") // 2 + noise).astype("<i2").tobytes()
        if self.gate.cause == "microphone deaf":
            heard = bytes(len(heard))
        return None if self.gate.cause == "microphone stalls" else replace(block, pcm=heard)

    def hang_loop(self) -> None:
        self.recorder._loop.post("recorder", lambda: self.gate.hang("loop hangs"))


@contextlib.contextmanager
def running(
    agency: AgencyPaths, root: Path, ready: bool = False, rotates: bool = False, **sections: Any
) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch, Running(agency, root, patch, ready, rotates, **sections) as made:
        yield made
