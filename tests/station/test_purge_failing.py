"""A purge that fails at some recording says what went all the same: it is gone."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from agent import durable
from agent.errors import AgentError, KeyTrustError, StorageError
from agent.station import database, keeping, promised, purgenotes, retention, turn
from agent.station.access import AccessLog
from tests.camera_kit import CAMERA
from tests.station.test_knowledge import Held, later
from tests.station.test_knowledge import held_a_day as held

__all__ = ["held"]


@pytest.fixture
def over(held: Held, monkeypatch: pytest.MonkeyPatch) -> Held:
    later(monkeypatch, 2)
    return held


def fails(patch: pytest.MonkeyPatch, owner: object, name: str, at: int, err: AgentError) -> None:
    """The call of this number, from 1."""
    real, calls = getattr(owner, name), list[object]()

    def call(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == at:
            raise err
        return real(*given)

    patch.setattr(owner, name, call)


def purged(held: Held, capsys: Any, *words: str, status: int) -> tuple[str, str]:
    capsys.readouterr()
    assert held.run("purge", "--yes", *words) == status
    said = capsys.readouterr()
    return said.out, said.err


def here(held: Held) -> list[str]:
    return [one for one in (held.first, held.second) if held.knows().one(one).purged_s is None]


@pytest.mark.parametrize("at", [1, 2])
def test_a_file_that_the_disk_does_not_delete_keeps_no_other_recording(
    over: Held, capsys: Any, monkeypatch: Any, at: int
) -> None:
    stays, goes = (over.first, over.second)[:: 1 if at == 1 else -1]
    with monkeypatch.context() as patch:
        fails(patch, durable, "remove", at, StorageError("cannot delete it: Operation not permitted", "chattr -i"))
        out, err = purged(over, capsys, "--json", status=4)
    told = json.loads(out)
    assert (told["purged"], told["kept"]) == ([[CAMERA, goes]], [])
    assert told["failed"] == [[CAMERA, stays, "cannot delete it: Operation not permitted"]]
    assert "Operation not permitted" in err and "chattr -i" in err
    assert here(over) == [stays]
    told = over.told(capsys, "purge", "--yes")
    assert (told["purged"], told["failed"], here(over)) == ([[CAMERA, stays]], [], [])


def test_it_says_so_in_words(over: Held, capsys: Any, monkeypatch: Any) -> None:
    fails(monkeypatch, durable, "remove", 2, StorageError("cannot delete it"))
    out, err = purged(over, capsys, status=4)
    first, second = out.splitlines()
    assert first.startswith(f"purged: {CAMERA}  {over.first}  ")
    assert second == f"failed, perhaps with some of it gone: {CAMERA} {over.second}: cannot delete it"
    assert "cannot delete it" in err


@pytest.mark.parametrize(
    ("owner", "name", "err", "status"),
    [
        (promised, "alone", StorageError("the lock is not free"), 4),
        (retention, "alone", StorageError("the lock is not free"), 4),
        (purgenotes.PurgeNotes, "write", KeyTrustError("no receipt key"), 6),
    ],
    ids=["promises", "holds", "note"],
)
@pytest.mark.parametrize("at", [1, 2])
def test_where_no_other_would_go_either_it_ends_there_and_says_what_went(
    over: Held, capsys: Any, monkeypatch: Any, owner: object, name: str, err: AgentError, status: int, at: int
) -> None:
    """No lock is waited for once per recording."""
    fails(monkeypatch, owner, name, at, err)
    out, said = purged(over, capsys, "--json", status=status)
    told, both = json.loads(out), [over.first, over.second]
    assert [recording for _, recording in told["purged"]] == both[: at - 1]
    assert told["failed"] == [[CAMERA, both[at - 1], err.message]]
    assert told["kept"] == [[CAMERA, one, "the purge ended before it"] for one in both[at:]]
    assert here(over) == both[at - 1 :] and err.message in said


def test_the_access_log_s_lock_is_not_waited_for_once_per_recording_either(
    over: Held, capsys: Any, monkeypatch: Any
) -> None:
    """A command that is stopped holds it, as a `status` that waits for its disk."""
    monkeypatch.setattr(turn, "WAIT_S", 0.02)
    append = AccessLog.append

    def while_held(log: AccessLog, *given: Any, **more: Any) -> Any:
        with (over.station.paths.station / "access.jsonl").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            return append(log, *given, **more)

    monkeypatch.setattr(AccessLog, "append", while_held)
    out, err = purged(over, capsys, "--json", status=4)
    told = json.loads(out)
    assert [recording for _, recording, _ in told["failed"]] == [over.first]
    assert told["kept"] == [[CAMERA, over.second, "the purge ended before it"]]
    assert "the access log is not free after 0.02 s" in err and "lslocks" in err
    assert here(over) == [over.first, over.second]


def test_the_index_s_lock_is_waited_for_once(over: Held, capsys: Any, monkeypatch: Any) -> None:
    """A command that is stopped holds it, as an `index` that waits for its disk."""
    monkeypatch.setattr(database, "BUSY_S", 0.02)
    due = keeping.due
    other = sqlite3.connect(over.station.paths.index, isolation_level=None)

    def then_held(*given: Any) -> keeping.Due:
        found = due(*given)
        other.execute("BEGIN IMMEDIATE")
        return found

    with monkeypatch.context() as patch, closing(other):
        patch.setattr(keeping, "due", then_held)
        out, err = purged(over, capsys, "--json", status=4)
    told = json.loads(out)
    assert [recording for _, recording, _ in told["failed"]] == [over.first]
    assert told["kept"] == [[CAMERA, over.second, "the purge ended before it"]]
    assert "database is locked" in err and "lslocks" in err and "move it away" not in err
    told = over.told(capsys, "purge", "--yes")
    assert (told["failed"], here(over)) == ([], [])


def test_what_went_is_told_also_where_notes_of_earlier_versions_cannot_be_written(
    over: Held, capsys: Any, monkeypatch: Any
) -> None:
    fails(monkeypatch, purgenotes.PurgeNotes, "listed", 1, StorageError("cannot list the notes"))
    out, err = purged(over, capsys, "--json", status=4)
    told = json.loads(out)
    assert [recording for _, recording in told["purged"]] == [over.first, over.second]
    assert (told["failed"], told["noted"]) == ([], []) and "cannot list the notes" in err
