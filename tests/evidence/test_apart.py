"""Work on processes of its own keeps its order, its bound, its errors and its ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.evidence.apart import apart
from tests.builders import agency, simple_camera
from tests.evidence.apart_child import CASES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("case", CASES)
def test_on_processes(case: str) -> None:
    command = [sys.executable, "-m", "tests.evidence.apart_child", case]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout == "done\n", done.stderr


def test_where_other_threads_run_no_process_is_copied() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert set(apart([os.getpid] * 4)) == {os.getpid()}
    finally:
        done.set()
        thread.join()


CONFINED = """
import os, resource, signal, time
from agent.evidence.apart import confined

def refused(job, *words):
    try:
        confined(job, 64 << 20)
    except MemoryError as err:
        return str(err)

def hangs():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    print(os.getpid(), flush=True)
    time.sleep(600)

# Also where whoever runs the tests has SIGINT ignored, as a shell has for what it starts in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
assert confined(lambda: 5, 64 << 20) == 5
assert refused(lambda: len(bytes(1 << 30))) is not None
assert "or was ended" in refused(lambda: os.kill(os.getpid(), signal.SIGSEGV))
soft, hard = 3 << 30, 3 << 30
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
assert confined(lambda: resource.getrlimit(resource.RLIMIT_AS), 8 << 30) == (hard, hard)
try:
    confined(hangs, 64 << 20)
except KeyboardInterrupt:
    print("left")
"""


def test_a_process_with_a_bound_tells_its_result_or_is_ended() -> None:
    """Also where it is deaf to an interrupt, and where the user has a limit of their own."""
    with subprocess.Popen([sys.executable, "-c", CONFINED], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "left\n"
        assert process.wait(30) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


AT_ONCE = """
import os, signal, time
from agent.evidence import apart as module

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
real = os.fork
def interrupted():
    pid = real()
    if pid:
        print(pid, flush=True)
        os.kill(os.getpid(), signal.SIGINT)
    return pid
os.fork = interrupted

for begin in (lambda: module.confined(lambda: time.sleep(600), 64 << 20), lambda: list(module.apart([time.sleep] * 2))):
    try:
        begin()
    except KeyboardInterrupt:
        print("left", flush=True)
"""


def test_an_interrupt_as_soon_as_a_process_is_there_ends_that_too() -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, cwd=ROOT, timeout=60)
    first, left, second, also_left = done.stdout.split()
    assert (left, also_left, done.returncode) == ("left", "left", 0)
    for child in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(int(child), 0)


DECRYPTED = """
import sys
from pathlib import Path
from agent.evidence import apart, decrypt
from agent.evidence.opening import load_identities
from agent.evidence.sources import collect

apart.THREADS = 2
decrypt.MUCH_BYTES = int(sys.argv[1])
done = decrypt.decrypt(collect([Path(sys.argv[2])]).segments, load_identities(Path(sys.argv[3])), Path(sys.argv[4]))
assert done.failures == [], done.failures
print(sorted(done.files))
"""


def test_segments_are_decrypted_by_processes_as_by_threads(tmp_path: Path) -> None:
    simple_camera().write(tmp_path / "seg")
    key = tmp_path / "agency.agekey"
    key.write_text(agency().identity.to_string() + "\n")
    written, told = [], []
    for least in (0, 1 << 40):
        out = tmp_path / str(least)
        command = [sys.executable, "-c", DECRYPTED, str(least), str(tmp_path / "seg"), str(key), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
        written.append({str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert len(written[0]) > 1
    assert (written[0], told[0]) == (written[1], told[1])


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
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert list(tmp_path.glob(".plain.*")) == []


def _until(true: Callable[[], bool], deadline_s: float = 60) -> None:
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
