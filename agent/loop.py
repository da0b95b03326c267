"""The recorder's one thread that acts: what is asked of it and its own ticks take turns, and nothing that fails in
a turn ends it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from typing import Any

from agent.clock import Clock
from agent.errors import AgentError, DeviceError, NoRoomError, UnheardError, UsageError, reason
from agent.journal import Faults
from agent.model import NS
from agent.notify import Extension

LOG = logging.getLogger("bodycam.loop")
TICK_S = 0.25
ANSWER_S = 90.0
AGAIN_NS = 2 * NS
Action = Callable[[], object]
Asked = Callable[[], dict[str, Any]]


class Loop:
    """Runs actions in turn. What fails becomes the fault of the name it was given; a UsageError, or a
    NoRoomError, is only an answer."""

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self._faults, self._clock = faults, clock
        self._queue: queue.SimpleQueue[tuple[str, Action]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._ended: Future[None] = Future()
        self._extension = Extension()
        self._again_ns: dict[str, int] = {}
        self.busy_ns: int | None = None
        """Since when it has been in one turn; None between two. From any thread."""

    @contextmanager
    def busy(self) -> Iterator[None]:
        """What is done before `run` is one turn, too, for whoever watches."""
        self.busy_ns = self._clock.monotonic_ns()
        try:
            yield
        finally:
            self.busy_ns = None

    def gets_on(self, mono_ns: int) -> None:
        """In its turn: a piece of it is done, and it is judged from then on. Once `stop` was asked for, the supervisor
        hears of it, and waits for the end of the turn.
        """
        if self.busy_ns is not None:
            self.busy_ns = mono_ns
            if self._stop.is_set():
                self._extension.piece(mono_ns)

    def run(self, tick: Callable[[], None]) -> None:
        """Act until `stop` is called, once; `tick` four times a second, however much is asked in between."""
        tick_at = time.monotonic()
        try:
            while not self._stop.is_set():
                what, action = self._next(tick_at) or ("recorder", tick)
                self.busy_ns = self._clock.monotonic_ns()
                self.act(what, action)
                self.busy_ns = None
                if action is tick:
                    # After it: one that takes long must leave a turn to what is asked meanwhile.
                    tick_at = time.monotonic() + TICK_S
        finally:
            self._ended.set_result(None)

    def _next(self, tick_at: float) -> tuple[str, Action] | None:
        """What is asked before the tick is due; a queue that is never empty must not put it off."""
        wait_s = tick_at - time.monotonic()
        if wait_s <= 0:
            return None
        try:
            return self._queue.get(timeout=wait_s)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Ask `run` to return, at once; safe in a signal handler, as SimpleQueue.put is."""
        self._stop.set()
        self.post("stop", lambda: None)

    def post(self, what: str, action: Action) -> None:
        """From any thread: `action` in the loop's turn."""
        self._queue.put((what, action))

    def ask(self, what: str, action: Asked) -> dict[str, Any]:
        """From any other thread: as `post`, and wait for what it returns or raises. Raises UnheardError where its turn
        does not come within 90 s, or before the loop ends, and then never does; DeviceError where it came and is not
        over.
        """
        result = self._waited(what, action)
        if result.done():
            return result.result()
        if not result.cancel():
            raise _not_done()
        told = f"the recorder did not act within {ANSWER_S:g} s, and will not: this command is cancelled"
        raise _ends() if self._stop.is_set() else UnheardError(told, "look at `ctl status`, then give it again")

    def wait(self, what: str, action: Asked) -> dict[str, Any]:
        """As `ask`, of what follows from something that is done: its turn comes also where nobody waits for it any
        more, unless the loop ends before. Raises DeviceError where it is not over within 90 s.
        """
        result = self._waited(what, action)
        if result.done():
            return result.result()
        raise _ends() if self._stop.is_set() else _not_done()

    def hears(self) -> None:
        """Raises UnheardError from `stop` on: what is asked for then has no turn."""
        if self._stop.is_set():
            raise _ends()

    def _waited(self, what: str, action: Asked) -> Future[dict[str, Any]]:
        """For 90 s, or until the loop ends. Raises UnheardError where it was told to already."""
        self.hears()
        result = self._posted(what, action)
        either: tuple[Future[Any], ...] = result, self._ended
        wait(either, ANSWER_S, FIRST_COMPLETED)
        return result

    def _posted(self, what: str, action: Asked) -> Future[dict[str, Any]]:
        result: Future[dict[str, Any]] = Future()

        def turn() -> None:
            if not result.set_running_or_notify_cancel():
                # Whoever asked was told that nothing was done.
                return
            try:
                result.set_result(action())
            except BaseException as err:
                result.set_exception(err)
                raise

        self.post(what, turn)
        return result

    def act(self, what: str, action: Action) -> bool:
        """`action`; where it fails, that is the fault `what`, which its next success clears. False where it failed."""
        done = self.attempt(what, action)
        if done:
            self._faults.cleared(what)
        return done

    def attempt(self, what: str, action: Action) -> bool:
        """As `act`, where a success proves nothing about a fault that is there."""
        try:
            action()
        except (UsageError, NoRoomError):
            return False
        except Exception as err:
            self.failed(what, err)
            return False
        return True

    def failed(self, what: str, err: Exception) -> None:
        """As the fault `what`. Raises nothing."""
        try:
            if isinstance(err, AgentError):
                self._faults.raised(what, err.message)
                return
            # A defect of ours, or a driver's. The camera goes on with whatever else it does.
            LOG.exception("%s failed", what)
            self._faults.raised(what, f"{type(err).__name__}: {reason(err)}")
        except Exception:
            LOG.exception("the fault %s cannot be told", what)

    def step(self, what: str, action: Action) -> bool:
        """As `act`, from a tick: after a failure it rests for two seconds. False where it failed or rests."""
        now = self._clock.monotonic_ns()
        if now < self._again_ns.get(what, 0):
            return False
        done = self.act(what, action)
        if not done:
            self._again_ns[what] = now + AGAIN_NS
        return done


def _ends() -> UnheardError:
    told = "the recorder is stopping, and does nothing more that is asked of it"
    return UnheardError(told, "give it again once it has started again")


def _not_done() -> DeviceError:
    told = f"the recorder is not done after {ANSWER_S:g} s, and goes on with it"
    return DeviceError(told, "look at `ctl status`")
