"""One write fails, or several in a row, at any place: nothing recorded is lost, and the log goes on with no restart."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import StorageError
from agent.formats import age, note
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS, MediaPart, SegmentState
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.camera_kit import Desk, all_leaves, begin, check_log, failing, read, report

CALLS = ("pwrite", "write", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "open", "posix_fallocate")
TRIES = 12


class BadDisk:
    """The system calls from the `first` one on fail, `count` of them; with `done`, each after it took effect."""

    def __init__(self, patch: pytest.MonkeyPatch, first: int, count: int, code: int, done: bool) -> None:
        self.calls = self.failed = 0
        self._window, self._code, self._done = range(first, first + count), code, done
        for name in CALLS:
            patch.setattr(os, name, self._wrap(getattr(os, name)))

    def _wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls += 1
            bad = self.calls - 1 in self._window
            if bad:
                self.failed += 1
                if self._done:
                    result = real(*arguments, **keywords)
                    if real.__name__ == "open":
                        os.close(result)
                raise OSError(self._code, os.strerror(self._code))
            return real(*arguments, **keywords)

        return call


def insist(action: Callable[..., Any], *arguments: Any) -> Any:
    """As the recorder's callers do: what the disk refused is tried again."""
    for _ in range(TRIES):
        try:
            return action(*arguments)
        except StorageError as err:
            last = err
    raise last


def live(desk: Desk) -> None:
    """Two recordings, the first with a rotation, and what lies between; the parts are made before the disk fails."""
    for parts in (7, 2):
        name = insist(desk.sealer.start_recording, {"type": "record.start"})
        insist(desk.begin_media, name)
        for number in range(parts):
            insist(desk.add, number, 400)
        assert desk.sealer.stop_recording(name, {"type": "record.stop"}).parts == parts
        insist(desk.sealer.event, Kind.EVENT, {"type": "heartbeat"})


def shut(desk: Desk) -> None:
    """The disk is well again: what is owed is done, as the recorder's ticks would, and the session ends."""
    desk.sealer.settle()
    assert not desk.sealer.owes
    desk.sealer.event(Kind.SHUTDOWN, {"type": "shutdown"})
    desk.sealer.seal_open()
    assert not desk.sealer.owes


def check(desk: Desk) -> None:
    found = check_log(desk)
    media = [(x.recording, x.part) for x in found if isinstance(x, leaves.MediaLeaf)]
    stops = [x for x in found if isinstance(x, leaves.EventLeaf) and x.kind is Kind.STOP]
    assert [x.facts["parts"] for x in stops] == [7, 2]
    assert media == [(x.recording, n) for x in stops for n in range(x.facts["parts"])]
    # A head that could be neither written nor removed may lie there until the next start. It holds nothing.
    open_files = list(desk.spool.open_dir.iterdir())
    assert len(open_files) <= 1
    left = [path.stem for path in open_files if path.read_bytes().strip(b"\0")]
    names = [r.segment for r in desk.spool.records(SegmentState.SEALED)]
    assert len(names) == len(list(desk.spool.sealed_dir.glob("*.tar")))
    seals = [x.facts["segment"] for x in found if isinstance(x, leaves.EventLeaf) and x.kind is Kind.SEAL]
    assert seals == names[:-1]
    assert failing(report(desk)) == []
    again = Desk(desk.agency, desk.root, clock=desk.clock).open()
    assert [(r.segment, r.entries, r.record) for r in again.outcome.recovered] == [(name, 0, None) for name in left]
    assert [r.segment for r in again.outcome.unannounced] == names[-1:]
    assert again.log.frontier == desk.log.frontier


@pytest.mark.wide
@pytest.mark.campaign
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("done", [False, True], ids=["refused", "done-but-refused"])
def test_calls_that_fail_anywhere_in_a_life_lose_nothing(
    agency: AgencyPaths, tmp_path: Path, done: bool, count: int
) -> None:
    """From the 1st, 2nd, 3rd ... call on that changes the disk, one call or four in a row; without the campaign
    in full every ninth.
    """
    campaign = campaigns.Campaign(f"failing-calls-{'done' if done else 'refused'}-{count}")
    stride = campaigns.size(full=1, sample=9)
    first, runs, late, reached = (2 * done + count) % stride, 0, 0, True
    while reached:
        desk = begin(Desk(agency, tmp_path / f"{first}", segment_ns=2 * NS).open())
        with pytest.MonkeyPatch.context() as patch:
            disk = BadDisk(patch, first, count, errno.EIO, done)
            live(desk)
        shut(desk)
        check(desk)
        first, runs, late, reached = first + stride, runs + 1, late + bool(desk.late), disk.failed == count
    assert first > 200
    assert late > runs // 4
    campaign.finish(runs=runs, every=stride, with_something_owed=late)


# What is sealed in the test below is the recording's segment 0000, whose head was written before.
STEPS = {
    "trailer": ("pwrite", lambda a: a[1] == bytes(1024)),
    "cut": ("ftruncate", lambda a: True),
    "fsync": ("fsync", lambda a: _name(a[0]).endswith("-0000.tar")),
    "rename": ("rename", lambda a: str(a[1]).endswith(".tar")),
    "directory": ("fsync", lambda a: _name(a[0]).endswith("/sealed")),
    "seal record": ("rename", lambda a: str(a[1]).endswith(".seal")),
    "tile": ("rename", lambda a: "/tile/" in str(a[1])),
    "checkpoint": ("rename", lambda a: str(a[1]).endswith("/checkpoint")),
}


def _name(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


@pytest.mark.wide
@pytest.mark.parametrize("where", ["stop", "rotation"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_step_of_sealing_that_fails_is_owed_and_shown(
    agency: AgencyPaths, tmp_path: Path, step: str, where: str, code: int
) -> None:
    """As long as it fails, the camera records on; when it works again, all is sealed, in order."""
    desk = begin(Desk(agency, tmp_path / "spool", segment_ns=4 * NS).open())
    name = desk.record(3, 400)
    if where == "stop":
        desk.add(3, 400)
    with pytest.MonkeyPatch.context() as patch:
        call, is_step = STEPS[step]
        real, refused = getattr(os, call), []

        def refuse(*arguments: Any) -> Any:
            if is_step(arguments):
                refused.append(arguments)
                raise OSError(code, os.strerror(code))
            return real(*arguments)

        patch.setattr(os, call, refuse)
        if where == "rotation":
            for number in range(3, 7):
                desk.add(number, 400)
        else:
            desk.sealer.stop_recording(name, {"type": "record.stop"})
            desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
        assert refused
        assert desk.sealer.owes
        assert {os.strerror(code) in e.message for e in desk.late} == {True}
        sealed = [r.segment for r in desk.spool.records(SegmentState.SEALED)]
        assert name + "-0000" not in sealed or step in ("tile", "checkpoint")
    if where == "rotation":
        desk.sealer.stop_recording(name, {"type": "record.stop"})
    else:
        desk.sealer.settle()
    assert not desk.sealer.owes
    second = desk.record(2, 400)
    desk.sealer.stop_recording(second, {"type": "record.stop"})
    shut(desk)
    found = check_log(desk)
    parts = [7, 2] if where == "rotation" else [4, 2]
    assert [x.facts["parts"] for x in found if isinstance(x, leaves.EventLeaf) and x.kind is Kind.STOP] == parts
    assert sum(isinstance(x, leaves.MediaLeaf) for x in found) == sum(parts)
    assert failing(report(desk)) == []


def test_a_failed_first_entry_never_stands_beside_another_of_its_index(desk: Desk) -> None:
    """Written, but not synced; and neither can it be erased, nor its file be removed."""
    desk.sealer.event(Kind.SESSION, {"type": "session"})
    desk.sealer.seal_open()
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        for call in ("fdatasync", "ftruncate", "unlink"):
            patch.setattr(os, call, refuse)
        with pytest.raises(StorageError):
            desk.sealer.event(Kind.EVENT, {"type": "lost"})
        desk.sealer.seal_open()
        assert desk.sealer.owes
        with pytest.raises(StorageError):
            desk.sealer.start_recording({"type": "record.start"})
        patch.undo()
        patch.setattr(os, "unlink", refuse)
        desk.sealer.start_recording({"type": "record.start"})
    desk.sealer.seal_open()
    files = [path.read_bytes() for path in desk.root.rglob("*.tar")]
    for index in range(desk.log.next_index):
        assert sum(f"{index:010d}.note".encode() in data for data in files) == 1, index


def test_media_of_a_recording_that_was_stopped_opens_no_segment(desk: Desk) -> None:
    """Its sealing thread may have hung in a write until after the stop."""
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    with pytest.raises(ValueError, match="not the recording that goes on"):
        desk.sealer.begin_media(name, b"ftyp-and-moov", desk.clock.monotonic_ns())
    assert list(desk.spool.open_dir.iterdir()) == []


def test_a_cut_while_segments_wait_to_be_sealed_loses_nothing(agency: AgencyPaths, tmp_path: Path) -> None:
    desk = begin(Desk(agency, tmp_path / "spool", segment_ns=2 * NS).open())
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(os, "rename", refuse)
        name = desk.record(11, 400)
    assert len(list(desk.spool.open_dir.glob("*.tar"))) >= 3
    again = begin(Desk(agency, desk.root, clock=desk.clock).open())
    assert [(r.cut_recording, r.parts) for r in again.outcome.recovered if r.cut_recording] == [(name, 11)]
    again.sealer.seal_open()
    check_log(again)
    assert failing(report(again)) == []


def test_an_event_lands_behind_no_stop_leaf_in_its_segment(desk: Desk) -> None:
    """What is written while the sealing of a stopped recording is owed goes to the next segment."""
    begin(desk)
    name = desk.record(2, 400)
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(os, "fdatasync", refuse)
        desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.event(Kind.EVENT, {"type": "later"})
    shut(desk)
    media = desk.spool.segment(SegmentState.SEALED, f"{name}-0000")
    kinds = [leaf.kind for _, leaf in read(media)[2] if isinstance(leaf, leaves.EventLeaf)]
    assert kinds[-1] is Kind.STOP
    assert failing(report(desk)) == []


def test_the_identity_key_signs_again_where_its_signature_did_not_become_durable(desk: Desk) -> None:
    begin(desk)
    desk.clock.now_ns += 400 * NS
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(StorageError):
            desk.sealer.event(Kind.EVENT, {"type": "lost"})
    desk.sealer.event(Kind.EVENT, {"type": "kept"})
    desk.sealer.seal_open()
    (path,) = desk.spool.segments(SegmentState.SEALED)
    assert len(note.parse(read(path)[2][-1][0].note).signatures) == 2


def test_partial_tiles_of_a_flush_that_failed_are_dropped_by_the_next(desk: Desk) -> None:
    begin(desk)
    real = os.rename
    with pytest.MonkeyPatch.context() as patch:

        def no_checkpoint(source: Any, target: Any) -> None:
            if str(target).endswith("/checkpoint"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(source, target)

        patch.setattr(os, "rename", no_checkpoint)
        desk.sealer.seal_open()
        assert desk.sealer.owes
    desk.sealer.event(Kind.EVENT, {"type": "x"})
    shut(desk)
    assert len(list(desk.spool.log_dir(1).glob("tile/0/000.p/*"))) == 1


def test_what_still_waits_when_the_next_segment_finds_no_room_goes_into_the_open_one(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    desk = begin(Desk(agency, tmp_path / "spool", segment_ns=7 * NS).open())
    # 4 s before its end the next one's file would be made ahead.
    name = desk.record(5, 400)
    with pytest.MonkeyPatch.context() as patch:

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "posix_fallocate", full)
        for number in range(5, 10):
            desk.add(number, 400)
            assert not desk.sealer.no_room and not desk.sealer.refused
        for number in range(10, 14):
            desk.add(number, 400)
            assert desk.sealer.no_room
        with pytest.raises(StorageError, match="No space"):
            desk.add(14, 400)
    desk.sealer.stop_recording(name, {"type": "record.stop"}, offered=15)
    assert [r.segment for r in desk.spool.records(SegmentState.SEALED) if r.recording] == [f"{name}-0000"]
    assert sum(isinstance(x, leaves.MediaLeaf) for x in all_leaves(desk)) == 14
    assert not desk.sealer.owes
    (stop,) = [e for e, x in read(desk.spool.segment(SegmentState.SEALED, f"{name}-0000"))[2] if _is_stop(x)]
    assert (
        leaves.open_body(age.decrypt(stop.sealed, [desk.identity()]), leaves.parse(stop.leaf).body)["lost_parts"] == 1
    )
    again = desk.record(2, 400)
    assert not desk.sealer.no_room
    desk.sealer.stop_recording(again, {"type": "record.stop"})
    shut(desk)
    assert failing(report(desk)) == []


def _is_stop(leaf: leaves.Leaf) -> bool:
    return isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.STOP


def test_a_part_of_another_recording_is_refused(desk: Desk) -> None:
    """Its sealing thread may have waited for this instant until after the next recording began."""
    first = desk.record(1, 400)
    desk.sealer.stop_recording(first, {"type": "record.stop"})
    second = desk.record(1, 400)
    with pytest.raises(ValueError, match="not the recording that goes on"):
        desk.sealer.media(first, MediaPart(1, b"x", NS // 2, NS // 2, False, 15, 24_000))
    assert desk.sealer.stop_recording(second, {"type": "record.stop"}).parts == 1
