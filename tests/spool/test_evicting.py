"""An uploader that was taken over keeps blocks of files that it removed: it is ended where room gets scarce."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.spool.evicting import AGAIN_NS, Eviction


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    return tmp_path / "evict"


def asked(eviction: Eviction, request: Path, edge: int | None, now_ns: int) -> bool:
    request.unlink(missing_ok=True)
    eviction.look(edge, now_ns)
    return request.exists()


def test_its_end_is_asked_for_at_each_edge_that_is_fallen_below_and_once(request_file: Path) -> None:
    eviction = Eviction(request_file)
    edges = [None, 20, 20, 10, 20, 20, None, 20, 5, 5]
    told = [asked(eviction, request_file, edge, 60 * 10**9 * n) for n, edge in enumerate(edges)]
    assert told == [False, True, False, True, False, False, False, True, True, False]


def test_below_the_lowest_edge_it_is_asked_for_each_hour(request_file: Path) -> None:
    eviction = Eviction(request_file)
    # Whoever held blocks before the recorder started, too.
    assert asked(eviction, request_file, 5, 0)
    assert not asked(eviction, request_file, 5, AGAIN_NS - 1)
    assert asked(eviction, request_file, 5, AGAIN_NS)


def test_a_recorder_that_starts_with_little_room_ends_nobody(request_file: Path) -> None:
    eviction = Eviction(request_file)
    assert not any(asked(eviction, request_file, 20, n * AGAIN_NS) for n in range(5))


def test_what_could_not_be_asked_for_is_asked_for_again(tmp_path: Path) -> None:
    request = tmp_path / "run" / "evict"
    eviction = Eviction(request)
    eviction.look(None, 0)
    for edge in (20, 5):
        with pytest.raises(StorageError):
            eviction.look(edge, 0)
    request.parent.mkdir()
    assert asked(eviction, request, 5, 1) and not asked(eviction, request, 5, 2)
