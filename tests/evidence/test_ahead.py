"""Work on threads keeps its order, its bound and its errors."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from agent.evidence.ahead import alongside, in_order, keep_memory


def test_results_come_in_the_order_of_their_jobs() -> None:
    first_may_end = threading.Event()

    def job(number: int) -> int:
        if number == 0:
            assert first_may_end.wait(60)
        elif number == 1:
            first_may_end.set()
        return number

    assert list(in_order([partial(job, n) for n in range(50)], threads=2)) == list(range(50))


def test_no_more_jobs_are_begun_than_a_few_ahead_of_what_is_taken() -> None:
    begun: list[int] = []
    results = in_order((partial(begun.append, n) for n in range(100)), threads=2)
    next(results)
    assert len(begun) <= 4
    assert len(list(results)) == 99


def test_what_a_job_raises_is_raised_in_its_place() -> None:
    def job(number: int) -> int:
        if number == 2:
            raise ValueError("the third")
        return number

    results = in_order([partial(job, n) for n in range(9)], threads=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)


@pytest.mark.parametrize("worthwhile", [True, False])
def test_what_runs_alongside_is_waited_for(worthwhile: bool) -> None:
    with alongside(threading.get_ident, worthwhile) as result:
        assert (result() != threading.get_ident()) == worthwhile
    with pytest.raises(ZeroDivisionError), alongside(lambda: 1 // 0, worthwhile) as failed:
        failed()


def test_memory_can_be_kept_wherever_it_runs() -> None:
    keep_memory()
