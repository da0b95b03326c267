"""Lens and microphone, taken as soon as they are there: at the start, and again after a loss."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.clock import Clock
from agent.controls.vigil import OPENS_AGAIN_NS
from agent.errors import DeviceError, reason
from agent.intake import INTAKE_FAULTS
from agent.journal import Faults
from agent.lens import Lens
from agent.loop import Loop
from agent.model import NS
from agent.status import Life

LOG = logging.getLogger("bodycam.reopening")
REOPEN_NS = 2 * NS
AGAIN_NS = OPENS_AGAIN_NS
AGAIN_READY_S = OPENS_AGAIN_NS / NS
"""A lens that is looked for again gets this long each time: commands wait for it."""


class Reopening:
    """In the loop's turn. `changed` is called when the state may have changed, `opened` after it when there are
    pictures again.
    """

    def __init__(
        self,
        clock: Clock,
        loop: Loop,
        faults: Faults,
        life: Life,
        lens: Lens,
        changed: Callable[[], None],
        opened: Callable[[], None],
    ) -> None:
        self._clock, self._loop, self._faults, self._life, self._lens = clock, loop, faults, life, lens
        self._changed, self._opened, self._at_ns = changed, opened, 0

    @property
    def due(self) -> bool:
        """A lens that was lost is to be looked for now."""
        return self._life.camera_lost and self._clock.monotonic_ns() >= self._at_ns

    def again(self) -> None:
        """Look for it, and if it is not there in two seconds once more."""
        self._loop.attempt("camera", self.open)
        self._at_ns = self._clock.monotonic_ns() + REOPEN_NS

    def open(self, ready_s: float = AGAIN_READY_S) -> None:
        """Whatever a driver says, it is no reason to leave."""
        try:
            self._lens.open(ready_s)
        except DeviceError as err:
            self._no_camera(f"{err.message}; {err.hint}")
            return
        except Exception as err:
            LOG.exception("the camera cannot be opened")
            self._no_camera(f"{type(err).__name__}: {reason(err)}")
            return
        self._life.camera_lost = self._life.source_ended = self._life.loading = False
        # What is still wrong, the new intake says again.
        for what in INTAKE_FAULTS:
            self._faults.cleared(what)
        self._changed()
        self._opened()

    def _no_camera(self, why: str) -> None:
        self._life.camera_lost = True
        # Where a leaf tells that it was lost, none is needed to tell that it still is.
        tell = self._faults.show if "camera" in self._faults else self._faults.raised
        tell("camera", why)
        self._changed()
