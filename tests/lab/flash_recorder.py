"""`bodycam-agent` as it is, whose twin of a lens shows what flasher.py told of its light: started in place of `agent`.

The file that it tells to is named by the environment, LIGHT: one line for each picture, CLOCK_MONOTONIC ns and 1 where
it is lit.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

from agent import cli
from agent.capture import choose
from agent.capture.base import DeliverFrame, Signal
from agent.model import NS, VideoFrame

LIGHT = "BODYCAM_TEST_LIGHT"
_LOOK_S = 0.002
_OLD_NS = NS // 5


class OutsideCamera:
    """Pictures as another process stamps them, grey or white; a moving edge, so that no two are alike."""

    live, name, fps, dropped_frames, doubtful_frames = True, "the light outside", 30.0, 0, 0

    def __init__(self, *_: Any) -> None:
        self._end = threading.Event()

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        self._deliver = deliver
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        self._end.set()
        return True

    def _run(self) -> None:
        number, line = 0, ""
        with Path(os.environ[LIGHT]).open(encoding="ascii") as told:
            while not self._end.is_set():
                line += told.readline()
                if not line.endswith("\n"):
                    self._end.wait(_LOOK_S)
                    continue
                (mono_ns, lit), line = map(int, line.split()), ""
                if time.monotonic_ns() - mono_ns > _OLD_NS and not number:
                    continue
                self._deliver(VideoFrame(mono_ns, number, self._show(bool(lit), number)))
                number += 1

    @staticmethod
    def _show(lit: bool, number: int) -> av.VideoFrame:
        picture = np.full((360, 320), 128, np.uint8)
        picture[:240] = 235 if lit else 40
        picture[200:240, : 8 + number % 300] = 120
        return av.VideoFrame.from_ndarray(picture, format="yuv420p")


if __name__ == "__main__":
    vars(choose)["SyntheticCamera"] = OutsideCamera
    sys.exit(cli.agent_main(sys.argv[1:]))
