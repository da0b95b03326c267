"""Work on processes of its own keeps its order, its bound, its errors and its ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.evidence import apart as module
from agent.evidence.apart import apart
from agent.evidence.decrypt import decrypt
from agent.evidence.sources import collect
from tests.builders import agency, simple_camera


@pytest.fixture(autouse=True)
def _two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "THREADS", 2)


def _children() -> set[int]:
    here = f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children"
    return {int(pid) for pid in Path(here).read_text("ascii").split()}


def test_results_come_in_the_order_of_their_jobs_and_from_two_other_processes() -> None:
    def job(number: int) -> tuple[int, int]:
        return number, os.getpid()

    results = list(apart([partial(job, n) for n in range(50)]))
    assert [number for number, _ in results] == list(range(50))
    assert len({pid for _, pid in results} - {os.getpid()}) == 2


@pytest.mark.parametrize("worthwhile", [True, False])
def test_what_a_job_raises_is_raised_in_its_place_with_all_it_says(worthwhile: bool) -> None:
    def job(number: int) -> int:
        if number == 2:
            raise StorageError("the disk is full", "make room")
        return number

    results = apart([partial(job, n) for n in range(9)], worthwhile)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(StorageError, match="the disk is full") as told:
        next(results)
    assert told.value.hint == "make room"


def test_no_process_is_left_where_the_results_are_not_taken() -> None:
    before = _children()
    results = apart([partial(bytes, 1 << 20) for _ in range(64)])
    next(results)
    assert len(_children() - before) == 2
    results.close()  # type: ignore[attr-defined]
    assert _children() == before


def test_a_process_that_is_killed_ends_the_work_with_words() -> None:
    def job(number: int) -> int:
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    results = apart([partial(job, n) for n in range(9)])
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="ended early"):
        next(results)


def test_where_other_threads_run_no_process_is_copied() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert set(apart([os.getpid] * 4)) == {os.getpid()}
    finally:
        done.set()
        thread.join()


def test_segments_are_decrypted_by_processes_as_by_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = collect([*simple_camera().write(tmp_path / "seg")]).segments
    assert len(segments) > 1
    written: dict[int, dict[str, bytes]] = {}
    for least in (0, 1 << 40):
        monkeypatch.setattr("agent.evidence.decrypt.MUCH_BYTES", least)
        out = tmp_path / str(least)
        done = decrypt(segments, [agency().identity], out)
        assert done.failures == []
        written[least] = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        assert sorted(done.files) == sorted(written[least])
    assert written[0] == written[1 << 40]


INTERRUPTED = """
import os, sys, time
from pathlib import Path
from agent.durable import write_copy
from agent.evidence import apart as module

def job():
    real = os.rename
    def late(*names):
        Path(sys.argv[1], "at-work-" + str(os.getpid())).touch()
        time.sleep(60)
        real(*names)
    os.rename = late
    write_copy(Path(sys.argv[1], "plain"), b"half of it")

module.THREADS = 2
list(module.apart([job] * 4))
"""


def test_an_interrupt_leaves_no_process_and_nothing_half_written(tmp_path: Path) -> None:
    """As a terminal does it: the whole process group gets the signal."""
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    _until(lambda: len(list(tmp_path.glob("at-work-*"))) == 2)
    workers = [int(p.name.removeprefix("at-work-")) for p in tmp_path.glob("at-work-*")]
    assert len(list(tmp_path.glob(".plain.*"))) == 2
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) != 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert list(tmp_path.glob(".plain.*")) == []


def _until(true: Callable[[], bool], deadline_s: float = 60) -> None:
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
