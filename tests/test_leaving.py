"""A file system that the kernel gave up under a recorder that runs: it ends, so that the disk can be mounted anew, and
nothing that was recorded, pressed or found wrong is forgotten. tests/vm/test_vm_faults.py has it on a real ext4.
"""

from __future__ import annotations

import errno
import os

import pytest

from agent import takes
from agent.errors import StorageError
from agent.journal import Refusal
from agent.leaving import ANEW_NS, READ_ONLY_NS, given_up
from agent.model import NS
from agent.recording import Recording
from agent.resume import FAULT
from agent.status import State
from tests.recorder_desk import Camera
from tests.test_no_disk import said
from tests.test_recorder import refuse
from tests.test_resume import Lives, lives, starts
from tests.test_uploader import until

__all__ = ["lives"]

S = 4
"""Ticks."""


def leaves(camera: Camera) -> bool:
    return camera.recorder._loop._stop.is_set()


def gives_up(patch: pytest.MonkeyPatch, error: int) -> None:
    """The file system takes nothing, and a look at it shows that."""

    def look(*_: object) -> None:
        raise StorageError("cannot write")

    patch.setattr("agent.sealing.settings.SealerSettings.check_writable", look)
    refuse(patch, "fdatasync", "/open/", error=error)


def a_part_waits(camera: Camera) -> Recording:
    recording = camera.recorder._life.recording
    assert recording
    camera.muxers[-1].give(1)
    until("the disk refuses a part", lambda: recording.progress().refused is not None)
    return recording


def refusal(cause: BaseException | None) -> Refusal:
    error = StorageError("cannot write")
    error.__cause__ = cause
    return Refusal(7 * NS, error)


@pytest.mark.parametrize(
    ("cause", "after_ns"),
    [
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), READ_ONLY_NS),
        (OSError(errno.EIO, os.strerror(errno.EIO)), ANEW_NS),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), None),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), None),
        (ValueError("no key"), None),
        (None, None),
    ],
    ids=["read-only", "fails", "full", "its quota is full", "of a key", "of no cause"],
)
def test_when_to_stay_would_not_help(cause: BaseException | None, after_ns: int | None) -> None:
    told = refusal(cause)
    if after_ns is None:
        assert not given_up(told, told.since_ns + 3600 * NS)
    else:
        assert given_up(told, told.since_ns + after_ns)
        assert not given_up(told, told.since_ns + after_ns - 1)
    assert not given_up(None, 3600 * NS)


@pytest.mark.parametrize(("error", "seconds"), [(errno.EROFS, 10), (errno.EIO, 60)], ids=["read-only", "fails"])
def test_what_was_recorded_goes_on_in_the_next_life_and_the_log_says_why(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, error: int, seconds: int
) -> None:
    camera = lives.begin()
    cut = lives.record()
    found_ns = lives.clock.now_ns
    with monkeypatch.context() as patch:
        gives_up(patch, error)
        a_part_waits(camera)
        # That it is sealed is waited for before time goes on, else.
        patch.setattr(camera, "until_sealed", lambda: None)
        camera.ticks(S * (seconds - 3))
        assert not leaves(camera) and "storage" in camera.faults()
        camera.ticks(S * 6)
        assert leaves(camera)
        with pytest.raises(StorageError, match="cannot write"):
            camera.recorder.run()
        # Nobody is left who would write to what is mounted no more.
        camera.recorder.close()
    again = lives.begin()
    again.ticks(S)
    assert again.is_(State.RECORDING) and cut in again.faults()[FAULT] and "storage" not in again.faults()
    again.recorder.close()
    _, two = starts(again)
    assert (two["trigger"], two["continues"]) == ("continued", cut)
    (told,) = (body for body in said(again, "fault") if body["what"] == "storage")
    assert told["late"] and 0 <= told["mono_ns"] - found_ns < NS
    assert "storage" in {body["what"] for body in said(again, "cleared")}


def test_what_waits_in_memory_is_let_go_and_nothing_is_written_from_then_on(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the disk takes it just then: what is mounted anew would be written to beneath another recorder."""
    camera = lives.begin()
    lives.record()
    recorder, spool = camera.recorder, camera.recorder._config.spool.dir
    with monkeypatch.context() as patch:
        gives_up(patch, errno.EROFS)
        recording = a_part_waits(camera)
        recorder._loop.act("recorder", recorder._tick)
        lives.clock.now_ns += READ_ONLY_NS
        recorder._leave()
        assert leaves(camera)
    before = {path: path.read_bytes() for path in spool.rglob("*") if path.is_file()}
    recorder.close()
    assert {path: path.read_bytes() for path in spool.rglob("*") if path.is_file()} == before
    assert not recording._thread.is_alive()


def test_a_press_while_it_leaves_waits_for_the_next_life(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = lives.begin()
    with monkeypatch.context() as patch:
        gives_up(patch, errno.EROFS)
        camera.ticks(S * 13)
        assert leaves(camera)
        assert camera.recorder._answer({"do": "press"})["does"] == ["later"]
        camera.recorder.close()
    again = lives.begin()
    again.turns(1)
    assert again.is_(State.RECORDING)
    again.recorder.close()


def test_one_that_was_stopped_does_not_go_on(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = lives.begin()
    lives.record()
    with monkeypatch.context() as patch:
        gives_up(patch, errno.EROFS)
        patch.setattr(takes, "FINISH_S", 0.5)
        camera.recorder._stop("ctl")
        camera.ticks(S * 13)
        assert leaves(camera)
        camera.recorder.close()
    again = lives.begin()
    again.ticks(S)
    assert again.is_(State.READY)
    again.recorder.close()


def test_one_that_takes_again_in_time_stays(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = lives.begin()
    for _ in range(3):
        with monkeypatch.context() as patch:
            gives_up(patch, errno.EROFS)
            camera.ticks(S * 7)
            assert "log" in camera.faults()
        camera.ticks(S * 62)
        assert not leaves(camera) and camera.is_(State.READY)
    camera.recorder.close()
