"""A gauge may hang on its bus: whoever asks waits a moment, and no more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from agent.errors import DeviceError, reason

LOG = logging.getLogger("bodycam.power")
T = TypeVar("T")
MOMENT_S = 0.2
HANGS_S = 15.0


class Patient(Generic[T]):
    """`read` in a thread of its own. Where it takes longer than a moment, what it told last stands until it answers, or
    until it has not done so for 15 s: then DeviceError. One that hangs is not asked a second time.
    """

    def __init__(self, read: Callable[[], T | None], what: str) -> None:
        self._read, self._what = read, what
        self._last: T | None = None
        self._error: DeviceError | None = None
        self._asked_s = 0.0
        self._thread: threading.Thread | None = None

    def read(self) -> T | None:
        """See BatteryGauge and Thermometer."""
        if self._thread is None:
            self._asked_s = time.monotonic()
            self._thread = threading.Thread(target=self._ask, name="power", daemon=True)
            self._thread.start()
        self._thread.join(MOMENT_S)
        if not self._thread.is_alive():
            self._thread = None
        elif time.monotonic() - self._asked_s > HANGS_S:
            raise DeviceError(f"{self._what} does not answer", "check its bus, or set it to none in [power]")
        if self._error:
            raise self._error
        return self._last

    def _ask(self) -> None:
        try:
            self._last, self._error = self._read(), None
        except DeviceError as err:
            self._last, self._error = None, err
        except Exception as err:
            LOG.exception("%s", self._what)
            self._last, self._error = None, DeviceError(f"{self._what}: {type(err).__name__}: {reason(err)}")
