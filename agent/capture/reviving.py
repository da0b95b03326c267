"""A microphone that may be missing, fall silent or be unplugged, and is taken back when it is there again.

The picture never waits for it: where no sound comes, whoever receives it records silence and says so. Nothing in here
waits for a device without a deadline. No second stream is opened while the first may yet be let go of; one that hangs
in that is left to its own thread, and the device tried beside it. Where the driver shares it that goes well; else it is
busy, and only another process gets it back. PortAudio takes a stream off its list before it closes it, and counts who
uses it, so the one that hangs and what is opened beside it do not meet (pa_front.c, Pa_CloseStream and Pa_Terminate).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.capture.base import AudioSource, DeliverSound, Signal, SourceSignal, monotonic_ns
from agent.errors import AgentError, reason
from agent.model import NS, AudioBlock

LOG = logging.getLogger("bodycam.microphone")
STALL_NS = 3 * NS // 2
"""So long without a block, and the stream is given up."""
LOOK_S = 0.25
AGAIN_NS = 2 * NS
LET_GO_S = 1.0
LEAVE_NS = 5 * NS
"""So long a stream may take to be closed before the device is opened beside it."""
MOST_LEFT = 3
"""So many that hang, each with its thread, and no other is opened."""
START_S = 1.0

RESTART = "if it stays so: systemctl restart bodycam-recorder"


class Reviving:
    """An AudioSource over sources that `make` gives, one after another: what AudioSource promises, except that `start`
    raises nothing. `name` says what is wrong while no stream is open.
    """

    live = True

    def __init__(self, name: str, make: Callable[[], AudioSource]) -> None:
        self._wanted, self._make = name, make
        self._source: AudioSource | None = None
        self._closing: list[_Closing] = []
        self._trouble = self._noted = ""
        self._dropped = 0
        self._heard_ns, self._gone = 0, False
        self._turn = object()
        self._end, self._tried = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="microphone", daemon=True)

    @property
    def name(self) -> str:
        source = self._source
        if source:
            return source.name
        return f"{self._wanted} ({self._trouble})" if self._trouble else self._wanted

    @property
    def dropped_blocks(self) -> int:
        source = self._source
        return self._dropped + (source.dropped_blocks if source else 0)

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        """Open it if it is there, and look after it from now on; a device that hangs in that is not waited for longer
        than a second. `signal` is never called: a microphone that is gone may come back.
        """
        self._deliver = deliver
        self._thread.start()
        self._tried.wait(START_S)

    def stop(self, deadline_s: float = 2.0) -> bool:
        self._end.set()
        self._turn = object()
        if self._thread.is_alive():
            self._thread.join(deadline_s)
        if self._thread.is_alive():
            return False
        self._close(monotonic_ns(), wait_s=0)
        return not self._closing

    def _open(self) -> None:
        turn = self._turn = object()

        def heard(block: AudioBlock) -> None:
            # What a stream that was given up still says would come twice.
            if turn is self._turn:
                self._heard_ns = monotonic_ns()
                self._deliver(block)

        def gone(_: SourceSignal) -> None:
            if turn is self._turn:
                self._gone = True

        self._heard_ns, self._gone = monotonic_ns(), False
        try:
            source = self._make()
            source.start(heard, gone)
        except Exception as err:
            self._turn = object()
            self._trouble = err.message if isinstance(err, AgentError) else f"{type(err).__name__}: {reason(err)}"
            if self._closing:
                self._trouble += f"; its driver does not let go of it: {RESTART}"
            if self._trouble != self._noted:
                # Not each time that it is tried: one that nobody plugs in is for a whole shift.
                self._noted = self._trouble
                LOG.warning("%s: %s", self._wanted, self._trouble)
            return
        self._source, self._trouble, self._noted = source, "", ""

    def _run(self) -> None:
        """Opening and closing are this thread's alone: what it was opening when it was told to end, it closes."""
        self._trouble = "it does not answer"
        self._open()
        self._tried.set()
        self._look_after()
        if self._source:
            self._closing.append(_Closing(self._source, monotonic_ns()))
            self._source = None
        self._close(monotonic_ns())

    def _look_after(self) -> None:
        tried_ns = monotonic_ns()
        while not self._end.wait(LOOK_S):
            now = monotonic_ns()
            source = self._source
            if source and (self._gone or now - self._heard_ns > STALL_NS):
                LOG.warning("%s gives no sound; it is closed and taken back as soon as it can be", source.name)
                self._give_up(source, now)
            self._close(now)
            if not self._source and self._may_open and now - tried_ns >= AGAIN_NS:
                tried_ns = now
                self._open()

    def _give_up(self, source: AudioSource, now_ns: int) -> None:
        self._turn = object()
        self._dropped += source.dropped_blocks
        self._closing.append(_Closing(source, now_ns))
        self._source, self._trouble = None, "it gives no sound"

    def _close(self, now_ns: int, wait_s: float | None = None) -> None:
        wait_s = LET_GO_S if wait_s is None else wait_s
        self._closing = [c for c in self._closing if not c.source.stop(0 if c.left else wait_s)]
        for closing in self._closing:
            if not closing.left and now_ns - closing.since_ns > LEAVE_NS:
                closing.left = True
                self._trouble = f"its driver does not let go of it; {RESTART}"
                LOG.error("%s: %s", self._wanted, self._trouble)

    @property
    def _may_open(self) -> bool:
        return len(self._closing) < MOST_LEFT and all(closing.left for closing in self._closing)


@dataclass(slots=True)
class _Closing:
    """A stream that was given up, when, and whether it is waited for no longer."""

    source: AudioSource
    since_ns: int
    left: bool = False
