"""What an uploader that was taken over fills inbox/ with goes, before it fills the card."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.spool import clearing, inbox


@pytest.fixture
def box(tmp_path: Path) -> Path:
    made = tmp_path / "inbox"
    made.mkdir()
    return made


def allocated(path: Path, size: int) -> None:
    """A file that takes so much of the disk, and is not written."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def names(box: Path) -> set[str]:
    return {path.name for path in box.iterdir()}


def messages(box: Path) -> set[str]:
    left = {"a.receipt", "b.checkpoint", "c.time", "d.order", "progress.json", "uploads.jsonl", "uploader.lock"}
    for name in left:
        (box / name).write_bytes(b"x")
    return left


def test_what_is_beyond_the_measure_goes_the_largest_first_and_the_rest_stays_to_be_looked_at(box: Path) -> None:
    own = messages(box)
    for number in range(9):
        allocated(box / f"cache-{number}", 3 << 20)
    allocated(box / "large", inbox.MAX_OTHER + 1)
    assert clearing.clear(box) == ["a file that is too large", "more than 16 MiB"]
    left = names(box)
    assert own < left and "large" not in left
    assert sum(path.stat().st_blocks * 512 for path in box.iterdir()) <= clearing.MAX_BYTES
    assert len(left) > len(own)
    assert clearing.clear(box) == []
    assert names(box) == left


def test_below_it_all_stays_and_is_told(box: Path, tmp_path: Path) -> None:
    (box / "link.receipt").symlink_to(tmp_path)
    (box / "dir").mkdir()
    before = names(box)
    assert clearing.clear(box) == ["a directory", "a link"]
    assert names(box) == before


def test_a_flood_of_entries_goes_in_portions_and_hides_no_message_for_good(box: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "kept").write_bytes(b"x")
    for number in range(inbox.MAX_LOOKED_AT):
        (box / f"{number:05d}.receipt").symlink_to(secret)
    own, turns = messages(box), 0
    while f"more than {inbox.MAX_ENTRIES} entries" in clearing.clear(box):
        turns += 1
        gone = inbox.MAX_LOOKED_AT + len(own) - len(names(box))
        assert gone <= turns * clearing.AT_ONCE
    assert len(names(box)) == inbox.MAX_ENTRIES
    assert own < names(box)
    assert (secret / "kept").exists()
    assert [path.name for path, _ in inbox.messages(box, ".receipt")] == ["a.receipt"]


def test_a_directory_with_something_in_it_keeps_nothing_else(box: Path) -> None:
    (box / "full").mkdir()
    (box / "full" / "x").write_bytes(b"x")
    (box / "empty").mkdir()
    for number in range(6):
        allocated(box / f"{number}", 3 << 20)
    assert clearing.clear(box) == ["a directory", "more than 16 MiB"]
    assert clearing.clear(box) == ["a directory"]
    assert (box / "full" / "x").exists()


def test_a_name_that_only_ends_as_the_uploaders_own_does_is_none(box: Path) -> None:
    """Each of them would else count as a message, be read by nobody, and stay."""
    own = messages(box)
    for number in range(6):
        allocated(box / f"{number}-progress.json", 4 << 20)
    assert clearing.clear(box) == ["more than 16 MiB"]
    assert own <= names(box)
    assert sum(path.stat().st_blocks * 512 for path in box.iterdir()) <= clearing.MAX_BYTES


def test_so_many_messages_that_nobody_reads_go_too_and_what_is_remembered_stays(box: Path) -> None:
    own = messages(box)
    for number in range(inbox.MAX_ENTRIES):
        (box / f"{number:05d}.receipt").touch()
    (box / "cache").touch()
    clearing.clear(box)
    left = names(box)
    assert len(left) == inbox.MAX_ENTRIES and "cache" not in left
    assert own - {"a.receipt", "b.checkpoint", "c.time", "d.order"} < left
