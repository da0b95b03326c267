"""What the uploader reads of the recorder's word, and what it leaves for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from agent.dock.links import SyntheticLinks
from agent.dock.presence import presence
from agent.dock.report import MAX_MESSAGE, Inbox, State
from agent.errors import StorageError
from agent.formats.seal import SealRecord
from agent.model import NS

BOOT = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("text", "docked"),
    [
        (f'{{"v":1,"docked":true,"boot":"{BOOT}","mono_ns":1}}', True),
        (f'{{"v":1,"docked":false,"boot":"{BOOT}","mono_ns":1}}', False),
        (f'{{"v":1,"docked":1,"boot":"{BOOT}","mono_ns":1}}', False),
        ('{"v":1,"docked":true,"boot":"99999999-2222-3333-4444-555555555555","mono_ns":1}', False),
        ('{"v":1,"docked":tr', False),
        ("[]", False),
        ("", False),
    ],
)
def test_docked_is_what_this_boots_recorder_says(tmp_path: Path, text: str, docked: bool) -> None:
    (tmp_path / "dock.json").write_text(text)
    assert presence(["outbox"], tmp_path, BOOT, SyntheticLinks(), ["eth*"]).docked() is docked


def test_without_a_word_it_is_not_docked_unless_always(tmp_path: Path) -> None:
    assert presence(["outbox"], tmp_path, BOOT, SyntheticLinks(), ["eth*"]).docked() is False
    assert presence(["outbox", "always"], tmp_path, BOOT, SyntheticLinks(), ["eth*"]).docked() is True


class Ticks:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def progress(path: Path) -> dict[str, object]:
    value = json.loads((path / "progress.json").read_bytes())
    assert isinstance(value, dict)
    return value


def test_progress_tells_state_and_sums(tmp_path: Path) -> None:
    ticks = Ticks()
    inbox = Inbox(tmp_path, ticks)
    inbox.seen((SealRecord("e0000000000-00000000", 1000, "0" * 64, 0, 1, None, 0),))
    inbox.tell(State.UPLOADING)
    ticks.now_ns = 2 * NS
    inbox.offset("e0000000000-00000000", 400)
    assert progress(tmp_path) == {
        "v": 1, "state": "uploading", "segments_done": 0, "segments_total": 1, "bytes_done": 400, "bytes_total": 1000,
        "eta_s": 3, "error": "", "refused": "", "lacks": "", "mono_ns": 2 * NS,
    }  # fmt: skip
    inbox.receipted(["e0000000000-00000000"])
    inbox.tell(State.REFUSED, "two\nlines")
    assert (progress(tmp_path)["segments_done"], progress(tmp_path)["error"]) == (1, "two lines")


def test_progress_is_written_once_a_second_and_not_at_all_when_nothing_changes(tmp_path: Path) -> None:
    ticks = Ticks()
    inbox = Inbox(tmp_path, ticks)
    inbox.tell(State.UPLOADING)
    inode = (tmp_path / "progress.json").stat().st_ino
    for done in range(100):
        inbox.offset("e0000000000-00000000", done)
    ticks.now_ns = 10 * NS
    inbox.tell(State.UPLOADING)
    assert (tmp_path / "progress.json").stat().st_ino == inode
    inbox.offset("e0000000000-00000000", 101)
    assert progress(tmp_path)["bytes_done"] == 101


def test_receipts_are_named_by_their_digest_and_bounded(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, Ticks())
    inbox.receipt(b"a receipt")
    path = tmp_path / f"{hashlib.sha256(b'a receipt').hexdigest()}.receipt"
    assert path.read_bytes() == b"a receipt"
    with pytest.raises(StorageError):
        inbox.receipt(b"x" * (MAX_MESSAGE + 1))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_does_not_stop_the_upload(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "gone", Ticks())
    inbox.tell(State.UPLOADING)
    with pytest.raises(StorageError):
        inbox.receipt(b"a receipt")


def test_what_is_refused_is_told_until_all_is_delivered_over_undocking_and_restarts(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, Ticks())
    inbox.tell(State.REFUSED, "e0000000000-00000000: no")
    inbox.tell(State.IDLE)
    assert (progress(tmp_path)["state"], progress(tmp_path)["refused"]) == ("idle", "e0000000000-00000000: no")
    again = Inbox(tmp_path, Ticks())
    again.tell(State.UPLOADING)
    assert progress(tmp_path)["refused"] == "e0000000000-00000000: no"
    again.tell(State.DELIVERED)
    again.tell(State.IDLE)
    assert progress(tmp_path)["refused"] == ""


def test_the_time_left_follows_the_last_seconds_and_is_not_told_while_nothing_moves(tmp_path: Path) -> None:
    ticks = Ticks()
    inbox = Inbox(tmp_path, ticks)
    inbox.seen((SealRecord("e0000000000-00000000", 100_000, "0" * 64, 0, 1, None, 0),))
    inbox.tell(State.UPLOADING)
    told = []
    for second in range(1, 61):
        ticks.now_ns = second * NS
        inbox.offset("e0000000000-00000000", second * 100 if second <= 30 else 3000 + (second - 30) * 1000)
        told.append(progress(tmp_path)["eta_s"])
    assert told[9] == 990
    assert told[-1] == (100_000 - 33_000) // 1000
    for second in range(61, 90):
        ticks.now_ns = second * NS
        inbox.offset("e0000000000-00000000", 33_000)
    assert progress(tmp_path)["eta_s"] is None
