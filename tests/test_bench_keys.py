"""Keys typed at the bench, on a terminal of its own; and none where there is none."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from agent.bench_keys import GESTURES, Keys, keys
from agent.controls.gestures import Gesture

CHILD = """
import sys, time
from agent.bench_keys import keys
with keys() as hands:
    print("there" if hands.there else "none", flush=True)
    found, end = [], time.monotonic() + 20
    while len(found) < 4 and time.monotonic() < end:
        found += hands.gestures()
        time.sleep(0.01)
print(*found, flush=True)
"""


def run_on(terminal: int) -> subprocess.Popen[bytes]:
    tree = Path(__file__).resolve().parent.parent

    def lead() -> None:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    return subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=terminal, stdout=subprocess.PIPE, cwd=tree, preexec_fn=lead
    )


def test_keys_are_what_a_hand_does() -> None:
    assert set(GESTURES.values()) == {gesture.value for gesture in Gesture}
    master, slave = pty.openpty()
    with run_on(slave) as child:
        assert child.stdout
        assert child.stdout.readline() == b"there\n"
        os.write(master, b" xd\nhl")
        assert child.stdout.readline() == b"press double hold long\n"
        assert child.wait(20) == 0
    os.close(slave)
    os.close(master)


def test_what_is_no_terminal_types_nothing(tmp_path: Path) -> None:
    for stream in (io.StringIO("dh"), (tmp_path / "file").open("w+")):
        with stream, keys(stream) as hands:
            assert not hands.there and hands.gestures() == []


def test_a_terminal_that_hangs_up_types_no_more() -> None:
    master, slave = pty.openpty()
    hands = Keys(slave)
    os.write(master, b"d\n")
    assert hands.gestures() == ["double"]
    os.close(master)
    assert hands.gestures() == [] and not hands.there
    os.close(slave)
