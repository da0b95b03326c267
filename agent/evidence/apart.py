"""Work on processes of its own: where much of it is the interpreter's, threads wait for each other's lock, and two
cores do little more than one.

Each process is a copy of this one (fork(2)), so that keys reach it through memory and nowhere else. It does every n-th
job and tells its results through a pipe, whose few pages bound how far it runs ahead.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from agent.evidence.ahead import THREADS, in_order
from agent.hardening import harden

T = TypeVar("T")
_STATM, _TASKS = Path("/proc/self/statm"), Path("/proc/self/task")
ENDING_S = 0.5
"""So long may a thread that was joined take until the kernel knows it no more: Python 3.11 waits for less."""


def apart(jobs: Sequence[Callable[[], T]], worthwhile: bool = True) -> Iterator[T]:
    """The results of `jobs`, in their order; they must be picklable. What a job raises is raised in its place.

    On threads, with the same results, where a process costs more than it gains (not `worthwhile`), where this machine
    has no fork(2), or where other threads run, whose locks a copy would inherit, with nobody to let go of them.
    """
    workers = min(THREADS, len(jobs))
    if not worthwhile or workers < 2 or not hasattr(os, "fork") or not _is_alone():
        yield from in_order(jobs)
        return
    crew: list[_Worker] = []
    try:
        for number in range(workers):
            _begin(jobs[number::workers], crew)
        for number in range(len(jobs)):
            yield _take(crew[number % workers])
    finally:
        for worker in crew:
            worker.end()


def confined(job: Callable[[], T], more_bytes: int) -> T:
    """The result of `job`, in a process of its own that may take so much more memory than this one has: for a library
    that believes what a stranger's file says of its size. What it raises is raised here too.

    Raises MemoryError where it took more, or ended before it told its result. In this process, without a bound, where
    `apart` would take threads, or the system has no /proc (macOS).
    """
    if not hasattr(os, "fork") or not _STATM.exists() or not _is_alone():
        return job()
    crew: list[_Worker] = []
    try:
        _begin([partial(_bounded, job, more_bytes)], crew)
        result: T = _take(crew[0])
        return result
    except _Ended as err:
        raise MemoryError(f"it took more than {more_bytes >> 20} MiB, or was ended") from err
    finally:
        for worker in crew:
            # It writes nothing that would have to be put away, and a library that hangs hears nothing else.
            worker.end(signal.SIGKILL)


def _is_alone() -> bool:
    """Whether this thread is the only one, counting those that a library began by itself (a decoder's), of which Python
    does not know.
    """
    if threading.active_count() > 1:
        return False
    end = time.monotonic() + ENDING_S
    while _TASKS.exists() and len(os.listdir(_TASKS)) > 1:
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def _bounded(job: Callable[[], T], more_bytes: int) -> T:
    limit = int(_STATM.read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE") + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    return job()


class _Ended(RuntimeError):
    """A process that ended before it told its results."""


@dataclass
class _Worker:
    """One copy of this process, and the end of the pipe that it tells its results through."""

    pid: int
    told: BinaryIO

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """Whoever has results left finds nobody to read them, and whoever is at work is interrupted."""
        self.told.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, how)
        os.waitpid(self.pid, 0)


def _begin(jobs: Sequence[Callable[[], object]], crew: list[_Worker]) -> None:
    """One more in `crew`, at work on `jobs`."""
    read, write = os.pipe()
    # An interrupt waits until the copy has its own handler, so that it does not run this process's code a second time,
    # and until `crew` names the copy, so that somebody ends it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pid = os.fork()
        if not pid:
            _work(jobs, read, write, crew, before)
        crew.append(_Worker(pid, os.fdopen(read, "rb")))
        os.close(write)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(
    jobs: Sequence[Callable[[], object]], read: int, write: int, others: Sequence[_Worker], mask: set[int]
) -> NoReturn:
    """In the copy: never back into what called this, and nothing that stands in buffers is written twice."""
    try:
        signal.signal(signal.SIGINT, _once)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # A lock on memory is not handed down by fork(2).
        harden()
        os.close(read)
        for other in others:
            other.told.close()
        with os.fdopen(write, "wb") as tell:
            for job in jobs:
                tell.write(_outcome(job))
                tell.flush()
    except BaseException:
        # Nobody is left to tell: whoever reads the pipe finds its end.
        os._exit(1)
    os._exit(0)


def _once(*_: object) -> None:
    """What is half written is put away; no second interrupt gets in between."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _outcome(job: Callable[[], object]) -> bytes:
    try:
        return pickle.dumps((job(), None))
    except Exception as err:
        return pickle.dumps((None, err))


def _take(worker: _Worker) -> Any:
    try:
        result, error = pickle.load(worker.told)
    except EOFError:
        raise _Ended(
            f"process {worker.pid}, which did a part of the work, ended early: the system's log may say why"
        ) from None
    if error is not None:
        raise error
    return result
