"""A file system that the kernel gave up under a recorder that runs: it ends, so that the disk can be mounted anew, and
nothing that was recorded, pressed or found wrong is forgotten. tests/vm/test_vm_faults.py has it on a real ext4.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import takes
from agent.errors import EncryptionError, StorageError
from agent.eventbody import MAX_TEXT
from agent.events import Actor
from agent.journal import MAX_MARKS
from agent.leaving import DATA, GIVEN_UP_NS, Look, Refusal, refusal_of
from agent.model import NS
from agent.mounts import Mounts
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
"""Ticks of a second."""
BEGINS = Look.__init__


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data have a disk of their own, and the system's gives its blocks; it is known at once."""

    def at_once(look: Look, spool: Path, at_ns: int) -> None:
        look.at_ns, look.helps = at_ns, True

    monkeypatch.setattr(Look, "__init__", at_once)


def leaves(camera: Camera) -> bool:
    return camera.recorder._loop._stop.is_set()


def gives_up(patch: pytest.MonkeyPatch, error: int) -> None:
    """The file system takes nothing, and a look at it shows that."""

    def look(*_: object) -> None:
        raise StorageError("cannot write")

    patch.setattr("agent.sealing.settings.SealerSettings.check_writable", look)
    refuse(patch, "fdatasync", "/open/", error=error)


def refuses_a_part(camera: Camera, patch: pytest.MonkeyPatch, error: int = errno.EROFS) -> Recording:
    """It waits in memory from then on. That it is sealed would be waited for before time goes on."""
    recording = camera.recorder._life.recording
    assert recording
    gives_up(patch, error)
    patch.setattr(camera, "until_sealed", lambda: None)
    camera.muxers[-1].give(1)
    until("the disk refuses a part", lambda: recording.progress().refused is not None)
    return recording


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def error_of(cause: BaseException | None, kind: type[StorageError] = StorageError) -> StorageError:
    error = kind("cannot write")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said", "said_shut"),
    [
        (error_of(os_error(errno.EROFS)), Refusal.GIVEN_UP, Refusal.GIVEN_UP),
        (error_of(os_error(errno.EIO)), Refusal.FAILS, Refusal.GIVEN_UP),
        (error_of(os_error(errno.ENODEV)), Refusal.FAILS, Refusal.GIVEN_UP),
        (error_of(os_error(errno.ENOSPC)), None, None),
        (error_of(os_error(errno.EDQUOT)), None, None),
        (error_of(os_error(errno.EACCES)), None, None),
        (error_of(os_error(errno.EMFILE)), None, None),
        (error_of(os_error(errno.EIO), EncryptionError), None, None),
        (error_of(ValueError("no key")), None, None),
        (error_of(None), None, None),
        (None, None, None),
    ],
    ids=["read-only", "fails", "gone", "full", "quota", "right", "files", "encryption", "key", "no cause", "takes"],
)
def test_what_a_disk_means(error: StorageError | None, said: Refusal | None, said_shut: Refusal | None) -> None:
    assert (refusal_of(error, shut=False), refusal_of(error, shut=True)) == (said, said_shut)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EIO], ids=["read-only", "shut"])
def test_what_was_recorded_goes_on_in_the_next_life_and_the_log_says_why(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    camera = lives.begin()
    cut = lives.record()
    found_ns = lives.clock.now_ns
    with monkeypatch.context() as patch:
        looked_at = set[str]()

        def look(path: Path) -> bool:
            looked_at.add((path.is_file() and path.name[:20]) or "no file")
            return error == errno.EIO

        patch.setattr("agent.probe.is_shut", look)
        refuses_a_part(camera, patch, error)
        camera.ticks(S * 7)
        assert not leaves(camera) and "storage" in camera.faults()
        camera.ticks(S * 6)
        assert leaves(camera)
        with pytest.raises(StorageError, match="cannot write"):
            camera.recorder.run()
        assert looked_at == {cut}
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


@pytest.mark.parametrize("room_bytes", [0, 80 << 20], ids=["is full", "has room"])
def test_a_disk_that_only_fails_is_waited_for_as_long_as_memory_has_room(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    camera = lives.begin()
    lives.record()
    with monkeypatch.context() as patch:
        recording = refuses_a_part(camera, patch, errno.EIO)
        patch.setattr(recording, "_room", room_bytes)
        for _ in range(90):
            camera.muxers[-1].give(2)
            camera.ticks(S)
        assert leaves(camera) is bool(recording.progress().lost_parts) is (room_bytes == 0)
    if room_bytes:
        camera.ticks(S)
        assert recording.progress().lost_parts == 0 and not camera.faults()
    camera.recorder.close()


def test_while_nothing_is_recorded_one_that_fails_for_a_minute_is_left(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = lives.begin()
    with monkeypatch.context() as patch:
        gives_up(patch, errno.EIO)
        camera.ticks(S * 57)
        assert not leaves(camera)
        camera.ticks(S * 6)
        assert leaves(camera)
        camera.recorder.close()


@pytest.mark.parametrize("looks", [False, None], ids=["would find no more", "is not known"])
def test_where_another_one_would_find_no_more_it_stays(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, looks: bool | None
) -> None:
    """Alarm, light and ctl are its own."""

    def not_yet(look: Look, spool: Path, at_ns: int) -> None:
        look.at_ns, look.helps = at_ns, looks

    camera = lives.begin()
    monkeypatch.setattr(Look, "__init__", not_yet)
    with monkeypatch.context() as patch:
        gives_up(patch, errno.EROFS)
        camera.ticks(S * 120)
        assert not leaves(camera) and camera.is_(State.FAULT)
    camera.ticks(S * 3)
    assert camera.is_(State.READY)
    camera.recorder.close()


def test_that_it_would_is_asked_again(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, False, True]

    def more_and_more(look: Look, spool: Path, at_ns: int) -> None:
        look.at_ns, look.helps = at_ns, answers.pop(0)

    camera = lives.begin()
    monkeypatch.setattr(Look, "__init__", more_and_more)
    with monkeypatch.context() as patch:
        gives_up(patch, errno.EROFS)
        camera.ticks(S * 25)
        assert not leaves(camera) and answers == [True]
        camera.ticks(S * 12)
        assert leaves(camera)
        camera.recorder.close()


@pytest.mark.parametrize(
    ("there", "wanted", "gives", "helps"),
    [
        (DATA, DATA, True, True),
        (DATA, DATA, False, False),
        (DATA, Path("/home"), True, False),
        (DATA.parent, DATA.parent, True, False),
        (Path("/"), DATA, True, False),
    ],
    ids=["root mounts it", "the system's disk gives nothing", "by hand alone", "with others", "on the system's own"],
)
def test_where_another_one_would_find_more(there: Path, wanted: Path, gives: bool, helps: bool) -> None:
    asked = list[Path]()

    def read(path: Path, own: bool) -> None:
        asked.append(path)
        if not gives:
            raise StorageError("cannot read")

    mounts = Mounts({wanted: "LABEL=data"}, frozenset({Path("/"), there}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Look, "__init__", BEGINS)
        patch.setattr("agent.probe.read_through", read)
        patch.setattr("agent.leaving.read_mounts", lambda: mounts)
        look = Look(DATA / "spool", 0)
        until("it is known", lambda: look.helps is not None)
    assert look.helps is helps
    assert asked == [Path(sys.executable).resolve()]


def test_what_waits_in_memory_is_let_go_and_nothing_is_written_from_then_on(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the disk takes it just then: what is mounted anew would be written to beneath another recorder."""
    camera = lives.begin()
    lives.record()
    recorder, spool = camera.recorder, camera.recorder._config.spool.dir
    with monkeypatch.context() as patch:
        recording = refuses_a_part(camera, patch)
        recorder._loop.act("recorder", recorder._tick)
        lives.clock.now_ns += GIVEN_UP_NS
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


def leaves_while_it_records(camera: Camera, patch: pytest.MonkeyPatch) -> None:
    refuses_a_part(camera, patch)
    camera.ticks(S * 13)
    assert leaves(camera)
    camera.recorder.close()


def test_a_mark_that_the_disk_refused_is_said_by_the_next_life(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its tag a recording may be kept for years."""
    camera = lives.begin()
    cut = lives.record()
    with monkeypatch.context() as patch:
        gives_up(patch, errno.EROFS)
        at_ns = lives.clock.now_ns
        for number in range(MAX_MARKS + 1):
            camera.recorder._takes.mark(f"{number:02}" + "\N{POLICE CAR}" * (MAX_TEXT - 2), tag="homicide")
        leaves_while_it_records(camera, patch)
    again = lives.begin()
    again.recorder.close()
    marks = again.said("mark")
    assert [mark["text"][:2] for mark in marks] == [f"{number:02}" for number in range(MAX_MARKS)]
    assert {(mark["tag"], mark["recording"], mark["late"]) for mark in marks} == {("homicide", cut, True)}
    assert all(0 <= mark["mono_ns"] - at_ns < NS // 10 for mark in marks)
    # That there were others, too.
    assert sum(body["count"] for body in said(again, "events.dropped")) >= 1


def test_what_was_lost_before_says_nothing_of_the_room_that_is_left(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = lives.begin()
    lives.record()
    recording = camera.recorder._life.recording
    assert recording
    recording.forgo(NS // 2, "the card has no room for them")
    with monkeypatch.context() as patch:
        refuses_a_part(camera, patch, errno.EIO)
        camera.ticks(S * 75)
        assert not leaves(camera)
    camera.ticks(S)
    camera.recorder.close()


def test_a_fault_that_was_told_an_instant_before_puts_nothing_off(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not told again within a minute, so the log meets nothing meanwhile; parts do."""
    camera = lives.begin()
    lives.record()
    with monkeypatch.context() as patch:
        refuses_a_part(camera, patch, errno.EIO)
        camera.ticks(S * 5)
    camera.ticks(S * 20)
    assert not camera.faults()
    with monkeypatch.context() as patch:
        leaves_while_it_records(camera, patch)


def test_a_disk_that_was_full_before_has_its_minute_from_when_it_fails(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = lives.begin()
    with monkeypatch.context() as patch:
        gives_up(patch, errno.ENOSPC)
        camera.ticks(S * 130)
    with monkeypatch.context() as patch:
        gives_up(patch, errno.EIO)
        camera.ticks(S * 50)
        assert not leaves(camera)
        camera.ticks(S * 15)
        assert leaves(camera)
        camera.recorder.close()


def test_lives_that_end_so_one_after_the_other_leave_time_in_between(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is the recording that has the card give up."""
    camera = lives.begin()
    lives.record()
    for number in range(3):
        with monkeypatch.context() as patch:
            leaves_while_it_records(camera, patch)
        camera = lives.begin()
        wanted = camera.recorder._life.wanted
        waits_ns = wanted.at_ns - lives.clock.now_ns if wanted else 0
        assert (waits_ns > 0) is (number > 0)
        camera.ticks(S * 5)
        assert camera.is_(State.RECORDING)
    assert "3 times in ten minutes" in camera.faults()[FAULT]
    camera.recorder.close()


@pytest.mark.parametrize("after_s", [0, 30], ids=["at once", "some seconds later"])
def test_who_stopped_it_before_it_left_is_said(lives: Lives, monkeypatch: pytest.MonkeyPatch, after_s: int) -> None:
    camera = lives.begin(post_event_s=after_s)
    cut = lives.record()
    with monkeypatch.context() as patch:
        refuses_a_part(camera, patch)
        patch.setattr(takes, "FINISH_S", 0.5)
        camera.recorder._stop_later("hold", Actor.OFFICER)
        camera.ticks(S * 13)
        assert leaves(camera)
        camera.recorder.close()
    again = lives.begin(post_event_s=after_s)
    again.ticks(S)
    assert again.is_(State.READY)
    again.recorder.close()
    (forgone,) = again.said("record.forgone")
    assert (forgone["actor"], forgone["continues"]) == ("officer", cut) and "hold" in forgone["reason"]


def test_a_press_in_the_very_turn_waits_for_the_next_life(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = lives.begin()
    told = list[Any]()
    real = camera.recorder._lens.close

    def close() -> bool:
        if not told:
            told.extend((camera.recorder.state, camera.recorder._answer({"do": "press"})["does"]))
        return real()

    with monkeypatch.context() as patch:
        patch.setattr(camera.recorder._lens, "close", close)
        gives_up(patch, errno.EROFS)
        camera.ticks(S * 13)
        assert leaves(camera)
        camera.recorder.close()
    assert told == [State.STOPPING, ["later"]]
    again = lives.begin()
    again.turns(1)
    assert again.is_(State.RECORDING)
    again.recorder.close()
