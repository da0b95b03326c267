"""What work on processes does, each case in a process of its own: pytest's has threads of other tests, with which
nothing is copied, and a job that kills its process must not kill that.

    python -m tests.evidence.apart_child CASE
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agent.errors import StorageError
from agent.evidence import apart as module
from agent.evidence.ahead import alongside
from agent.evidence.apart import apart


def children() -> set[int]:
    here = f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children"
    return {int(pid) for pid in Path(here).read_text("ascii").split()}


def numbered(number: int) -> tuple[int, int]:
    return number, os.getpid()


def results_come_in_the_order_of_their_jobs_and_from_two_other_processes() -> None:
    results = list(apart([partial(numbered, n) for n in range(50)]))
    assert [number for number, _ in results] == list(range(50))
    assert len({pid for _, pid in results} - {os.getpid()}) == 2


def where_a_thread_runs_that_python_does_not_count_no_process_is_copied() -> None:
    """As a decoder's do: a lock that it holds would stay held in the copy for ever."""
    lock = threading.Lock()
    lock.acquire()
    _thread.start_new_thread(lock.acquire, ())
    assert threading.active_count() == 1 < len(os.listdir("/proc/self/task"))
    assert set(apart([os.getpid] * 4)) == {os.getpid()} == {module.confined(os.getpid, 64 << 20)}
    lock.release()


def a_thread_that_was_joined_is_waited_for() -> None:
    for _ in range(5):
        with alongside(os.getpid) as result:
            result()
        assert module.confined(os.getpid, 64 << 20) != os.getpid()


def what_a_job_raises_is_raised_in_its_place_with_all_it_says() -> None:
    def job(number: int) -> int:
        if number == 2:
            raise StorageError("the disk is full", "make room")
        return number

    for worthwhile in (True, False):
        results = apart([partial(job, n) for n in range(9)], worthwhile)
        assert [next(results), next(results)] == [0, 1]
        try:
            next(results)
        except StorageError as told:
            assert (told.message, told.hint) == ("the disk is full", "make room")
        else:
            raise AssertionError("nothing was raised")


def no_process_is_left_where_the_results_are_not_taken() -> None:
    results = apart([partial(bytes, 1 << 20) for _ in range(64)])
    next(results)
    assert len(children()) == 2
    results.close()  # type: ignore[attr-defined]
    assert children() == set()


def a_process_that_is_killed_ends_the_work_with_words() -> None:
    def job(number: int) -> int:
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    results = apart([partial(job, n) for n in range(9)])
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    try:
        next(results)
    except RuntimeError as told:
        assert "ended early" in str(told)
    else:
        raise AssertionError("nothing was raised")


CASES: dict[str, Callable[[], None]] = {
    case.__name__: case
    for case in (
        results_come_in_the_order_of_their_jobs_and_from_two_other_processes,
        what_a_job_raises_is_raised_in_its_place_with_all_it_says,
        no_process_is_left_where_the_results_are_not_taken,
        a_process_that_is_killed_ends_the_work_with_words,
        where_a_thread_runs_that_python_does_not_count_no_process_is_copied,
        a_thread_that_was_joined_is_waited_for,
    )
}

if __name__ == "__main__":
    setattr(module, "THREADS", 2)  # noqa: B010 - imported there, and not exported
    CASES[sys.argv[1]]()
    print("done")
